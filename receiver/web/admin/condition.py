"""How the receiver is, gathered once for the page, `/readyz` and `/metrics`."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from receiver.core.alarms import OVERDUE_AFTER, Overview, Storage
from receiver.runtime import Runtime, utc_now
from receiver.store.database import StoreUnavailableError
from receiver.store.overview import read_overview
from receiver.store.sign_ins import EVERYBODY, load_lockout, load_tries
from receiver.web.admin.alarms import Condition
from receiver.web.stats import poller_state
from receiver.web.storage import storage_now


def overdue_before(runtime: Runtime, now: datetime) -> datetime | None:
    """A look planned before this is overdue; without a key nobody looks, and nothing is."""
    return now - OVERDUE_AFTER if runtime.settings.upstream_api_key else None


def read_condition(runtime: Runtime) -> Condition:
    """Raises where the database cannot be read; `unreadable` is the condition then."""
    now = utc_now()
    with runtime.database.read() as connection:
        overview = read_overview(connection, due_before=overdue_before(runtime, now))
        poller = poller_state(runtime, connection)
        everybody = load_tries(connection, [EVERYBODY])[EVERYBODY]
        lockout = load_lockout(connection).updated(everybody, now=now)
    condition = condition_of(runtime, with_unsaved(runtime, overview, now=now), poller, now=now)
    return replace(condition, lockout=lockout)


def condition_of(
    runtime: Runtime, overview: Overview, poller: Mapping[str, Any], *, now: datetime
) -> Condition:
    has_key = bool(runtime.settings.upstream_api_key)
    return Condition(storage=storage_now(), overview=overview, poller=poller, has_key=has_key, now=now)


def unreadable(error: StoreUnavailableError) -> Condition:
    storage = storage_now()
    known = Storage(problem=storage.problem or str(error), disks=storage.disks)
    return Condition(storage=known, now=utc_now())


def with_unsaved(runtime: Runtime, overview: Overview, *, now: datetime) -> Overview:
    """With the failures that this process could not store yet: they happen when the database takes no writes."""
    recent = Counter(overview.recent) + runtime.intake.failures.recent(now=now)
    return replace(overview, recent=recent)
