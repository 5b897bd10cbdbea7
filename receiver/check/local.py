"""What can be seen on this machine, and at the upstream."""

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from receiver.check.finding import Finding, bad, ok, warning
from receiver.core import alarms, upstream_health
from receiver.core.alarms import AlarmName
from receiver.core.payloads import Trouble
from receiver.core.payloads.responses import NOT_KNOWN, WORKED, code_in
from receiver.core.upstream_health import UpstreamHealth
from receiver.settings import Settings
from receiver.store import lease, poll_queue
from receiver.store.backup import database_file
from receiver.store.database import Database, StoreUnavailableError, database_now
from receiver.store.health_queries import read_overview
from receiver.store.private_files import readable_by_anybody
from receiver.store.schema_version import NewerTablesError, read_schema_versions
from receiver.store.write_probe import probe_write, probe_write_body
from receiver.upstream import http_probe
from receiver.upstream.client import RECORD_INFO, PollFailure, PollResponse, UpstreamClient

NOBODY = "receiver-check-no-such-task"
CLOCK_DOUBTFUL, CLOCK_WRONG = timedelta(seconds=5), timedelta(seconds=30)
LITTLE_SPACE = 10**9
# Of tasks, not of the deployment: a person looks at them on the admin page.
ABOUT_TASKS = {
    AlarmName.TASKS_UNRESOLVED,
    AlarmName.TASKS_OVERDUE,
    AlarmName.TASKS_IN_CONFLICT,
    AlarmName.QUARANTINE,
}


def check_files(settings: Settings) -> Iterator[Finding]:
    """Where the database is a file: whether it is there, for whom, and how much room is left."""
    file = database_file(settings.database_url)
    if file is None:
        return
    try:
        yield from _file(file)
    except OSError as error:
        told = f"{file} cannot be looked at ({error.strerror}): run this as the server's user"
        yield bad("database", told)


def _file(file: Path) -> Iterator[Finding]:
    if not file.exists():
        yield bad("database", f"{file} is not there yet: start the server, or run `receiver upgrade`")
        return
    disk, size = shutil.disk_usage(file.parent), file.stat().st_size
    room = f"{disk.free / 1e9:,.1f} GB free, the database has {size / 1e6:,.0f} MB"
    yield _room(alarms.Disk(what="database", free=disk.free, size=disk.total), size, room)
    for one in readable_by_anybody(file):
        yield warning("permissions", f"anybody on this machine can read {one}: chmod 600 {one}")
    if file.stat().st_uid != os.geteuid():
        yield warning("permissions", f"{file} belongs to another user: run commands as the server's user")


def _room(disk: alarms.Disk, database_bytes: int, words: str) -> Finding:
    if alarms.disk_level(disk) is alarms.Level.RED:
        return bad("disk", f"nearly full: {words}")
    if alarms.disk_level(disk) or disk.free < max(LITTLE_SPACE, 2 * database_bytes):
        return warning("disk", f"{words}; an upgrade may take twice the database's size for a while")
    return ok("disk", words)


def check_database(settings: Settings, now: datetime) -> Iterator[Finding]:
    database = Database(settings.database_url)
    try:
        with database.read() as connection:
            versions = read_schema_versions(connection)
        if versions.pending:
            has = f"of version {versions.tables}" if versions.tables else "not made"
            detail = f"its tables are {has}, this program's of {versions.program}: run `receiver upgrade`"
            yield bad("database", detail)
            return
        with database.write() as connection:
            probe_write(connection, now=now)
            probe_write_body(connection, size=settings.max_body_bytes)
            here, there = datetime.now(UTC), database_now(connection)
            held, health = lease.read(connection), poll_queue.health(connection)
            late = there - alarms.OVERDUE_AFTER if settings.upstream_api_key else None
            overview = read_overview(connection, due_before=late)
    except (StoreUnavailableError, NewerTablesError) as error:
        yield bad("database", f"cannot be used: {' '.join(str(error).split())}")
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
    if settings.upstream_api_key and health.in_trouble:
        yield bad("polling", _pause(health, there))
    for alarm in alarms.find_alarms(overview, alarms.Storage(), now=there):
        red = alarm.level is alarms.Level.RED and alarm.name not in ABOUT_TASKS
        yield (bad if red else warning)(alarm.name.value, alarm.text)


def _pause(health: UpstreamHealth, now: datetime) -> str:
    """Since when polling is paused, why, and when it goes on."""
    since = f" since {_moment(health.paused_since)}" if health.paused_since else ""
    until = f"until {_moment(health.paused_until)}" if health.paused(now) else "until a probe is answered"
    trouble = Trouble(health.trouble) if health.trouble else Trouble.NETWORK
    detail = f" ({health.detail})" if health.detail else ""
    return f"paused{since} {until}: the upstream is in trouble, {trouble.meaning}{detail}"


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else ""


def check_upstream(settings: Settings, now: datetime, *, note: bool) -> Iterator[Finding]:
    """Ask about a task that cannot exist: whoever may ask is told that it does not.

    With `note` the poller is told what this says of the key.
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
    told = client.fetch(NOBODY, now=now)
    client.close()
    yield _upstream(settings.upstream_url, told)
    if note:
        _note_key(settings, told)
    times = http_probe.time_at(settings.upstream_url)
    if times is not None:
        yield _clock("the upstream's", *times)


def _upstream(url: str, told: PollResponse | PollFailure) -> Finding:
    if isinstance(told, PollResponse):
        code = code_in(told.body)
        if code in WORKED | NOT_KNOWN:
            return ok("upstream", f"{url} accepts the key")
        return warning("upstream", f"{url} answers code {code} about a task that it cannot know")
    if told.trouble is Trouble.REFUSED:
        return bad("upstream", "the API key is refused: check RECEIVER_UPSTREAM_API_KEY")
    if told.trouble is Trouble.NOT_RECORD_INFO:
        wrong = f"{url}{RECORD_INFO} is not record-info ({told.detail})"
        return bad("upstream", f"{wrong}: the URL is wrong, check RECEIVER_UPSTREAM_URL")
    return bad("upstream", f"{url}: {told.trouble.meaning} ({told.detail})")


def _note_key(settings: Settings, told: PollResponse | PollFailure) -> None:
    """A key that is refused here counts as refused; one that is accepted is tried again at once."""
    database = Database(settings.database_url)
    try:
        with database.write() as connection:
            health = poll_queue.health(connection)
            if isinstance(told, PollResponse):
                after = upstream_health.retry_refused_key(health)
            elif told.trouble is Trouble.REFUSED:
                after = upstream_health.key_refused(health, now=database_now(connection))
            else:
                return
            if after != health:
                poll_queue.save_health(connection, after)
    except StoreUnavailableError:
        return  # which is told by another finding
    finally:
        database.engine.dispose()


def _clock(whose: str, there: datetime, here: datetime) -> Finding:
    off = here - there
    words = f"{abs(off.total_seconds()):.0f} s {'ahead of' if off > timedelta() else 'behind'} {whose} clock"
    if abs(off) < CLOCK_DOUBTFUL:
        return ok("clock", f"agrees with {whose}")
    if abs(off) < CLOCK_WRONG:
        return warning("clock", f"{words}: is the time synchronized here?")
    return bad("clock", f"{words}: signatures, leases and times shown rest on it; synchronize it")
