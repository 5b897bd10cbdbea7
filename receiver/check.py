"""Is this deployment set up right: plain sentences, for a person at a terminal."""

import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from receiver.core.observation import Source
from receiver.core.payloads import Trouble
from receiver.settings import Settings, SettingsError, load_settings
from receiver.store import lease, tallies
from receiver.store.backup import database_file
from receiver.store.database import Database, StoreUnavailableError, clock_of
from receiver.store.probe import probe_write
from receiver.store.versions import NewerTablesError, read_versions
from receiver.upstream import reach
from receiver.upstream.client import Answer, UpstreamClient

NOBODY = "receiver-check-no-such-task"
CLOCK_DOUBTFUL, CLOCK_WRONG = timedelta(seconds=5), timedelta(seconds=30)
RUNNING_OUT = timedelta(days=14)
LITTLE_SPACE, LITTLE_OF_DISK = 10**9, 0.05
REFUSALS = 3
COUNTED_WITHIN_S = 3.0  # and two ticks: a worker writes them down at each
HIDDEN = ("/readyz", "/metrics")


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    BAD = "BAD"


@dataclass(frozen=True, kw_only=True)
class Finding:
    name: str
    level: Level
    detail: str

    def __str__(self) -> str:
        return f"{self.level:8}{self.name}: {self.detail}"

    @property
    def shown(self) -> dict[str, object]:
        return asdict(self) | {"ok": self.level is not Level.BAD}


def ok(name: str, detail: str) -> Finding:
    return Finding(name=name, level=Level.OK, detail=detail)


def warning(name: str, detail: str) -> Finding:
    return Finding(name=name, level=Level.WARNING, detail=detail)


def bad(name: str, detail: str) -> Finding:
    return Finding(name=name, level=Level.BAD, detail=detail)


def run_checks(environment: Mapping[str, str], *, url: str | None, now: datetime) -> list[Finding]:
    """All findings, or the settings' alone when these are wrong. `url` is where the upstream reaches us."""
    try:
        settings = load_settings(environment)
    except SettingsError as error:
        return [bad("settings", str(error))]
    found = [ok("settings", "complete and valid"), *_files(settings)]
    if found[-1].level is not Level.BAD:
        found += _database(settings, now)
    found += _upstream(settings, now)
    return [*found, *_outside(settings, url, now)]


def _files(settings: Settings) -> Iterator[Finding]:
    """Where the database is a file: whether it is there, for whom, and how much room is left."""
    file = database_file(settings.database_url)
    if file is None:
        return
    if not file.exists():
        yield bad("database", f"{file} is not there yet: start the server, or run `receiver upgrade`")
        return
    disk, size = shutil.disk_usage(file.parent), file.stat().st_size
    room = f"{disk.free / 1e9:,.1f} GB free, the database has {size / 1e6:,.0f} MB"
    little = disk.free < max(LITTLE_SPACE, LITTLE_OF_DISK * disk.total, 2 * size)
    advice = "; an upgrade may take twice the database's size for a while"
    yield warning("disk", room + advice) if little else ok("disk", room)
    if _anybody_reads(file):
        yield warning("permissions", f"anybody on this machine can read {file}: chmod 700 {file.parent}")
    if file.stat().st_uid != os.geteuid():
        yield warning("permissions", f"{file} belongs to another user: run commands as the server's user")


def _anybody_reads(file: Path) -> bool:
    return bool(file.stat().st_mode & 0o004 and file.parent.stat().st_mode & 0o001)


def _database(settings: Settings, now: datetime) -> Iterator[Finding]:
    database = Database(settings.database_url)
    try:
        with database.read() as connection:
            versions = read_versions(connection)
        if versions.pending:
            has = f"of version {versions.tables}" if versions.tables else "not made"
            detail = f"its tables are {has}, this program's of {versions.program}: run `receiver upgrade`"
            yield bad("database", detail)
            return
        with database.write() as connection:
            probe_write(connection, now=now)
            here, there = datetime.now(UTC), clock_of(connection)
            held = lease.read(connection)
    except (StoreUnavailableError, NewerTablesError) as error:
        yield bad("database", f"cannot be used: {error}")
        return
    finally:
        database.engine.dispose()
    yield ok("database", f"takes writes, tables are of version {versions.program}, as they should be")
    if not database.is_sqlite:
        yield _clock("the database's", there, here)
    alive = held is not None and held.valid(there)
    yield (
        ok("poller", f"held by {held.holder}")
        if held and alive
        else bad("poller", "nobody polls now: is the server running, with RECEIVER_POLLER=on somewhere?")
    )


