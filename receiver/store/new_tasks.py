"""Rows of tasks that are new. All but the time of their change is made ready before anything is locked."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import Connection

from receiver.core.task import Task
from receiver.core.task_counts import counts_of
from receiver.store import hourly_counts
from receiver.store.bulk_insert import BulkInsert, Values
from receiver.store.hourly_counts import Tallies
from receiver.store.schema import task
from receiver.store.task_rows import new_row
from receiver.store.upsert import Insert, insert_into

NOT_WRITTEN = {"number", "claimed_until", "slowed_at"}  # the key, and the poller's reservations
WRITTEN = [name for name in task.c.keys() if name not in NOT_WRITTEN]  # noqa: SIM118  columns
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class NewTasks:
    """Their rows, what they add to the totals, and the latest time at which one of them changed."""

    rows: Sequence[Values] = ()
    counts: Tallies = field(default_factory=Counter)
    changed_at: datetime | None = None


def prepare_new(tasks: Collection[Task], *, dialect: str) -> NewTasks:
    """For this kind of database; it needs no connection."""
    counts: Tallies = Counter()
    for each in tasks:
        counts.update(hourly_counts.in_hour(each.first_seen_at, counts_of(each)))
    return NewTasks(
        rows=[_NEW.bind(new_row(each), dialect) for each in tasks],
        counts=counts,
        changed_at=max((each.changed_at or each.first_seen_at for each in tasks), default=None),
    )


def joined(parts: Iterable[NewTasks]) -> NewTasks:
    parts = list(parts)
    return NewTasks(
        rows=[row for each in parts for row in each.rows],
        counts=sum((each.counts for each in parts), Counter()),
        changed_at=max((each.changed_at for each in parts if each.changed_at), default=None),
    )


def insert_new(connection: Connection, new: NewTasks, *, changed_at: datetime | None) -> None:
    """Insert them, over rows that only hold their places."""
    dialect = connection.dialect.name
    _NEW.execute(connection, [_NEW.rebind(row, dialect, changed_at=changed_at) for row in new.rows])


def hold_places(connection: Connection, first_seen: Mapping[str, datetime]) -> None:
    """Insert rows for these tasks where there are none, which others then wait for; `insert_new` must follow."""
    dialect = connection.dialect.name
    place = _PLACE.bind(new_row(Task(task_id="", first_seen_at=NEVER)), dialect)
    rows = [
        _PLACE.rebind(place, dialect, task_id=key, first_seen_at=moment)
        for key, moment in sorted(first_seen.items())
    ]
    _PLACE.execute(connection, rows)


def _insert_or_update(dialect: str) -> Insert:
    fresh = insert_into(dialect, task)
    columns = {name: fresh.excluded[name] for name in WRITTEN}
    return fresh.on_conflict_do_update(index_elements=["task_id"], set_=columns)


_NEW = BulkInsert(task, WRITTEN, _insert_or_update)
_PLACE = BulkInsert(task, WRITTEN, lambda dialect: insert_into(dialect, task).on_conflict_do_nothing())
