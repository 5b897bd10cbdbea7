"""A secret in a file is read whole, or the start is refused: nothing is switched off in silence."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.settings import SECRETS, SettingsError, load_settings
from receiver.settings.environment import MAX_SECRET_BYTES, PREFIX
from tests.conftest import environment

NAMES = sorted(SECRETS)
NOBODY = 65534
GOOD = "a-secret-of-more-than-thirty-two-characters"


def refusal(folder: Path, name: str, file: str | Path) -> str:
    """What is said of this secret's file."""
    given = environment(folder)
    given.pop(PREFIX + name.upper(), None)
    variable = f"{PREFIX}{name.upper()}_FILE"
    with pytest.raises(SettingsError) as refused:
        load_settings(given | {variable: str(file)})
    lines = [line for line in str(refused.value).splitlines() if f"{variable}: " in line]
    assert len(lines) == 1, str(refused.value)
    return lines[0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b" ", b"\r\n\r\n", b"\t \n", b"\xef\xbb\xbf", b"\xef\xbb\xbf \n", "\u2003".encode()],
)
def test_a_named_file_that_is_empty_is_an_error_for_every_secret(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / "secret").write_bytes(content)
    assert "Is empty" in refusal(tmp_path, name, tmp_path / "secret")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe\x00\x01binary", "not UTF-8 text"),
        (b"\x80" * 40, "not UTF-8 text"),
        (GOOD.encode("utf-16"), "not UTF-8 text"),
        (GOOD.encode("utf-16-le"), "NUL"),
        (GOOD.encode() + b"\x00", "NUL"),
        (b"\x00" * 40, "NUL"),
        (b"x" * (MAX_SECRET_BYTES + 1), "more than 65536 bytes"),
        (b" " * (MAX_SECRET_BYTES + 1), "more than 65536 bytes"),
    ],
)
def test_a_file_that_is_no_secrets_is_an_error_for_every_secret(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / "secret").write_bytes(content)
    message = refusal(tmp_path, name, tmp_path / "secret")
    assert words in message
    assert GOOD not in message


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_file_is_an_error_and_is_never_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    places: list[str | Path] = [
        "/nowhere/at/all",
        tmp_path,
        tmp_path / "pipe",
        "/dev/zero",
        "/dev/null",
        tmp_path / "loop",
    ]
    for place in [*places, " ", "x" * 5000, "a\0b"]:
        assert "Cannot be read" in refusal(tmp_path, name, place)


@pytest.fixture
def nobody() -> Iterator[None]:
    """Root reads everything, and so is nobody for a while."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    yield
    os.seteuid(before)


def test_a_file_that_may_not_be_read_is_an_error(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    (tmp_path / "secret").write_text(GOOD, encoding="utf-8")
    (tmp_path / "secret").chmod(0)
    request.getfixturevalue("nobody")
    assert "Permission denied" in refusal(tmp_path, "signing_key", tmp_path / "secret")


@pytest.mark.parametrize("content", [f"{GOOD}\n", f"  {GOOD}\r\n", f"\ufeff{GOOD}", f"\n{GOOD}\n\n"])
def test_what_editors_put_around_a_secret_is_no_part_of_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "secret").write_bytes(content.encode())
    given = environment(tmp_path) | {"RECEIVER_SIGNING_KEY_FILE": str(tmp_path / "secret")}
    assert load_settings(given).signing_key == GOOD


@pytest.mark.parametrize(
    "name", ["signing_key", "secret_key", "admin_password", "upstream_api_key", "api_tokens"]
)
def test_a_file_of_two_lines_is_no_secret(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text(f"{GOOD}\n{GOOD}", encoding="utf-8")
    given = environment(tmp_path)
    given.pop(PREFIX + name.upper(), None)
    with pytest.raises(SettingsError, match=f"RECEIVER_{name.upper()}: "):
        load_settings(given | {f"{PREFIX}{name.upper()}_FILE": str(tmp_path / "secret")})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("blank", [" ", "\t", "   \n", "\u00a0", "\u3000"])
def test_a_variable_of_blanks_is_an_error_rather_than_no_secret(
    tmp_path: Path, name: str, blank: str
) -> None:
    with pytest.raises(SettingsError, match=f"RECEIVER_{name.upper()}: "):
        load_settings(environment(tmp_path, **{name.upper(): blank * 40}))


@pytest.mark.parametrize("name", ["signing_key", "upstream_api_key"])
def test_an_empty_variable_is_an_optional_secret_that_is_not_set(tmp_path: Path, name: str) -> None:
    assert getattr(load_settings(environment(tmp_path, **{name.upper(): ""})), name) == ""


def test_a_variable_that_names_no_file_is_not_set(tmp_path: Path) -> None:
    assert load_settings(environment(tmp_path) | {"RECEIVER_SIGNING_KEY_FILE": ""}).signing_key == ""
