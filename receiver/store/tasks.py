"""Task rows: loaded to be changed, and saved."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, bindparam, case, select, update

from receiver.core.observation import Source
from receiver.core.settlement import Outcome
from receiver.core.task import Task
from receiver.core.task_counts import count_changes
from receiver.store import hourly_counts
from receiver.store.change_clock import time_of_change
from receiver.store.engines import is_write_transaction
from receiver.store.hourly_counts import Tallies
from receiver.store.new_tasks import NewTasks, hold_places, insert_new, prepare_new
from receiver.store.schema import task
from receiver.store.task_rows import changed_columns, task_of

_UPDATE = update(task).where(task.c.task_id == bindparam("key"))
# Once null it stays null: what record-info confirmed is never capped again.
_UPDATE_COUNTED_SIZE = _UPDATE.values(
    capped_bytes=case(
        (task.c.capped_bytes.is_not(None), bindparam("counted", type_=task.c.capped_bytes.type))
    )
)
_LATEST = bindparam("latest", type_=task.c.last_callback_at.type)
_COUNT = _UPDATE.values(
    callbacks=task.c.callbacks + bindparam("more", type_=task.c.callbacks.type),
    last_callback_at=case((task.c.last_callback_at > _LATEST, task.c.last_callback_at), else_=_LATEST),
)
Loaded = TypeVar("Loaded")
_STATUS = ("status", "query", "callbacks", "polls", "registered_at")
_AMONG = task.c.task_id.in_(bindparam("ids", expanding=True))
_EXISTING = select(task.c.task_id).where(_AMONG)
_LOAD = select(task).where(_AMONG).order_by(task.c.task_id)
_LOAD_LOCKED = _LOAD.with_for_update(key_share=True)
_LOCK = (
    select(*(task.c[name] for name in ("task_id", "outcome", *_STATUS)))
    .where(_AMONG)
    .order_by(task.c.task_id)
    .with_for_update(key_share=True)
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskStatus:
    """A task without its state, which may be large."""

    status: str = ""
    outcome: Outcome = Outcome.IN_PROGRESS
    query: str | None = None
    callbacks: int = 0
    polls: int = 0
    registered_at: datetime | None = None

    @property
    def fresh(self) -> bool:
        """Whether it has no row yet, or only the place that this transaction holds for it."""
        return not (self.callbacks or self.polls or self.registered_at)

    def has_any_of(self, source: Source) -> bool:
        """Whether the task's state has at least one delivery from `source`. False for a row just created."""
        return bool(self.callbacks if source is Source.CALLBACK else self.polls)


def load(connection: Connection, task_id: str) -> Task | None:
    """The task, or None."""
    return load_many(connection, [task_id]).get(task_id)


def load_many(connection: Connection, task_ids: Collection[str]) -> Mapping[str, Task]:
    """Those of these tasks that exist, locked until the end of the transaction where it writes."""
    if not task_ids:
        return {}
    query = _LOAD_LOCKED if is_write_transaction(connection) else _LOAD
    rows = connection.execute(query, {"ids": sorted(task_ids)})
    return {row.task_id: task_of(row) for row in rows}


def load_or_create(connection: Connection, first_seen: Mapping[str, datetime]) -> dict[str, Task]:
    """These tasks, locked; those that do not exist are created, first seen at the given times."""
    return _created_and_locked(connection, first_seen, first_seen, load_many)


def lock_or_create(
    connection: Connection, first_seen: Mapping[str, datetime], *, if_known: Collection[str] = ()
) -> dict[str, TaskStatus]:
    """The same without the states; also those of `if_known` that exist. `save` must follow for each that is fresh.

    On SQLite, where one writes at a time, a fresh task gets its row only then, as it will be.
    """
    wanted = {*first_seen, *if_known}
    if connection.dialect.name != "sqlite":
        return _created_and_locked(connection, first_seen, wanted, _lock_many)
    locked = _lock_many(connection, wanted)
    return {**dict.fromkeys(first_seen, TaskStatus()), **locked}


def _lock_many(connection: Connection, task_ids: Collection[str]) -> Mapping[str, TaskStatus]:
    return {
        row.task_id: TaskStatus(
            outcome=Outcome(row.outcome), **{name: getattr(row, name) for name in _STATUS}
        )
        for row in connection.execute(_LOCK, {"ids": sorted(task_ids)})
    }


