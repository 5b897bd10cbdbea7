"""Callbacks that were refused or failed within the last minutes, counted over all processes.

A callback fails when the database takes no writes, and then its count cannot be stored either. So each process holds
its counts until they can be stored.
"""

import threading
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, select

from receiver.core.system_state import RECENT
from receiver.store.schema import recent_failure
from receiver.store.upsert import insert_into

RETENTION = timedelta(hours=1)
CLOCK_SKEW = timedelta(minutes=1)  # another machine's clock may be ahead

Counts = Counter[tuple[datetime, str]]
"""How many by (minute, name)."""


class UnsavedFailures:
    """The counts of one process that are not stored yet: at most `RECENT` and a few names, so bounded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counts = Counter()

    def note(self, name: str, *, now: datetime) -> None:
        with self._lock:
            self._counts[now.replace(second=0, microsecond=0), name] += 1
            self._drop_old(now)

    def take(self) -> Counts:
        """All counts, to be stored now; `put_back` where that fails."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
            return counts

    def put_back(self, counts: Counts) -> None:
        with self._lock:
            self._counts += counts

    def recent(self, *, now: datetime) -> Counter[str]:
        with self._lock:
            self._drop_old(now)
            totals: Counter[str] = Counter()
            for (_, name), count in self._counts.items():
                totals[name] += count
            return totals

    def _drop_old(self, now: datetime) -> None:
        for minute, name in [key for key in self._counts if key[0] <= now - RECENT]:
            del self._counts[minute, name]


def add(connection: Connection, counts: Counts) -> None:
    """Store these counts, and delete old ones; in a fixed order, which prevents deadlocks."""
    rows = [
        {"minute": minute, "name": name, "count": count} for (minute, name), count in sorted(counts.items())
    ]
    if not rows:
        return
    fresh = insert_into(connection.dialect.name, recent_failure)
    total = {"count": recent_failure.c.count + fresh.excluded.count}
    connection.execute(fresh.on_conflict_do_update(index_elements=["minute", "name"], set_=total), rows)
    newest = max(minute for minute, _ in counts)
    connection.execute(delete(recent_failure).where(recent_failure.c.minute < newest - RETENTION))


def read(connection: Connection, *, now: datetime) -> Mapping[str, int]:
    """How many within `RECENT`, by name."""
    minute = recent_failure.c.minute
    within = (minute > now - RECENT) & (minute <= now + CLOCK_SKEW)
    query = select(recent_failure.c.name, func.sum(recent_failure.c.count)).where(within)
    return {name: int(count) for name, count in connection.execute(query.group_by(recent_failure.c.name))}
