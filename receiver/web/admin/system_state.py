"""How the receiver is, gathered once for the page, `/readyz` and `/metrics`."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from receiver.clock import utc_now
from receiver.core.alarms import OVERDUE_AFTER, Overview, Storage
from receiver.runtime import Runtime
from receiver.store.database import StoreUnavailableError
from receiver.store.health_queries import read_overview
from receiver.store.login_attempts import EVERYBODY, load_attempts, load_lockout
from receiver.web.admin.health_banner import SystemState
from receiver.web.stats import poller_state
from receiver.web.storage_health import storage_now


def overdue_before(runtime: Runtime, now: datetime) -> datetime | None:
    """A look planned before this is overdue; without a key nobody looks, and nothing is."""
    return now - OVERDUE_AFTER if runtime.settings.upstream_api_key else None


def read_system_state(runtime: Runtime) -> SystemState:
    """Raises where the database cannot be read; `unreadable` is the condition then."""
    now = utc_now()
    with runtime.database.read() as connection:
        overview = read_overview(connection, due_before=overdue_before(runtime, now))
        poller = poller_state(runtime, connection)
        everybody = load_attempts(connection, [EVERYBODY])[EVERYBODY]
        lockout = load_lockout(connection).updated(everybody, now=now)
    condition = system_state_of(runtime, with_unsaved(runtime, overview, now=now), poller, now=now)
    return replace(condition, lockout=lockout)


def system_state_of(
    runtime: Runtime, overview: Overview, poller: Mapping[str, Any], *, now: datetime
) -> SystemState:
    has_key = bool(runtime.settings.upstream_api_key)
    return SystemState(storage=storage_now(), overview=overview, poller=poller, has_key=has_key, now=now)


def unreadable(error: StoreUnavailableError) -> SystemState:
    storage = storage_now()
    known = Storage(problem=storage.problem or str(error), disks=storage.disks)
    return SystemState(storage=known, now=utc_now())


def with_unsaved(runtime: Runtime, overview: Overview, *, now: datetime) -> Overview:
    """With the failures that this process could not store yet: they happen when the database takes no writes."""
    recent = Counter(overview.recent) + runtime.intake.failures.recent(now=now)
    return replace(overview, recent=recent)
