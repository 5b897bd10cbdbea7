"""Settings that are allowed and probably a mistake are warned about by `receiver check` and at the start."""

import json
from pathlib import Path

import pytest

from receiver.check import Level, check_settings
from receiver.settings import load_settings
from receiver.settings.advice import is_loopback, settings_warnings
from tests.conftest import environment

LONG = "kM3v-9pQ2_zT8wLx7dRb-another-good-one"


def warned(folder: Path, **changes: str) -> dict[str, str]:
    return dict(settings_warnings(load_settings(environment(folder, **changes))))


def test_of_usual_settings_nothing_is_said(tmp_path: Path) -> None:
    assert warned(tmp_path) == {}
    assert warned(tmp_path, UPSTREAM_URL="https://api.example.org", SIGNING_KEY=LONG) == {}


@pytest.mark.parametrize(
    "name",
    ["CALLBACK_TOKENS", "API_TOKENS", "ADMIN_PASSWORD", "SECRET_KEY", "SIGNING_KEY", "UPSTREAM_API_KEY"],
)
@pytest.mark.parametrize(
    "weak", ["a" * 40, "password" * 5, "qwertyuiopasdfghjklzxcvbnmqwertyuiop", "1234567890" * 4]
)
def test_a_secret_that_is_easy_to_guess_is_named_and_not_shown(tmp_path: Path, name: str, weak: str) -> None:
    warnings = warned(tmp_path, **{name: weak})
    assert list(warnings) == [f"RECEIVER_{name}"]
    assert "Easy to guess" in warnings[f"RECEIVER_{name}"]
    assert weak not in str(warnings)


def test_a_weak_token_behind_a_good_one_is_named(tmp_path: Path) -> None:
    assert list(warned(tmp_path, API_TOKENS=f"{LONG},{'a' * 16}")) == ["RECEIVER_API_TOKENS"]


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("ADMIN_PASSWORD", {"ADMIN_PASSWORD": "kM3v-9pQ"}),
        ("UPSTREAM_URL", {"UPSTREAM_URL": "http://api.example.org"}),
        ("UPSTREAM_URL", {"UPSTREAM_URL": "http://192.168.1.4:8080"}),
        ("UPSTREAM_URL", {"UPSTREAM_URL": "http://localhost.example.org"}),
        ("BIND", {"BIND": "0.0.0.0:8000"}),
        ("BIND", {"BIND": "[::]:8000"}),
        ("BIND", {"BIND": "10.0.0.11:8000"}),
        ("BIND", {"BIND": "receiver.example.org:80"}),
        ("TRUSTED_PROXIES", {"TRUSTED_PROXIES": "4"}),
        ("GIVE_UP_AFTER", {"GIVE_UP_AFTER": "89"}),
        ("GIVE_UP_AFTER", {"GIVE_UP_AFTER": "31536000"}),
        ("CALLBACK_GRACE", {"CALLBACK_GRACE": "80000"}),
        ("POLL_INTERVAL", {"POLL_INTERVAL": "0.5"}),
        ("POLL_MAX_INTERVAL", {"POLL_MAX_INTERVAL": "90000"}),
        ("POLL_LIMIT", {"POLL_LIMIT": "1/hour"}),
        ("POLL_TIMEOUT", {"POLL_TIMEOUT": "60"}),
        ("POLL_TIMEOUT", {"POLL_TIMEOUT": "0.5"}),
        ("POLL_TICK", {"POLL_TICK": "10"}),
        ("POLL_TICK", {"POLL_TICK": "0.01"}),
        ("POLL_CONCURRENCY", {"POLL_CONCURRENCY": "100"}),
        ("SIGNATURE_TOLERANCE", {"SIGNATURE_TOLERANCE": "86400"}),
        ("SIGNATURE_TOLERANCE", {"SIGNATURE_TOLERANCE": "1"}),
        ("MAX_BODY_BYTES", {"MAX_BODY_BYTES": "1000"}),
        ("RETENTION_DAYS", {"RETENTION_DAYS": "0.5"}),
        ("RETENTION_DAYS", {"RETENTION_DAYS": "36500"}),
        ("THREADS", {"WORKERS": "100", "THREADS": "100"}),
    ],
)
def test_a_value_that_is_probably_a_mistake_is_named(
    tmp_path: Path, name: str, changes: dict[str, str]
) -> None:
    assert list(warned(tmp_path, **changes)) == [f"RECEIVER_{name}"]


@pytest.mark.parametrize(
    "changes",
    [
        {"UPSTREAM_URL": "http://api.example.org", "UPSTREAM_API_KEY": ""},
        {"UPSTREAM_URL": "http://localhost:9"},
        {"UPSTREAM_URL": "http://[::1]:9"},
        {"BIND": "0.0.0.0:8000", "TRUSTED_PROXIES": "1"},
        {"BIND": "[::1]:8000"},
        {"BIND": "localhost:8000"},
        {"BIND": "unix:/run/receiver.sock"},
        {"GIVE_UP_AFTER": "90"},
    ],
)
def test_what_is_all_right_is_not_named(tmp_path: Path, changes: dict[str, str]) -> None:
    assert warned(tmp_path, **changes) == {}


def test_check_tells_of_each_and_calls_none_bad(tmp_path: Path) -> None:
    changes = {"UPSTREAM_URL": "http://api.example.org", "ADMIN_PASSWORD": "password"}
    first, *others = check_settings(environment(tmp_path, **changes))
    assert (first.level, first.detail) == (Level.OK, "complete and valid")
    assert {finding.level for finding in others} == {Level.WARNING}
    details = json.dumps([finding.detail for finding in others])
    assert "RECEIVER_UPSTREAM_URL: " in details
    assert "RECEIVER_ADMIN_PASSWORD: " in details


@pytest.mark.parametrize(
    ("host", "here"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("[::1]", True), ("LOCALHOST", True),
     ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("127.0.0.1.example.org", False), ("", False)],
)  # fmt: skip
def test_a_loopback_address_is_known(host: str, here: bool) -> None:
    assert is_loopback(host) is here
