"""Settings are checked whole, and refused all at once by name."""

import re
import subprocess
from pathlib import Path

import pytest

from receiver.core.settlement import Confirm
from receiver.settings import NAMES, PREFIX, SECRETS, SettingsError, load_settings
from tests.conftest import environment

EXAMPLE = Path(__file__).resolve().parent.parent / "config" / "receiver.env.example"


def test_the_defaults_are_the_contracts(tmp_path: Path) -> None:
    given = environment(tmp_path)
    for name in ("DATABASE_URL", "UPSTREAM_API_KEY", "UPSTREAM_URL"):
        del given[PREFIX + name]
    settings = load_settings(given)
    assert settings.bind == "127.0.0.1:8000"
    assert settings.database_url == "sqlite:///instance/receiver.db"
    assert settings.upstream_url == "https://api.apikley.ru"
    assert settings.confirm is Confirm.SUSPECT
    assert (settings.callback_grace, settings.poll_interval, settings.poll_max_interval) == (90, 30, 900)
    assert (settings.poll_limit.amount, settings.poll_limit.period_s) == (2, 1)
    assert (settings.poll_concurrency, settings.poll_timeout, settings.poll_tick) == (8, 10, 1)
    assert (settings.give_up_after, settings.max_body_bytes, settings.retention_days) == (86400, 262144, 30)
    assert settings.poller
    assert not settings.rules.policy.can_confirm


def test_every_wrong_setting_is_named_in_one_message() -> None:
    wrong = {
        "RECEIVER_WORKERS": "many",
        "RECEIVER_CONFIRM": "sometimes",
        "RECEIVER_POLL_LIMIT": "fast",
        "RECEIVER_CALLBACK_TOKENS": "short",
        "RECEIVER_DATABASE_URL": "mysql://nowhere/db",
        "RECEIVER_UPSTREAM_URL": "api.example.org",
        "RECEIVER_POLLER": "maybe",
        "RECEIVER_CALBACK_GRACE": "90",
        "RECEIVER_SECRET_KEY_FILE": "/nowhere/at/all",
    }
    with pytest.raises(SettingsError) as refused:
        load_settings(wrong)
    for name in [*wrong, "RECEIVER_API_TOKENS", "RECEIVER_ADMIN_PASSWORD"]:
        assert f"{name}: " in str(refused.value)


@pytest.mark.parametrize(
    "url",
    ["postgresql://db/receiver", "postgresql+asyncpg://db/x", "sqlite://", "sqlite:///:memory:", "db.sqlite"],
)
def test_a_database_that_this_program_cannot_use_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(
        SettingsError, match=r"RECEIVER_DATABASE_URL: Must be sqlite:///.* or postgresql\+psycopg://"
    ):
        load_settings(environment(tmp_path, DATABASE_URL=url))


def test_a_wrong_secret_is_not_repeated_in_the_message(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(environment(tmp_path, CALLBACK_TOKENS="tiny-secret"))
    assert "tiny-secret" not in str(refused.value)


@pytest.mark.parametrize("limit", ["2/second", "20 per 10 seconds", "100/minute"])
def test_limits_are_read_in_their_notation(tmp_path: Path, limit: str) -> None:
    assert load_settings(environment(tmp_path, POLL_LIMIT=limit)).poll_limit.amount == int(
        re.match(r"\d+", limit)[0]
    )


def test_a_second_rate_is_refused_rather_than_ignored(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="RECEIVER_POLL_LIMIT"):
        load_settings(environment(tmp_path, POLL_LIMIT="2/second;100/hour"))


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_each_secret_can_come_from_a_file(tmp_path: Path, name: str) -> None:
    value = "a-secret-of-more-than-thirty-two-characters"
    if name == "database_url":
        value = "postgresql+psycopg://receiver:a-password@db.example.org/receiver"
    (tmp_path / "secret").write_text(value + "\n", encoding="utf-8")
    given = environment(tmp_path)
    given.pop(PREFIX + name.upper(), None)
    settings = load_settings(given | {f"{PREFIX}{name.upper()}_FILE": str(tmp_path / "secret")})
    assert getattr(settings, name) in (value, (value,))


def test_a_secret_and_its_file_are_not_both_given(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("x" * 40, encoding="utf-8")
    with pytest.raises(SettingsError, match="RECEIVER_SECRET_KEY_FILE"):
        load_settings(environment(tmp_path) | {"RECEIVER_SECRET_KEY_FILE": str(tmp_path / "key")})


def test_all_callback_tokens_are_kept_in_their_order(tmp_path: Path) -> None:
    settings = load_settings(environment(tmp_path, CALLBACK_TOKENS="new-token-00000001, old-token-00000001"))
    assert settings.callback_tokens == ("new-token-00000001", "old-token-00000001")


def test_a_shell_reads_the_examples_form_as_systemd_does(tmp_path: Path) -> None:
    odd = """my pa$$word "#1" & more; `x` \\ """
    text = EXAMPLE.read_text(encoding="utf-8").replace(
        "RECEIVER_ADMIN_PASSWORD=''", f"RECEIVER_ADMIN_PASSWORD='{odd}'"
    )
    (tmp_path / "receiver.env").write_text(text, encoding="utf-8")
    command = f'set -aeu; . {tmp_path}/receiver.env; printf %s "$RECEIVER_ADMIN_PASSWORD"'
    assert subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout == odd


def test_every_setting_is_in_the_example() -> None:
    documented = set(re.findall(r"^#?(RECEIVER_[A-Z_]+)=", EXAMPLE.read_text(encoding="utf-8"), flags=re.M))
    assert documented == set(NAMES)


def test_the_examples_defaults_are_the_programs(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    shown = dict(re.findall(r"^#(RECEIVER_[A-Z_]+)='?(.+?)'?$", text.replace("=''\n", "=\n"), flags=re.M))
    required = {name: value for name, value in environment(tmp_path).items() if name not in shown}
    required = {name: value for name, value in required.items() if "UPSTREAM" not in name}
    assert load_settings(required | shown) == load_settings(required)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://api.example.org", "https://api.example.org"),
        ("https://api.example.org/", "https://api.example.org"),
        ("https://api.example.org/api/v1", "https://api.example.org"),
        ("https://api.example.org/api/v1/", "https://api.example.org"),
        ("https://api.example.org//api//v1//", "https://api.example.org"),
        ("https://api.example.org/API/V1", "https://api.example.org"),
        ("http://127.0.0.1:9000/relay/api/v1", "http://127.0.0.1:9000/relay"),
        ("https://api.example.org/api/v10", "https://api.example.org/api/v10"),
    ],
)
def test_the_upstreams_url_may_end_in_the_path_that_all_documents_write(
    tmp_path: Path, given: str, kept: str
) -> None:
    assert load_settings(environment(tmp_path, UPSTREAM_URL=given)).upstream_url == kept
