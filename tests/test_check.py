"""`receiver check` names what is wrong, in the world around the receiver too."""

import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from receiver.check import Finding, Level, run_checks
from receiver.check.finding import fail, is_database_usable, ok, warning
from receiver.clock import utc_now
from receiver.core.payloads import Trouble
from receiver.core.upstream_health import UpstreamHealth
from receiver.runtime import Runtime
from receiver.store import upstream_status
from receiver.upstream import http_probe
from tests.conftest import BOTH_STORES, environment, need

agents: list[str] = []
NOT_KNOWN = b'{"code": 200, "msg": "success", "data": null}'


@contextmanager
def serving(
    *,
    clock_off: timedelta = timedelta(),
    certificate: Path | None = None,
    status: int = 200,
    body: bytes = NOT_KNOWN,
) -> Iterator[str]:
    """A server that answers everything alike, with a clock of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            agents.append(self.headers["User-Agent"])
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if self.command != "HEAD" else b"")

        do_POST = do_HEAD = do_GET

        def date_time_string(self, timestamp: float | None = None) -> str:
            return format_datetime(datetime.now(UTC) + clock_off, usegmt=True)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def findings(folder: Path, url: str | None = None, **changes: str) -> list[Finding]:
    return run_checks(environment(folder, **changes), url=url, now=utc_now())


def about(found: list[Finding], name: str) -> list[tuple[Level, str]]:
    return [(finding.level, finding.detail) for finding in found if finding.name == name]


@pytest.mark.parametrize(
    ("off", "level", "words"),
    [
        (0, Level.OK, "agrees"),
        (12, Level.WARNING, "behind the upstream's"),
        (-90, Level.FAIL, "ahead of the upstream's"),
    ],
)
def test_a_clock_that_is_off_is_named(
    runtime: Runtime, tmp_path: Path, off: int, level: Level, words: str
) -> None:
    with serving(clock_off=timedelta(seconds=off)) as upstream:
        ((found, details),) = about(findings(tmp_path, UPSTREAM_URL=upstream), "clock")
    assert (found, words in details) == (level, True), details


@BOTH_STORES
def test_the_database_is_tried_whichever_it_is(runtime: Runtime, tmp_path: Path) -> None:
    url = runtime.database.url.render_as_string(hide_password=False)
    found = findings(tmp_path, DATABASE_URL=url, UPSTREAM_API_KEY="")
    assert about(found, "database")[0][0] is Level.OK
    assert about(found, "poller")[0][0] is Level.FAIL
    assert "callbacks only" in about(found, "upstream")[0][1]
    assert bool(about(found, "clock")) == (not runtime.database.is_sqlite)


def test_a_database_that_anybody_can_read_is_named(runtime: Runtime, tmp_path: Path) -> None:
    file = tmp_path / "receiver.db"
    file.chmod(0o644)
    for mode, warned in ((0o700, False), (0o755, True)):
        tmp_path.chmod(mode)
        assert bool(about(findings(tmp_path, UPSTREAM_API_KEY=""), "permissions")) == warned
    tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("receiver.example.org", "not an http:// or https:// address"),
        ("http://127.0.0.1:no", "not an http:// or https:// address"),
        ("http://no..where", "does not resolve"),
        ("https://receiver.example.org/callbacks/secret", "pass the address alone"),
        ("https://receiver.example.org?token=secret", "pass the address alone"),
        ("https://receiver.example.org#secret", "pass the address alone"),
        ("http://user:secret@127.0.0.1:9", "pass the address alone"),
        ("http://secret@127.0.0.1:9/", "pass the address alone"),
        ("http://:@127.0.0.1:9", "pass the address alone"),
        ("receiver.example.org/callbacks/secret", "not an http:// or https:// address"),
        ("http://127.0.0.1:9", "Connection refused"),
    ],
)
def test_an_address_that_leads_nowhere_is_named(
    runtime: Runtime, tmp_path: Path, url: str, words: str
) -> None:
    details = about(findings(tmp_path, url, UPSTREAM_API_KEY=""), "callback URL")
    assert (details[-1][0], words in details[-1][1]) == (Level.FAIL, True), details
    assert "secret" not in str(details)


def test_a_database_that_cannot_be_reached_is_named_in_one_line(tmp_path: Path) -> None:
    nowhere = "postgresql+psycopg://nobody@/none?host=127.0.0.1,127.0.0.1&port=9,10"
    details = about(findings(tmp_path, DATABASE_URL=nowhere, UPSTREAM_API_KEY=""), "database")
    assert (details[0][0], "\n" in details[0][1]) == (Level.FAIL, False), details


def test_the_way_from_outside_is_looked_at_without_a_database_too_and_makes_none(tmp_path: Path) -> None:
    with serving() as url:
        details = about(findings(tmp_path, url, UPSTREAM_API_KEY=""), "callback URL")
    assert "without the database it is unknown" in str(details)
    assert not list(tmp_path.iterdir())


def test_what_answers_but_is_no_receiver_is_named(runtime: Runtime, tmp_path: Path) -> None:
    with serving() as url:
        details = about(findings(tmp_path, url, UPSTREAM_API_KEY=""), "callback URL")
    assert (Level.FAIL, True) in [(level, "instead of a receiver's 404" in words) for level, words in details]


@pytest.fixture
def certificate(tmp_path: Path) -> Callable[[int], Path]:
    openssl = need("openssl", shutil.which("openssl"))

    def make(days: int) -> Path:
        file = tmp_path / f"{days}.pem"
        command = (
            f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days {days} -subj /CN=test"
        )
        more = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(file), "-out", f"{file}.crt"]
        subprocess.run([openssl, *command.split(), *more], check=True, capture_output=True)
        file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
        return file

    return make


def test_a_certificate_that_nobody_trusts_is_named(
    runtime: Runtime, tmp_path: Path, certificate: Callable[[int], Path]
) -> None:
    with serving(certificate=certificate(90)) as url:
        details = about(findings(tmp_path, url, UPSTREAM_API_KEY=""), "callback URL")
    assert (details[-1][0], "TLS certificate is not accepted" in details[-1][1]) == (Level.FAIL, True), (
        details
    )


def test_the_day_a_certificate_ends_is_seen(
    certificate: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = certificate(10)
    monkeypatch.setenv("SSL_CERT_FILE", f"{file}.crt")
    with serving(certificate=file) as url:
        ends = http_probe.certificate_ends("127.0.0.1", int(url.rsplit(":", 1)[1]))
    assert ends is not None
    assert timedelta(days=9) < ends - utc_now() < timedelta(days=11)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b"404 page not found"),
        (404, b"<html>nginx</html>"),
        (404, b'{"detail": "Not Found"}'),
        (404, b'{"timestamp": 1, "status": 404, "error": "Not Found"}'),
        (200, b"<html>welcome</html>"),
        (200, b'{"status": "ok"}'),
        (301, b""),
    ],
)
def test_an_upstream_url_that_is_wrong_is_named(
    runtime: Runtime, tmp_path: Path, status: int, body: bytes
) -> None:
    with serving(status=status, body=body) as upstream:
        ((level, details),) = about(findings(tmp_path, UPSTREAM_URL=upstream), "upstream")
    assert level is Level.FAIL
    assert "the URL is wrong, check RECEIVER_UPSTREAM_URL" in details
    assert f"HTTP {status}" in details


@pytest.mark.parametrize(
    ("status", "body", "level", "words"),
    [
        (200, NOT_KNOWN, Level.OK, "accepts the key"),
        (200, b'{"code": 422, "msg": "recordInfo is null", "data": null}', Level.OK, "accepts the key"),
        (404, b'{"code": 404, "msg": "not found"}', Level.OK, "accepts the key"),
        (200, b'{"code": 500, "msg": "x", "data": null}', Level.WARNING, "code 500"),
        (200, b'{"code": 401, "msg": "x", "data": null}', Level.FAIL, "the API key is rejected"),
        (403, b"error code: 1010", Level.FAIL, "denies our calls (HTTP 403)"),
        (502, b"", Level.FAIL, "server errors (HTTP 502)"),
        (429, b"", Level.FAIL, "slow down (HTTP 429)"),
    ],
)
def test_what_the_upstream_says_is_said_in_plain_words(
    runtime: Runtime, tmp_path: Path, status: int, body: bytes, level: Level, words: str
) -> None:
    with serving(status=status, body=body) as upstream:
        ((found, details),) = about(findings(tmp_path, UPSTREAM_URL=upstream), "upstream")
    assert (found, words in details) == (level, True), details
    assert {agent.partition("/")[0] for agent in agents if agent} == {"receiver"}


def save_health(runtime: Runtime, **known: Any) -> None:
    with runtime.database.write() as connection:
        upstream_status.save_health(connection, UpstreamHealth(**known))


@pytest.mark.parametrize("trouble", Trouble)
@pytest.mark.parametrize("left_s", [300, -5])
def test_while_polling_is_paused_it_is_bad_and_says_since_when_and_why(
    runtime: Runtime, tmp_path: Path, trouble: Trouble, left_s: float
) -> None:
    now = utc_now()
    save_health(
        runtime,
        failures=2,
        trouble=trouble.value,
        detail="HTTP 599",
        paused_since=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        paused_until=now + timedelta(seconds=left_s),
    )
    with serving() as upstream:
        ((level, details),) = about(findings(tmp_path, UPSTREAM_URL=upstream), "polling")
    assert level is Level.FAIL
    for words in ("paused since 2026-01-02 03:04:05 UTC", trouble.meaning, "(HTTP 599)"):
        assert words in details


def test_one_tasks_failed_call_is_no_pause(runtime: Runtime, tmp_path: Path) -> None:
    save_health(runtime, trouble="server_error", detail="HTTP 500", failed_task="t")
    with serving() as upstream:
        assert not about(findings(tmp_path, UPSTREAM_URL=upstream), "polling")


def test_a_key_refused_here_counts_as_refused_and_one_accepted_is_tried_again_at_once(
    runtime: Runtime, tmp_path: Path
) -> None:
    with serving(body=b'{"code": 401, "msg": "x", "data": null}') as upstream:
        findings(tmp_path, UPSTREAM_URL=upstream)
    with runtime.database.read() as connection:
        health = upstream_status.read_health(connection)
    assert (health.trouble, health.paused(utc_now())) == ("refused", True)
    with serving() as upstream:
        assert about(findings(tmp_path, UPSTREAM_URL=upstream), "polling")[0][0] is Level.FAIL
    with runtime.database.read() as connection:
        health = upstream_status.read_health(connection)
    assert (health.trouble, health.paused(utc_now())) == ("refused", False)


def test_a_full_disk_hides_nothing_that_the_database_says() -> None:
    fine = [
        ok("settings", "valid"),
        ok("database", "takes writes"),
        warning("permissions", "anybody reads it"),
    ]
    full = fail("disk", "nearly full")
    assert is_database_usable([*fine, full])
    assert is_database_usable([full, *fine])
    broken = fail("database", "does not exist")
    assert not is_database_usable([broken, *fine])
    assert not is_database_usable([*fine, broken, full])
