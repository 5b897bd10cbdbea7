"""Checks of this machine and of the upstream: files, disk, database, poller, clocks, key."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from receiver.check.finding import Finding, fail, ok, warning
from receiver.core import alarms, upstream_health
from receiver.core.alarms import AlarmName
from receiver.core.payloads import Trouble
from receiver.core.payloads.upstream_trouble import NOT_KNOWN, WORKED, code_in
from receiver.core.system_state import Disk, Storage, SystemState, overdue_before
from receiver.core.upstream_health import UpstreamHealth
from receiver.settings import Settings
from receiver.store import lease, upstream_status
from receiver.store.backup import database_file
from receiver.store.database import Database, StoreUnavailableError, database_now
from receiver.store.health_queries import read_overview
from receiver.store.lease import Lease
from receiver.store.login_attempts import read_lockout
from receiver.store.poller_status import read_poller_status
from receiver.store.private_files import readable_by_anybody
from receiver.store.schema_version import NewerTablesError, read_schema_versions
from receiver.store.write_probe import probe_write, probe_write_body
from receiver.upstream import http_probe
from receiver.upstream.client import RECORD_INFO, PollFailure, PollResponse, UpstreamClient

NO_SUCH_TASK = "receiver-check-no-such-task"
CLOCK_DOUBTFUL, CLOCK_WRONG = timedelta(seconds=5), timedelta(seconds=30)
LITTLE_SPACE = 10**9
# About tasks, not about the deployment: the admin page lists them.
ABOUT_TASKS = {
    AlarmName.TASKS_UNRESOLVED,
    AlarmName.TASKS_OVERDUE,
    AlarmName.TASKS_IN_CONFLICT,
    AlarmName.QUARANTINE,
}
# `poller`, `polling` and `upstream` say more about these.
OWN_FINDINGS = {
    AlarmName.NO_API_KEY,
    AlarmName.NOT_POLLING,
    AlarmName.KEY_REFUSED,
    AlarmName.UPSTREAM_TROUBLE,
}


def check_files(settings: Settings) -> Iterator[Finding]:
    """For SQLite: whether the file exists, who may read it, and how much space is left."""
    file = database_file(settings.database_url)
    if file is None:
        return
    try:
        yield from _file(file)
    except OSError as error:
        yield fail("database", f"cannot access {file} ({error.strerror}): run this as the server's user")


def _file(file: Path) -> Iterator[Finding]:
    if not file.exists():
        yield fail("database", f"{file} does not exist: start the server, or run `receiver upgrade`")
        return
    disk, size = shutil.disk_usage(file.parent), file.stat().st_size
    room = f"{disk.free / 1e9:,.1f} GB free; database {size / 1e6:,.0f} MB"
    yield _room(Disk(what="database", free=disk.free, size=disk.total), size, room)
    for path in readable_by_anybody(file):
        yield warning("permissions", f"every user of this machine can read {path}: chmod 600 {path}")
    if file.stat().st_uid != os.geteuid():
        yield warning("permissions", f"{file} belongs to another user: run commands as the server's user")


def _room(disk: Disk, database_bytes: int, words: str) -> Finding:
    if alarms.disk_level(disk) is alarms.Level.RED:
        return fail("disk", f"nearly full: {words}")
    if alarms.disk_level(disk) or disk.free < max(LITTLE_SPACE, 2 * database_bytes):
        return warning("disk", f"{words}; an upgrade may take twice the database's size for a while")
    return ok("disk", words)


def check_database(settings: Settings, now: datetime) -> Iterator[Finding]:
    database = Database(settings.database_url)
    try:
        with database.read() as connection:
            versions = read_schema_versions(connection)
        if versions.pending:
            detail = f"its tables have {_version(versions.tables)}, this program needs {versions.program}"
            yield fail("database", f"{detail}: run `receiver upgrade`")
            return
        stored = _read(database, settings, now)
    except (StoreUnavailableError, NewerTablesError) as error:
        yield fail("database", f"unavailable: {' '.join(str(error).split())}")
        return
    finally:
        database.engine.dispose()
    yield ok("database", f"accepts writes; its tables have version {versions.program}, the current one")
    if not database.is_sqlite:
        yield _clock("the database's", stored.state.now, stored.here)
    yield _poller(stored)
    if settings.upstream_api_key and stored.health.in_trouble:
        yield fail("polling", _pause(stored.health, stored.state.now))
    yield from _alarms(stored.state)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stored:
    """What the database says, by its clock; `here` is this machine's at the same moment."""

    here: datetime
    lease: Lease | None
    health: UpstreamHealth
    state: SystemState


