"""Task rows: loaded to be changed, and saved."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, update

from receiver.core.census import effect
from receiver.core.settlement import Outcome, Verdict, is_urgent
from receiver.core.state_document import dump_state, load_state
from receiver.core.task import Task
from receiver.core.words import words_of
from receiver.store import tallies
from receiver.store.database import writes
from receiver.store.schema import task
from receiver.store.tallies import Tallies
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
    "expedited_at",
    "poll_requested",
    "attempt",
    "callbacks",
    "polls",
    "version",
    "acknowledged_version",
)


def load(connection: Connection, task_id: str) -> Task | None:
    """The task, or None."""
    return load_many(connection, [task_id]).get(task_id)


def load_many(connection: Connection, task_ids: Collection[str]) -> Mapping[str, Task]:
    """The known ones of these tasks, locked until the end of the transaction where it writes."""
    query = select(task).where(task.c.task_id.in_(sorted(task_ids))).order_by(task.c.task_id)
    rows = connection.execute(query.with_for_update(key_share=True) if writes(connection) else query)
    return {row.task_id: task_of(row) for row in rows}


def load_or_create(connection: Connection, first_seen: Mapping[str, datetime]) -> dict[str, Task]:
    """These tasks, locked; the unknown ones are created, seen first at the time given.

    First all are created, then all are locked, both in the order of their ids: whoever already holds the lock of
    one and waits to create another could wait for somebody who waits for him.
    """
    known = connection.scalars(select(task.c.task_id).where(task.c.task_id.in_(sorted(first_seen))))
    unknown = sorted(first_seen.keys() - set(known))
    fresh = [_row(Task(task_id=key, first_seen_at=first_seen[key])) for key in unknown]
    if fresh:
        connection.execute(insert_into(connection, task).on_conflict_do_nothing(), fresh)
    return dict(load_many(connection, first_seen))


def save(connection: Connection, steps: Iterable[tuple[Task, Task]], *, also: Tallies | None = None) -> None:
    """Write tasks that changed, each as (before, after), and their effect on the totals, with what `also` counts.

    Once in a transaction and at its end. Who claimed a task for polling is not theirs to change.
    """
    counts: Tallies = Counter(also or {})
    rows = []
    for before, after in steps:
        counts.update(tallies.in_hour(after.first_seen_at, effect(before, after)))
        rows.append(_row(after) | {"key": after.task_id})
    if rows:
        connection.execute(_UPDATE, rows)
    tallies.add(connection, counts)


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
    titles = [str(claims["title"].value) for claims in known.tracks.values() if "title" in claims]
    return {name: getattr(known, name) for name in _PLAIN} | {
        "poll_rank": known.poll_rank,
        "state": dump_state(known.state),
        "status": known.state.reconciled_status.word,
        "outcome": known.verdict.outcome.value,
        "conflict": known.state.conflict,
        "recovered": known.verdict.recovered,
        "lost_callback": known.verdict.lost_callback,
        "problem": known.problem,
        "words": words_of(known.label or "", *sorted(titles)),
    }


def task_of(row: Row[Any]) -> Task:
    state = load_state(row.state)
    outcome = Outcome(row.outcome)
    verdict = Verdict(
        outcome=outcome,
        urgent=is_urgent(state, outcome),
        recovered=row.recovered,
        lost_callback=row.lost_callback,
    )
    plain = {name: getattr(row, name) for name in _PLAIN}
    return replace(
        Task(task_id=row.task_id, first_seen_at=row.first_seen_at), **plain, state=state, verdict=verdict
    )