def _created_and_locked(
    connection: Connection,
    first_seen: Mapping[str, datetime],
    task_ids: Collection[str],
    lock: Callable[[Connection, Collection[str]], Mapping[str, Loaded]],
) -> dict[str, Loaded]:
    """These tasks, locked, once those of `first_seen` that have no row are created.

    First all are created, then all are locked, both in the order of their ids: two transactions that held the lock of
    one task and waited to create another could wait for each other. So where one was deleted in between, all that was
    created and locked is rolled back, and begun again. On SQLite one writes at a time.
    """
    alone = connection.dialect.name == "sqlite" or not first_seen or len(task_ids) == 1
    while True:
        with nullcontext() if alone else connection.begin_nested() as attempt:
            missing = first_seen.keys() - ids_of_existing(connection, first_seen.keys())
            hold_places(connection, {key: first_seen[key] for key in missing})
            locked = dict(lock(connection, task_ids))
            if first_seen.keys() <= locked.keys():
                return locked
            if attempt is not None:
                attempt.rollback()


def ids_of_existing(connection: Connection, task_ids: Collection[str]) -> Collection[str]:
    return set(connection.scalars(_EXISTING, {"ids": sorted(task_ids)}) if task_ids else ())


def count_repeats(connection: Connection, repeats: Mapping[str, Sequence[datetime]]) -> None:
    """Count repeated callbacks, by their times: what `on_duplicate` does, in SQL.

    So a repetition costs the same however large its task is.
    """
    rows = [{"key": key, "more": len(times), "latest": max(times)} for key, times in sorted(repeats.items())]
    if rows:
        connection.execute(_COUNT, rows)


def save(
    connection: Connection,
    steps: Iterable[tuple[Task, Task]] = (),
    *,
    new: Sequence[NewTasks] = (),
    also: Tallies | None = None,
) -> datetime | None:
    """Write tasks that changed, each as (before, after), and new ones; add them and `also` to the totals.

    Once in a transaction and at its end. Their reservations stay. Returns the time of change that is stored with all
    that changed: their own, or a later one.
    """
    steps = list(steps)
    fresh = prepare_new(
        [after for before, after in steps if not before.is_known], dialect=connection.dialect.name
    )
    known = [(before, after) for before, after in steps if before.is_known]
    changed_at = _time_of_change(connection, known, [fresh, *new])
    counts: Tallies = Counter(also or {})
    for some in (fresh, *new):
        insert_new(connection, some, changed_at=changed_at)
        counts.update(some.counts)
    _update(connection, known, changed_at)
    for before, after in known:
        counts.update(hourly_counts.in_hour(after.first_seen_at, count_changes(before, after)))
    hourly_counts.add(connection, counts)
    return changed_at


def _time_of_change(
    connection: Connection, steps: Iterable[tuple[Task, Task]], new: Iterable[NewTasks]
) -> datetime | None:
    """One time for all that changed, None if nothing did; that a task is new is a change, too."""
    times = [after.changed_at or after.first_seen_at for before, after in steps if _changed(before, after)]
    times += [some.changed_at for some in new if some.changed_at is not None]
    return time_of_change(connection, max(times)) if times else None


def _changed(before: Task, after: Task) -> bool:
    return before.changed_at is None or after.version != before.version


def _update(connection: Connection, steps: Iterable[tuple[Task, Task]], changed_at: datetime | None) -> None:
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for before, after in steps:
        row = changed_columns(before, after)
        if _changed(before, after):
            row["changed_at"] = changed_at
        if row:
            alike[tuple(row)].append(row | {"key": after.task_id})
    for names, rows in alike.items():
        connection.execute(_UPDATE_COUNTED_SIZE if "counted" in names else _UPDATE, rows)


def ids_to_give_up(connection: Connection, *, first_seen_before: datetime, limit: int) -> Sequence[str]:
    """Unsettled tasks that were first seen before then, oldest first."""
    unsettled = task.c.outcome == Outcome.IN_PROGRESS
    query = select(task.c.task_id).where(unsettled, task.c.first_seen_at <= first_seen_before)
    return connection.scalars(query.order_by(task.c.first_seen_at).limit(limit)).all()


def ids_after(connection: Connection, task_id: str, *, limit: int) -> Sequence[str]:
    """The ids that follow `task_id`, to walk over every task in small steps."""
    return connection.scalars(
        select(task.c.task_id).where(task.c.task_id > task_id).order_by(task.c.task_id).limit(limit)
    ).all()