def _read(database: Database, settings: Settings, now: datetime) -> _Stored:
    """Raises where the database takes no writes."""
    with database.write() as connection:
        probe_write(connection, now=now)
        probe_write_body(connection, size=settings.max_body_bytes)
    has_key = bool(settings.upstream_api_key)
    with database.read() as connection:
        here, there = datetime.now(UTC), database_now(connection)
        return _Stored(
            here=here,
            lease=lease.read(connection),
            health=upstream_status.read_health(connection),
            state=SystemState(
                storage=Storage(),  # of which other findings speak
                overview=read_overview(connection, due_before=overdue_before(there, has_key=has_key)),
                poller=read_poller_status(connection, has_key=has_key, enabled=settings.poller),
                lockout=read_lockout(connection, now=there),
                has_key=has_key,
                now=there,
            ),
        )


def _poller(stored: _Stored) -> Finding:
    if stored.lease is not None and stored.lease.valid(stored.state.now):
        return ok("poller", f"held by {stored.lease.holder}")
    advice = "is the server running, with RECEIVER_POLLER=on in one process group?"
    return fail("poller", f"no process polls: {advice}")


def _alarms(state: SystemState) -> Iterator[Finding]:
    for alarm in alarms.find_alarms(state):
        if alarm.name not in OWN_FINDINGS:
            red = alarm.level is alarms.Level.RED and alarm.name not in ABOUT_TASKS
            yield (fail if red else warning)(alarm.name.value, alarm.text)


def _version(version: str | None) -> str:
    return f"version {version}" if version else "no version"


def _pause(health: UpstreamHealth, now: datetime) -> str:
    """Since when polling is paused, why, and when it goes on."""
    since = f" since {_moment(health.paused_since)}" if health.paused_since else ""
    until = f"until {_moment(health.paused_until)}" if health.paused(now) else "until a probe succeeds"
    trouble = Trouble(health.trouble) if health.trouble else Trouble.NETWORK
    detail = f" ({health.detail})" if health.detail else ""
    return f"paused{since} {until}: the upstream is in trouble, {trouble.meaning}{detail}"


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else ""


def check_upstream(settings: Settings, now: datetime, *, note: bool) -> Iterator[Finding]:
    """Poll a task that cannot exist: with a valid key the upstream responds that it does not.

    With `note` the result for the key is saved for the poller.
    """
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
    response = client.fetch(NO_SUCH_TASK, now=now)
    client.close()
    yield _upstream(settings.upstream_url, response)
    if note:
        _save_key_state(settings, response)
    times = http_probe.time_at(settings.upstream_url)
    if times is not None:
        yield _clock("the upstream's", *times)


def _upstream(url: str, response: PollResponse | PollFailure) -> Finding:
    if isinstance(response, PollResponse):
        code = code_in(response.body)
        if code in WORKED | NOT_KNOWN:
            return ok("upstream", f"{url} accepts the key")
        return warning("upstream", f"{url} responds with code {code} about a task that does not exist")
    if response.trouble is Trouble.REFUSED:
        return fail("upstream", "the API key is rejected: check RECEIVER_UPSTREAM_API_KEY")
    if response.trouble is Trouble.NOT_RECORD_INFO:
        wrong = f"{url}{RECORD_INFO} is not record-info ({response.detail})"
        return fail("upstream", f"{wrong}: the URL is wrong, check RECEIVER_UPSTREAM_URL")
    return fail("upstream", f"{url}: {response.trouble.meaning} ({response.detail})")


def _save_key_state(settings: Settings, response: PollResponse | PollFailure) -> None:
    """A key rejected here counts as rejected for the poller; one accepted here is tried again at once."""
    database = Database(settings.database_url)
    try:
        with database.write() as connection:
            health = upstream_status.read_health(connection)
            if isinstance(response, PollResponse):
                after = upstream_health.retry_refused_key(health)
            elif response.trouble is Trouble.REFUSED:
                after = upstream_health.key_refused(health, now=database_now(connection))
            else:
                return
            if after != health:
                upstream_status.save_health(connection, after)
    except StoreUnavailableError:
        return  # another finding says so
    finally:
        database.engine.dispose()


def _clock(whose: str, there: datetime, here: datetime) -> Finding:
    off = here - there
    words = f"{abs(off.total_seconds()):.0f} s {'ahead of' if off > timedelta() else 'behind'} {whose} clock"
    if abs(off) < CLOCK_DOUBTFUL:
        return ok("clock", f"agrees with {whose}")
    if abs(off) < CLOCK_WRONG:
        return warning("clock", f"{words}: is the time synchronized here?")
    return fail("clock", f"{words}: signatures, leases and displayed times depend on it: synchronize it")