def _upstream(settings: Settings, now: datetime) -> Iterator[Finding]:
    """Ask about a task that cannot exist: whoever may ask is told that it does not."""
    if not settings.upstream_api_key:
        yield warning(
            "upstream", "no RECEIVER_UPSTREAM_API_KEY: callbacks only, nothing is polled or confirmed"
        )
        return
    client = UpstreamClient(
        url=settings.upstream_url,
        api_key=settings.upstream_api_key,
        timeout_s=settings.poll_timeout,
        concurrency=1,
    )
    told = client.fetch(NOBODY, now=now)
    client.close()
    if isinstance(told, Answer):
        yield ok("upstream", f"{settings.upstream_url} accepts the key")
    elif told.trouble is Trouble.REFUSED:
        yield bad("upstream", "the API key is refused: check RECEIVER_UPSTREAM_API_KEY")
    else:
        yield bad("upstream", f"{settings.upstream_url}: {told.trouble.value} ({told.detail})")
    times = reach.time_at(settings.upstream_url)
    if times is not None:
        yield _clock("the upstream's", *times)


def _clock(whose: str, there: datetime, here: datetime) -> Finding:
    off = here - there
    words = f"{abs(off.total_seconds()):.0f} s {'ahead of' if off > timedelta() else 'behind'} {whose} clock"
    if abs(off) < CLOCK_DOUBTFUL:
        return ok("clock", f"agrees with {whose}")
    if abs(off) < CLOCK_WRONG:
        return warning("clock", f"{words}: is the time synchronized here?")
    return bad("clock", f"{words}: signatures, leases and times shown rest on it; synchronize it")


def _outside(settings: Settings, url: str | None, now: datetime) -> Iterator[Finding]:
    """Walk the upstream's way as far as this machine can: whatever may stop others only is not seen from here."""
    name = "callback URL"
    if url is None:
        yield warning(
            name, "not looked at: give --url https://receiver.example.org, as the upstream knows it"
        )
        return
    parts = _parts(url)
    if parts is None or not parts.hostname:
        yield bad(name, f"{url!r} is no http:// or https:// address")
        return
    found = reach.addresses(parts.hostname)
    if not found:
        yield bad(name, f"the name {parts.hostname} leads nowhere")
        return
    if parts.scheme == "http":
        yield warning(name, "http:// shows the token in the path to whoever carries it: use https://")
    if not any(address.is_global for address in found):
        places = ", ".join(sorted({str(address) for address in found}))
        yield warning(name, f"{places} is an address of this machine or network: no upstream comes that way")
    base = url.rstrip("/")
    alive = reach.ask(f"{base}/healthz")
    if alive.status != 200:
        yield bad(name, f"{base}/healthz: {alive.why or f'HTTP {alive.status}'}")
        return
    if parts.scheme == "https":
        yield from _certificate(parts.hostname, parts.port or 443, now)
    yield _callbacks_come_here(settings, base)
    for path in HIDDEN:
        if reach.ask(base + path).status == 200:
            yield warning(name, f"{path} answers anybody: keep it for yourself, as the proxy's examples do")


def _parts(url: str) -> SplitResult | None:
    with suppress(ValueError):  # which reading the port may raise too
        parts = urlsplit(url)
        return parts if parts.scheme in ("http", "https") and parts.port != 0 else None
    return None


def _certificate(host: str, port: int, now: datetime) -> Iterator[Finding]:
    ends = reach.certificate_ends(host, port)
    if ends is not None:
        words = f"valid until {ends:%Y-%m-%d}, {(ends - now).days} days"
        yield (warning if ends - now < RUNNING_OUT else ok)("certificate", words)


def _callbacks_come_here(settings: Settings, base: str) -> Finding:
    """Send what is refused, to a token that nobody has: it stores nothing, and is counted where it arrives."""
    name, database = "callback URL", Database(settings.database_url)
    try:
        before = _refused(database)
        for _ in range(REFUSALS):
            answer = reach.ask(f"{base}/callbacks/check-{secrets.token_hex(8)}", method="POST")
            if answer.status != 404 or not answer.is_problem:
                told = answer.why or f"HTTP {answer.status}, where a receiver says 404"
                return bad(name, f"POST {base}/callbacks/...: {told}: is the path passed on?")
        ends = time.monotonic() + COUNTED_WITHIN_S + 2 * settings.poll_tick
        while _refused(database) < before + REFUSALS:
            if time.monotonic() > ends:
                return warning(name, f"{base} is a receiver, but perhaps one with another database than this")
            time.sleep(0.1)
    except StoreUnavailableError:
        return warning(
            name, f"{base} is a receiver; whether it is this one cannot be seen without the database"
        )
    finally:
        database.engine.dispose()
    return ok(
        name, f"{base} leads to this receiver, asked from here; a firewall may treat others differently"
    )


def _refused(database: Database) -> int:
    with database.read() as connection:
        return (
            tallies.totals(connection, Source.CALLBACK.value)
            .get(Source.CALLBACK.value, {})
            .get("wrong_token", 0)
        )
