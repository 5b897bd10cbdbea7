"""What can be seen on this machine, and at the upstream."""

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from receiver.check.finding import Finding, bad, ok, warning
from receiver.core.payloads import Trouble
from receiver.settings import Settings
from receiver.store import lease
from receiver.store.backup import database_file
from receiver.store.database import Database, StoreUnavailableError, clock_of
from receiver.store.private_files import readable_by_anybody
from receiver.store.probe import probe_write
from receiver.store.versions import NewerTablesError, read_versions
from receiver.upstream import reach
from receiver.upstream.client import Answer, UpstreamClient

NOBODY = "receiver-check-no-such-task"
CLOCK_DOUBTFUL, CLOCK_WRONG = timedelta(seconds=5), timedelta(seconds=30)
LITTLE_SPACE, LITTLE_OF_DISK = 10**9, 0.05


def look_at_files(settings: Settings) -> Iterator[Finding]:
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
    little = disk.free < max(LITTLE_SPACE, LITTLE_OF_DISK * disk.total, 2 * size)
    advice = "; an upgrade may take twice the database's size for a while"
    yield warning("disk", room + advice) if little else ok("disk", room)
    for one in readable_by_anybody(file):
        yield warning("permissions", f"anybody on this machine can read {one}: chmod 600 {one}")
    if file.stat().st_uid != os.geteuid():
        yield warning("permissions", f"{file} belongs to another user: run commands as the server's user")


def look_at_database(settings: Settings, now: datetime) -> Iterator[Finding]:
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


def look_at_upstream(settings: Settings, now: datetime) -> Iterator[Finding]:
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
