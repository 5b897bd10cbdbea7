"""A cap on what strangers may store: anybody who knows the callback URL can send without end."""

import threading
import time
from abc import ABC, abstractmethod

from sqlalchemy import Connection

from receiver.store import hourly_counts
from receiver.store.database import Database, database_now

DROPPED = "dropped"  # the subject under which it is counted
MAX_BYTES = 256_000_000
# A cap is checked when a process has stored so much more, and by maintenance: so it is exceeded by this much for
# each process, and by what comes while the oldest are dropped.
CHECK_EVERY_BYTES = 16_000_000
MAX_ENFORCE_S = 0.5
PAUSE_S = 0.002  # between two transactions, in which waiting writers get the database


class Cap(ABC):
    """Keeps one kind of strangers' data within a limit. The request that exceeds it does the work."""

    def __init__(self, database: Database, *, checked_every_bytes: int = CHECK_EVERY_BYTES) -> None:
        self._database = database
        self._checked_every_bytes = checked_every_bytes
        self._counting = threading.Lock()
        self._enforcing = threading.Lock()
        self._bytes = 0

    def stored(self, size: int) -> bool:
        """Count `size` more bytes; returns whether the cap should be enforced now."""
        with self._counting:
            self._bytes += size
            due = self._bytes >= self._checked_every_bytes
            if due:
                self._bytes = 0
        return due

    def enforce(self, *, for_s: float = MAX_ENFORCE_S) -> bool:
        """Drop the oldest for about `for_s`; returns whether all is within the cap, or another thread is at it."""
        if not self._enforcing.acquire(blocking=False):
            return True
        try:
            return self._enforce(time.monotonic() + for_s)
        finally:
            self._enforcing.release()

    @abstractmethod
    def _enforce(self, deadline: float) -> bool:
        """Drop the excess in small transactions until `deadline`; returns whether none is left."""


def count_dropped(connection: Connection, what: str, number: int, counts: hourly_counts.Tallies) -> None:
    """Count what was dropped, with other counts; at the end of the transaction, like all counting."""
    counts[hourly_counts.hour_of(database_now(connection)), DROPPED, what] += number
    hourly_counts.add(connection, counts)
