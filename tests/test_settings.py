"""Settings are checked whole, and refused all at once by name."""

import re
import subprocess
from itertools import combinations
from pathlib import Path

import pytest

from receiver.core.settlement import Confirm
from receiver.settings import NAMES, SECRETS, SettingsError, load_settings
from receiver.settings.environment import PREFIX
from tests.conftest import environment

EXAMPLE = Path(__file__).resolve().parent.parent / "config" / "receiver.env.example"


def test_the_defaults_are_the_documented_ones(tmp_path: Path) -> None:
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
    assert (settings.give_up_after, settings.max_body_bytes, settings.retention_days) == (86400, 1048576, 30)
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
        re.split(r"\D", limit)[0]
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
    documented = set(
        re.findall(r"^#?(RECEIVER_[A-Z_]+)=", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    )
    assert documented == set(NAMES)


def test_the_examples_defaults_are_the_programs(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    shown = dict(
        re.findall(r"^#(RECEIVER_[A-Z_]+)='?(.+?)'?$", text.replace("=''\n", "=\n"), flags=re.MULTILINE)
    )
    required = {name: value for name, value in environment(tmp_path).items() if name not in shown}
    required = {name: value for name, value in required.items() if "UPSTREAM" not in name}
    assert load_settings(required | shown) == load_settings(required)


def test_every_setting_is_in_the_document_with_its_default() -> None:
    document = (EXAMPLE.parent.parent / "docs" / "configuration.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^\| `(RECEIVER_[A-Z_]+)` \| ([^|]+?) \|", document, flags=re.MULTILINE))
    assert shown.keys() == set(NAMES)
    example = re.findall(
        r"^#?(RECEIVER_[A-Z_]+)='?(.*?)'?$", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    for name, default in example:
        first = shown[name].split(", ")[0]
        assert first.strip("`") == default or (not default and first in ("empty", "required")), name


# What cannot be meant

DIFFERENT = (
    "CALLBACK_TOKENS",
    "API_TOKENS",
    "ADMIN_PASSWORD",
    "SECRET_KEY",
    "SIGNING_KEY",
    "UPSTREAM_API_KEY",
)
SHARED = "one-secret-for-everything-0123456789"


@pytest.mark.parametrize(("name", "other"), list(combinations(DIFFERENT, 2)))
def test_two_secrets_that_are_the_same_are_both_named_and_not_shown(
    tmp_path: Path, name: str, other: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(environment(tmp_path, **{name: SHARED, other: SHARED}))
    assert f"RECEIVER_{name}: Must not have the same value as RECEIVER_{other}." in str(refused.value)
    assert f"RECEIVER_{other}: Must not have the same value as RECEIVER_{name}." in str(refused.value)
    assert SHARED not in str(refused.value)


@pytest.mark.parametrize("name", DIFFERENT[1:])
def test_a_token_of_a_rotation_counts_as_much_as_the_first_one(tmp_path: Path, name: str) -> None:
    tokens = f"new-token-00000001, {SHARED}"
    with pytest.raises(SettingsError, match=f"RECEIVER_{name}: Must not have the same value"):
        load_settings(environment(tmp_path, CALLBACK_TOKENS=tokens, **{name: SHARED}))


def test_secrets_from_files_must_differ_too(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{SHARED}\n", encoding="utf-8")
    given = environment(tmp_path, API_TOKENS=SHARED) | {"RECEIVER_SIGNING_KEY_FILE": str(tmp_path / "key")}
    with pytest.raises(SettingsError, match="RECEIVER_SIGNING_KEY: Must not have the same value"):
        load_settings(given)


def test_secrets_that_are_the_same_are_named_beside_other_wrong_settings(tmp_path: Path) -> None:
    changes = {"API_TOKENS": SHARED, "SECRET_KEY": SHARED, "WORKERS": "many", "POLL_MAX_INTERVAL": "1"}
    with pytest.raises(SettingsError) as refused:
        load_settings(environment(tmp_path, **changes))
    for name in changes:
        assert f"RECEIVER_{name}: " in str(refused.value)


NUMBERS = (
    "WORKERS", "THREADS", "MAX_BODY_BYTES", "POLL_CONCURRENCY", "SIGNATURE_TOLERANCE", "CALLBACK_GRACE", "POLL_INTERVAL",
    "POLL_MAX_INTERVAL", "POLL_TIMEOUT", "POLL_TICK", "GIVE_UP_AFTER", "RETENTION_DAYS",
)  # fmt: skip
NO_NUMBERS = ("0", "-1", "nan", "inf", "-inf", "1e999", "1000000000", "1e12", "9" * 5000, "1e-9", "x", " ")


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", NO_NUMBERS)
def test_a_number_that_cannot_be_meant_is_refused(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"RECEIVER_{name}: "):
        load_settings(environment(tmp_path, **{name: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKERS", "257"), ("WORKERS", "1000000"), ("THREADS", "1025"), ("THREADS", "1000000"), ("WORKERS", "2.5"),
        ("MAX_BODY_BYTES", "16777217"), ("MAX_BODY_BYTES", "1073741824"),
        ("TRUSTED_PROXIES", "50"), ("TRUSTED_PROXIES", "11"), ("TRUSTED_PROXIES", "-1"), ("TRUSTED_PROXIES", "1.5"),
        ("POLL_CONCURRENCY", "257"), ("POLL_TICK", "61"), ("POLL_TICK", "0.001"), ("POLL_TIMEOUT", "301"),
        ("POLL_TIMEOUT", "0.001"), ("POLL_INTERVAL", "0.001"), ("SIGNATURE_TOLERANCE", "0.5"),
        ("SIGNATURE_TOLERANCE", "86401"), ("CALLBACK_GRACE", "604801"), ("GIVE_UP_AFTER", "99999999"),
        ("RETENTION_DAYS", "36501"), ("POLL_MAX_INTERVAL", "29"),
        ("POLL_LIMIT", "0/second"), ("POLL_LIMIT", "10001/second"), ("POLL_LIMIT", "1/year"),
        ("POLL_LIMIT", "1 per 99999999999 seconds"), ("POLL_LIMIT", "-1/second"),
        ("SIGNING_KEY", "x"), ("SIGNING_KEY", "fifteen-letters"), ("SIGNING_KEY", " " * 40), ("SIGNING_KEY", "a\nb" * 9),
        ("ADMIN_PASSWORD", " " * 20), ("ADMIN_PASSWORD", "seven77"), ("ADMIN_PASSWORD", "with a\ttabulator"),
        ("SECRET_KEY", " " * 40), ("SECRET_KEY", "x" * 31), ("SECRET_KEY", "\x7f" * 40),
        ("UPSTREAM_API_KEY", "two words"), ("UPSTREAM_API_KEY", "schlüssel"), ("UPSTREAM_API_KEY", "a\nb"),
        ("API_TOKENS", " , ,"), ("CALLBACK_TOKENS", "short,long-enough-for-all"), ("LOG_FORMAT", "xml"),
    ],
)  # fmt: skip
def test_a_value_out_of_bounds_is_refused(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"RECEIVER_{name}: "):
        load_settings(environment(tmp_path, **{name: value}))


@pytest.mark.parametrize("name", [name.removeprefix(PREFIX) for name in NAMES])
@pytest.mark.parametrize("odd", ["\0", "\udc80"])
def test_what_is_no_text_is_refused_everywhere(tmp_path: Path, name: str, odd: str) -> None:
    with pytest.raises(SettingsError, match=f"RECEIVER_{name}: Must"):
        load_settings(environment(tmp_path, **{name: f"a{odd}-value-that-would-be-long-enough"}))


@pytest.mark.parametrize(
    "bind",
    ["127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:99999", "127.0.0.1:-1", "127.0.0.1", "127.0.0.1:", ":8000", "8000",
     "999.0.0.1:8000", "1.2.3:8000", "[::1:8000", "::1:8000", "[::g]:8000", "[1.2.3.4]:8000", "[::1]8000", "[]:8000",
     "[fe80::1%eth0]:8000", "a b:8000", "a..b:8000", "-a:8000", "x" * 300 + ":8000", "host:80 80", "host:８０",
     "unix:", "unix:receiver.sock", "unix:./receiver.sock", "unix:/run/", "unix:/" + "x" * 107, "unix:/tmp",
     "tcp://127.0.0.1:80", "http://127.0.0.1:80", "fd://3"],
)  # fmt: skip
def test_a_place_where_nobody_can_listen_is_refused(tmp_path: Path, bind: str) -> None:
    with pytest.raises(SettingsError, match="RECEIVER_BIND: "):
        load_settings(environment(tmp_path, BIND=bind))


@pytest.mark.parametrize(
    "bind",
    ["127.0.0.1:1", "0.0.0.0:65535", "[::1]:8000", "[::]:80", "localhost:8000", "my_host-1.example.org:8000",
     "unix:/run/receiver/receiver.sock"],
)  # fmt: skip
def test_a_place_where_one_can_listen_is_taken(tmp_path: Path, bind: str) -> None:
    assert load_settings(environment(tmp_path, BIND=bind)).bind == bind


@pytest.mark.parametrize(
    "url",
    ["sqlite:////tmp", "sqlite:////tmp/", "sqlite:////nowhere/receiver/", "sqlite:////dev/null", "sqlite:///a\nb",
     "sqlite://host/receiver.db", "sqlite:///file:x.db?uri=true", "sqlite:///x.db?mode=ro", "sqlite",
     "postgresql+psycopg://db:99999/x", "postgresql+psycopg://db:0/x", "postgresql+psycopg://db:port/x",
     "postgresql+psycopg://db/x\n", "https://db/x", " "],
)  # fmt: skip
def test_a_database_that_cannot_be_there_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingsError, match="RECEIVER_DATABASE_URL: "):
        load_settings(environment(tmp_path, DATABASE_URL=url))


@pytest.mark.parametrize(
    "url",
    ["http://x:0", "http://x:99999", "http://x:port", "http://999.1.1.1", "ftp://x", "https://", "https://u:p@x",
     "https://x?a=b", "https://x#a", "https://x y", "https://x\n", "x", "https://-x", "https://x..y"],
)  # fmt: skip
def test_an_upstream_that_cannot_be_there_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingsError, match="RECEIVER_UPSTREAM_URL: "):
        load_settings(environment(tmp_path, UPSTREAM_URL=url))


@pytest.mark.parametrize(
    ("given", "expected"),
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
    tmp_path: Path, given: str, expected: str
) -> None:
    assert load_settings(environment(tmp_path, UPSTREAM_URL=given)).upstream_url == expected


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("/api", ""),
        ("/api/", ""),
        ("//api//", ""),
        ("/API", ""),
        ("/v1", ""),
        ("/v1/", ""),
        ("/generate", ""),
        ("/record-info", ""),
        ("/v1/generate", ""),
        ("/v1/generate/record-info", ""),
        ("/generate/record-info", ""),
        ("/api/v1/generate", ""),
        ("/api/v1/generate/", ""),
        ("/API/V1/Generate", ""),
        ("/api/v1/generate/record-info", ""),
        ("/api/v1/generate/record-info/", ""),
        ("/api//v1//generate", ""),
        ("/api/v1/lyrics/record-info", ""),
        ("/api/v1/jobs/createTask", ""),
        ("/api/v1/v1", ""),
        ("/api/v1/api", ""),
        ("/api/v1/generate/api/v1", ""),
        ("/ap%69/v%31/generate", ""),
        ("/api%2Fv1", ""),
        ("/api/%76%31", ""),
        ("/relay/api", "/relay"),
        ("/relay/v1", "/relay"),
        ("/relay/api/v1/generate", "/relay"),
        ("/a/relay/api/v1/generate/record-info", "/a/relay"),
    ],
)
def test_a_piece_of_a_calls_path_in_the_upstreams_url_is_refused_with_what_to_write(
    tmp_path: Path, path: str, right: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(environment(tmp_path, UPSTREAM_URL=f"https://api.example.org:8443{path}"))
    advice = f"Must end before the path of the calls: write https://api.example.org:8443{right}\n"
    assert f"RECEIVER_UPSTREAM_URL: {advice}" in str(refused.value)
    written = load_settings(environment(tmp_path, UPSTREAM_URL=f"https://api.example.org:8443{right}"))
    assert written.upstream_url == f"https://api.example.org:8443{right}"


@pytest.mark.parametrize(
    "path",
    ["/..", "/.", "/../api/v1", "/api/v1/..", "/api/../v1", "/%2e%2e", "/relay/%2E", "/api/v1;x", "/relay;v=1", "/a%00",
     "/a%0ab", "/a%20b", "/a%255c", "/api\\v1"],
)  # fmt: skip
def test_a_path_that_is_not_plain_is_refused_in_the_upstreams_url(tmp_path: Path, path: str) -> None:
    with pytest.raises(SettingsError, match="RECEIVER_UPSTREAM_URL: "):
        load_settings(environment(tmp_path, UPSTREAM_URL=f"https://api.example.org{path}"))


@pytest.mark.parametrize(
    "path",
    ["/relay", "/apis", "/my-api", "/api-v1", "/api/v10", "/api/v2", "/v1beta", "/regenerate", "/api/relay",
     "/v1/relay", "/a.b/c", "/...", "/%72elay", "/m%C3%BCsik"],
)  # fmt: skip
def test_a_path_of_a_relays_own_is_taken_as_it_is(tmp_path: Path, path: str) -> None:
    url = f"https://api.example.org{path}"
    assert load_settings(environment(tmp_path, UPSTREAM_URL=url)).upstream_url == url
