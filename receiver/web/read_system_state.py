"""The receiver's health, gathered once for the page, `/readyz` and `/metrics`."""

from collections import Counter
from dataclasses import replace
from datetime import datetime

from receiver.clock import utc_now
from receiver.core import system_state
from receiver.core.login_throttle import Lockout
from receiver.core.poller_status import PollerStatus
from receiver.core.system_state import Overview, Storage, SystemState
from receiver.runtime import Runtime
from receiver.store.database import StoreUnavailableError
from receiver.store.health_queries import read_overview
from receiver.store.login_attempts import read_lockout
from receiver.web.stats import read_poller
from receiver.web.storage_health import storage_now


def overdue_before(runtime: Runtime, now: datetime) -> datetime | None:
    return system_state.overdue_before(now, has_key=bool(runtime.settings.upstream_api_key))


def read_system_state(runtime: Runtime, *, now: datetime) -> SystemState:
    """Raises where the database cannot be read; `unreadable` is the state then."""
    with runtime.database.read() as connection:
        overview = read_overview(connection, due_before=overdue_before(runtime, now))
        poller, lockout = read_poller(runtime, connection), read_lockout(connection, now=now)
    return system_state_of(runtime, with_unsaved(runtime, overview, now=now), poller, lockout, now=now)


def system_state_of(
    runtime: Runtime, overview: Overview, poller: PollerStatus, lockout: Lockout, *, now: datetime
) -> SystemState:
    return SystemState(
        storage=storage_now(),
        overview=overview,
        poller=poller,
        lockout=lockout,
        has_key=bool(runtime.settings.upstream_api_key),
        now=now,
    )


def unreadable(error: StoreUnavailableError) -> SystemState:
    storage = storage_now()
    failed = Storage(problem=storage.problem or str(error), disks=storage.disks)
    return SystemState(storage=failed, now=utc_now())


def with_unsaved(runtime: Runtime, overview: Overview, *, now: datetime) -> Overview:
    """Adds the failures that this process could not store yet: they happen when the database takes no writes."""
    recent = Counter(overview.recent) + runtime.intake.failures.recent(now=now)
    return replace(overview, recent=recent)
