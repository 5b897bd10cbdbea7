"""Regular work on the store: caps, daily pruning, rolled-up counts."""

import logging
import time
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta

from receiver.store import audit_log, body_retention, daily_jobs, hourly_counts
from receiver.store.audit_log import ActionKind, Actor
from receiver.store.cap import Cap
from receiver.store.caps import caps_on_unregistered_data
from receiver.store.database import Database, StoreUnavailableError

log = logging.getLogger(__name__)

RUN_INTERVAL = timedelta(minutes=10)
RETRY_AFTER = timedelta(minutes=1)
BY_THE_HOUR = timedelta(days=8)  # the activity page shows seven days by the hour, the rest by the day
REFUSALS_RETENTION = timedelta(days=90)
DAY_BATCH_SIZE = 10

BODY_BATCH_SIZE = 50  # a transaction of some milliseconds
PAUSE_S = 0.01  # in which waiting writers get the database
MAX_PRUNE_S = 0.5  # between two passes of the poller
PRUNE_INTERVAL = timedelta(days=1)
ABANDONED_AFTER = timedelta(minutes=10)  # a process that has not gone on by then is dead
PRUNING = "pruning"
DAILY_JOB = Actor(via="daily job")


class Maintenance:
    """One process's share of the work, a little at each call, so that the poller goes on."""

    def __init__(
        self, database: Database, *, retention: timedelta, name: str, caps: Sequence[Cap] | None = None
    ) -> None:
        self._database = database
        self._retention = retention
        self._name = name
        self._caps = caps_on_unregistered_data(database) if caps is None else caps
        self._pruning: Pruning | None = None
        self._next_at: datetime | None = None

    def run_once(self, *, now: datetime) -> None:
        """Do what is due by now, for about `MAX_PRUNE_S`."""
        if self._next_at is not None and now < self._next_at:
            return
        self._next_at = now + RETRY_AFTER  # where this fails
        if self._pruning is None:
            roll_up_counts(self._database, now=now)
        within_caps = [cap.enforce() for cap in self._caps]
        pruning, self._pruning = self._pruning, None  # begun anew where this fails
        self._pruning = self._prune(pruning, now)
        self._next_at = now + RUN_INTERVAL if all(within_caps) and not self._pruning else None

    def _prune(self, unfinished: "Pruning | None", now: datetime) -> "Pruning | None":
        """Drop old bodies once a day, in the first process to come; returns the pruning that is left to finish."""
        with self._database.write() as connection:
            until = now + ABANDONED_AFTER
            if not daily_jobs.begin(connection, PRUNING, holder=self._name, now=now, until=until):
                return None
        pruning = unfinished or Pruning(self._database, received_before=now - self._retention)
        ends = time.monotonic() + MAX_PRUNE_S
        while time.monotonic() < ends:
            if not pruning.run_once():
                self._finish(pruning, now)
                return None
        return pruning

    def _finish(self, pruning: "Pruning", now: datetime) -> None:
        with self._database.write() as connection:
            daily_jobs.finish(connection, PRUNING, holder=self._name, next_at=now + PRUNE_INTERVAL)
            if pruning.dropped:
                detail = {"bodies": pruning.dropped}
                audit_log.record(connection, ActionKind.PRUNED, DAILY_JOB, now=now, detail=detail)
        log.info("pruned", extra={"fields": {"bodies": pruning.dropped}})


class Pruning:
    """One pass over the log that drops the raw bodies that nothing needs any more; the rows stay.

    `dropped` is how many so far, `place` the last delivery handled, `end` the last of all. Two may run at once.
    """

    def __init__(self, database: Database, *, received_before: datetime) -> None:
        self._database = database
        self._received_before = received_before
        self._found: deque[int] = deque()
        self.dropped = 0
        self.place = 0
        with database.read() as connection:
            self.end = body_retention.last_id(connection)

    def run_once(self) -> bool:
        """Scan a part of the log, or drop a few of its bodies in a short transaction; False: nothing is left."""
        if not self._found:
            return self._scan()
        ids = [self._found.popleft() for _ in range(min(BODY_BATCH_SIZE, len(self._found)))]
        with self._database.write() as connection:
            self.dropped += body_retention.drop_bodies(connection, ids)
        time.sleep(PAUSE_S)
        return True

    def _scan(self) -> bool:
        with self._database.read() as connection:
            piece = body_retention.find_old_bodies(
                connection, after=self.place, received_before=self._received_before
            )
        if piece is None:
            return False
        self._found.extend(piece.droppable)
        self.place = piece.end
        return True


def roll_up_counts(database: Database, *, now: datetime) -> int:
    """Delete old refusals and fold hourly counts into daily ones, one day a transaction; returns how many days."""
    with database.write() as connection:
        audit_log.delete_old_refusals(connection, before=now - REFUSALS_RETENTION)
    before = hourly_counts.day_of(now - BY_THE_HOUR)
    for folded in range(DAY_BATCH_SIZE):
        with database.read() as connection:
            day = hourly_counts.oldest_unfolded(connection, before=before)
        if day is None:
            return folded
        try:
            with database.write() as connection:
                hourly_counts.fold_day(connection, day)
        except StoreUnavailableError:  # another process is counting there; it is done next time
            return folded
    return DAY_BATCH_SIZE
