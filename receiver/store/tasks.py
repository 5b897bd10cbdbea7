"""Task rows: loaded to be changed, saved, and listed for people."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, or_, select, tuple_, update

from receiver.core.settlement import Outcome, Verdict
from receiver.core.state_document import dump_state, load_state
from receiver.core.task import Task
from receiver.store.schema import task
from receiver.store.upsert import insert_into

_UPDATE = update(task).where(task.c.task_id == bindparam("key"))
_PLAIN = (
    "task_id",
    "first_seen_at",
    "label",
    "registered_at",
    "last_callback_at",
    "last_polled_at",
    "gave_up_at",
    "settled_at",
    "next_poll_at",
    "poll_requested",
    "attempt",
    "callbacks",
    "polls",
    "version",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """Which tasks to list; every part that is given must hold. `text` looks in id, label and titles."""

    outcome: str | None = None
    status: str | None = None
    text: str | None = None
    before: tuple[datetime, str] | None = None


def load(connection: Connection, task_id: str) -> Task | None:
    """The task, or None."""
    return load_many(connection, [task_id]).get(task_id)


def load_many(connection: Connection, task_ids: Collection[str]) -> Mapping[str, Task]:
    """The known ones of these tasks, locked until the end of the transaction where it writes."""
    query = select(task).where(task.c.task_id.in_(sorted(task_ids))).order_by(task.c.task_id)
    writes = connection.get_execution_options().get("immediate")
    rows = connection.execute(query.with_for_update() if writes else query)
    return {row.task_id: _task(row) for row in rows}


def load_or_create(connection: Connection, first_seen: Mapping[str, datetime]) -> dict[str, Task]:
    """These tasks, locked; the unknown ones are created, seen first at the time given."""
    known = load_many(connection, first_seen)
    fresh = [
        _row(Task(task_id=key, first_seen_at=first_seen[key])) for key in sorted(first_seen.keys() - known)
    ]
    if not fresh:
        return dict(known)
    connection.execute(insert_into(connection, task).on_conflict_do_nothing(), fresh)
    return {**known, **load_many(connection, [row["task_id"] for row in fresh])}


def save(connection: Connection, tasks: Iterable[Task]) -> None:
    """Write changed tasks. Who claimed a task for polling is not theirs to change."""
    rows = [_row(changed) | {"key": changed.task_id} for changed in tasks]
    if rows:
        connection.execute(_UPDATE, rows)


def find(connection: Connection, wanted: Filter, *, limit: int) -> Sequence[Task]:
    """At most `limit` tasks, newest first."""
    query = select(task).order_by(task.c.first_seen_at.desc(), task.c.task_id.desc()).limit(limit)
    if wanted.outcome:
        query = query.where(task.c.outcome == wanted.outcome)
    if wanted.status:
        query = query.where(task.c.status == wanted.status)
    if wanted.text:
        places = (task.c.task_id, task.c.label, task.c.titles)
        query = query.where(or_(*(place.icontains(wanted.text, autoescape=True) for place in places)))
    if wanted.before:
        query = query.where(tuple_(task.c.first_seen_at, task.c.task_id) < tuple_(*wanted.before))
    return [_task(row) for row in connection.execute(query)]


def count_by_outcome(connection: Connection) -> Mapping[str, int]:
    rows = connection.execute(select(task.c.outcome, func.count()).group_by(task.c.outcome))
    counts = {row[0]: row[1] for row in rows}
    return {outcome.value: counts.get(outcome.value, 0) for outcome in Outcome}


def count_flag(connection: Connection, name: str) -> int:
    """How many tasks have this flag: `recovered`, `lost_callback` or `conflict`."""
    return connection.scalar(select(func.count()).where(task.c[name])) or 0


def overdue_ids(connection: Connection, *, first_seen_before: datetime, limit: int) -> Sequence[str]:
    """Unsettled tasks that nobody ended, oldest first."""
    unsettled = task.c.outcome == Outcome.IN_PROGRESS.value
    query = select(task.c.task_id).where(unsettled, task.c.first_seen_at <= first_seen_before)
    return connection.scalars(query.order_by(task.c.first_seen_at).limit(limit)).all()


def ids_after(connection: Connection, task_id: str, *, limit: int) -> Sequence[str]:
    """The ids that follow `task_id`, to walk over every task in small steps."""
    return connection.scalars(
        select(task.c.task_id).where(task.c.task_id > task_id).order_by(task.c.task_id).limit(limit)
    ).all()


def _row(known: Task) -> dict[str, Any]:
    titles = (claims["title"].value for claims in known.state.tracks.values() if "title" in claims)
    return {name: getattr(known, name) for name in _PLAIN} | {
        "state": dump_state(known.state),
        "status": known.state.reconciled_status.word,
        "outcome": known.verdict.outcome.value,
        "conflict": known.state.conflict,
        "recovered": known.verdict.recovered,
        "lost_callback": known.verdict.lost_callback,
        "titles": "\n".join(sorted({str(title) for title in titles})),
    }


def _task(row: Row[Any]) -> Task:
    state = load_state(row.state)
    outcome = Outcome(row.outcome)
    verdict = Verdict(
        outcome=outcome,
        urgent=outcome is Outcome.IN_PROGRESS and state.reconciled_status.ends,
        recovered=row.recovered,
        lost_callback=row.lost_callback,
    )
    plain = {name: getattr(row, name) for name in _PLAIN}
    return replace(
        Task(task_id=row.task_id, first_seen_at=row.first_seen_at), **plain, state=state, verdict=verdict
    )
