"""A cap on tasks that only strangers named: each callback can name a new task, which makes a row with its claims.

Capped are the tasks that nobody registered or labelled and record-info never confirmed. The newest stay, up to a
size; older ones go with all their claims, first those that were given up. A later callback about such a task creates
it again. Rows of deliveries stay, as they are short.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, select

from receiver.core.claim_bounds import has_confirmed
from receiver.core.settlement import Outcome, Settlement
from receiver.core.task import Task
from receiver.core.task_counts import count_changes
from receiver.store import hourly_counts
from receiver.store.cap import CHECK_EVERY_BYTES, MAX_BYTES, PAUSE_S, Cap, count_dropped
from receiver.store.database import Database
from receiver.store.schema import task

log = logging.getLogger(__name__)

ORPHANS = "orphans"
# What a row takes beside its large columns: the small ones, and its places in the indexes, most with the task's id.
TASK_OVERHEAD_BYTES = 800
INDEXES = 8
MAX_ROW_BYTES = TASK_OVERHEAD_BYTES + INDEXES * 200
WORDS_TIMES = 3  # in the row, and whole and by their beginnings in the index of words
FIND_BATCH_SIZE = 20_000
DROP_BATCH_SIZE = 50
DROP_BATCH_BYTES = 2_000_000  # with these two a transaction takes some milliseconds

COUNTS_AGAINST_CAP = task.c.capped_bytes.is_not(None)
_COUNTED = ("first_seen_at", "settled_at", "callbacks", "polls")
_VERDICT = ("outcome", "recovered", "lost_callback")


class OrphanCap(Cap):
    """Keeps the tasks that only strangers named within the cap."""

    def __init__(
        self,
        database: Database,
        *,
        most_bytes: int = MAX_BYTES,
        checked_every_bytes: int = CHECK_EVERY_BYTES,
    ) -> None:
        super().__init__(database, checked_every_bytes=checked_every_bytes)
        self._most_bytes = most_bytes

    def stored(self, size: int) -> bool:
        """By the size of the callback, and a row that it may have made."""
        return super().stored(size + MAX_ROW_BYTES)

    def _enforce(self, deadline: float) -> bool:
        with self._database.read() as connection:
            excess = _total(connection) - self._most_bytes
            found = _oldest(connection) if excess > 0 else []
        dropped = 0
        for some in _portions(found, excess):
            if time.monotonic() >= deadline:
                break
            with self._database.write() as connection:
                gone = _drop(connection, [row.number for row in some])
            dropped += len(gone)
            excess -= sum(gone)
            time.sleep(PAUSE_S)
        if dropped:
            log.warning("tasks that only strangers named were dropped", extra={"fields": {ORPHANS: dropped}})
        return excess <= 0


def counts_against_cap(orphan: Task) -> bool:
    """Whether nobody but strangers named the task: then its row counts against the cap."""
    owned = orphan.registered_at is not None or orphan.label is not None
    return not owned and not has_confirmed(orphan.state)


def size_of(orphan: Task, state: str, words: str) -> int:
    """About how many bytes the task takes with this state and these words."""
    large = _stored(state) + WORDS_TIMES * _stored(words) + _stored(orphan.query or "")
    return TASK_OVERHEAD_BYTES + INDEXES * _stored(orphan.task_id) + large


def _stored(text: str) -> int:
    return len(text.encode(errors="replace"))


def _total(connection: Connection) -> int:
    """The size of all that is capped, which is little more than the cap; out of an index of only these."""
    return int(
        connection.scalar(select(func.coalesce(func.sum(task.c.capped_bytes), 0)).where(COUNTS_AGAINST_CAP))
        or 0
    )


def _oldest(connection: Connection) -> Sequence[Row[Any]]:
    """Those to drop first: the given up, which are no longer polled, then all others by their age."""

    def ended(outcome: Outcome) -> Sequence[Row[Any]]:
        query: Select[Any] = select(task.c.number, task.c.capped_bytes).where(COUNTS_AGAINST_CAP)
        query = query.where(task.c.outcome == outcome).order_by(task.c.number)
        return connection.execute(query.limit(FIND_BATCH_SIZE)).all()

    given_up = ended(Outcome.UNRESOLVED)
    others = [row for outcome in Outcome if outcome is not Outcome.UNRESOLVED for row in ended(outcome)]
    return [*given_up, *sorted(others, key=lambda row: row.number)][:FIND_BATCH_SIZE]


def _portions(found: Sequence[Row[Any]], excess: int) -> Iterator[Sequence[Row[Any]]]:
    """The first of these that make up the excess, as many at a time as one transaction drops."""
    some: list[Row[Any]] = []
    size = 0
    for row in found:
        if excess <= 0:
            break
        some.append(row)
        size += row.capped_bytes
        excess -= row.capped_bytes
        if len(some) == DROP_BATCH_SIZE or size >= DROP_BATCH_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


def _drop(connection: Connection, numbers: Sequence[int]) -> Sequence[int]:
    """Delete those that are still capped; returns their sizes."""
    columns = (task.c[name] for name in ("number", "capped_bytes", *_COUNTED, *_VERDICT))
    query = select(*columns).where(task.c.number.in_(numbers), COUNTS_AGAINST_CAP)
    # Rows that another transaction holds are skipped, so that two never wait for each other.
    rows = connection.execute(query.with_for_update(skip_locked=True)).all()
    if rows:
        connection.execute(delete(task).where(task.c.number.in_([row.number for row in rows])))
        count_dropped(connection, ORPHANS, len(rows), _no_more(rows))
    return [row.capped_bytes for row in rows]


def _no_more(rows: Sequence[Row[Any]]) -> hourly_counts.Tallies:
    """The change of the totals of tasks, as if these had never existed."""
    counts: hourly_counts.Tallies = Counter()
    for row in rows:
        settlement = Settlement(
            outcome=Outcome(row.outcome), recovered=row.recovered, lost_callback=row.lost_callback
        )
        dropped = Task(task_id="", settlement=settlement, **{name: getattr(row, name) for name in _COUNTED})
        never = Task(task_id="", first_seen_at=row.first_seen_at)
        counts.update(hourly_counts.in_hour(row.first_seen_at, count_changes(dropped, never)))
    return counts
