"""Secrets that anybody would try first are known as such, and random ones are not."""

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.core.weak_secrets import why_weak


@pytest.mark.parametrize(
    "secret",
    [
        "aaaaaaaaaaaaaaaa", "00000000", "x" * 40, "abababababababab", "1111222233334444", "0000000000000001",
        "password", "Password123!", "PASSWORD2026", "p@ssw0rd1", "passwordpassword", "my-secret-password",
        "changeme-changeme", "change-me-please", "secretsecretsecret", "admin1234", "letmein!", "welcome1",
        "your-secret-key-here", "replace-this-secret", "default-password", "example-secret",
        "qwertyuiop", "qwerty123456", "qwertyuiopasdfghjklzxcvbnm", "1234567890123456", "87654321", "asdfghjkl",
        "poiuytrewq", "1qaz2wsx3edc4rfv", "1q2w3e4r5t6y", "abcdefghijklmnopqrstuvwxyz", "zyxwvutsrqponmlk",
        "asdf1234asdf1234", "Hunter2hunter2", "abc-def-abc-def-abc-def-",
    ],
)  # fmt: skip
def test_what_is_guessed_first_is_weak(secret: str) -> None:
    why = why_weak(secret)
    assert why
    assert secret not in why


@pytest.mark.parametrize(
    "secret",
    ["correct horse battery", "kM3v-9pQ2_zT8wLx", "9f86d081884c7d659a2feaa0c55ad015", "Zürich im Regen"],
)
def test_what_is_not_is_not(secret: str) -> None:
    assert why_weak(secret) is None


def test_what_the_documents_tell_to_make_is_never_weak() -> None:
    assert not [made for made in (secrets.token_urlsafe(32) for _ in range(500)) if why_weak(made)]


@given(st.text(max_size=300))
def test_any_text_is_judged(text: str) -> None:
    why = why_weak(text)
    assert why is None or why.isprintable()
