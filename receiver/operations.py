"""What a person or a program may do with tasks, beside telling of them."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from receiver.core import payloads, task_counts
from receiver.core.observation import Observation, Source
from receiver.core.reconciliation import TaskState, reconcile
from receiver.core.settlement import Outcome
from receiver.core.task import Rules, Task
from receiver.core.task_events import (
    acknowledge,
    on_callback,
    on_reprocessed,
    register,
    request_poll,
    resettle,
    with_query,
)
from receiver.runtime import Runtime
from receiver.store import audit_log, deliveries, hourly_counts, other_jobs, removal, tasks
from receiver.store.audit_log import ActionKind, Actor

MAX_EARLIER_DELIVERIES = 20
PAUSE_S = 0.002  # between two transactions, in which those who wait for the database get it


def register_task(
    runtime: Runtime, task_id: str, *, label: str | None, now: datetime, actor: Actor
) -> tuple[Task, bool]:
    """Register a task, as often as you like; says whether it was new here, even as an orphan."""
    with runtime.database.write() as connection:
        known = tasks.load_or_create(connection, {task_id: now})[task_id]
        if known.registered_at is not None and label in (None, known.label):
            return known, False
        rules = runtime.settings.rules
        told = known if known.registered_at else _earlier_end(connection, known, rules=rules)
        task = register(told, label=label, now=now, rules=rules)
        [task] = tasks.save(connection, [(known, task)])
        if known.registered_at is not None:
            _note_label(connection, task, now=now, actor=actor)
    return task, not known.is_known


def _earlier_end(connection: Connection, task: Task, *, rules: Rules) -> Task:
    """The task with another product's callbacks, which came before anybody registered it."""
    step = on_reprocessed if task.is_known else on_callback  # an orphan has counted its callbacks
    for claim in other_jobs.first_claims(connection, task.task_id, most=MAX_EARLIER_DELIVERIES):
        said = Observation(task_id=task.task_id, source=Source.CALLBACK, other_job=claim.ended)
        task = with_query(step(task, said, now=claim.received_at, rules=rules), claim.query)
    return task


def label_task(
    runtime: Runtime, task_id: str, *, label: str | None, now: datetime, actor: Actor
) -> Task | None:
    """Give the task another label, or none; None when it is unknown."""
    with _changing(runtime, task_id) as (connection, known):
        if known is None or known.label == label:
            return known
        task = replace(known, label=label)
        tasks.save(connection, [(known, task)])
        _note_label(connection, task, now=now, actor=actor)
    return task


def request_task_poll(runtime: Runtime, task_id: str, *, now: datetime, actor: Actor) -> Task | None:
    """Have record-info asked about the task as soon as the quota allows; None when it is unknown."""
    with _changing(runtime, task_id) as (connection, known):
        if known is None:
            return None
        task = request_poll(known, now=now)
        tasks.save(connection, [(known, task)])
        audit_log.record(connection, ActionKind.POLL_REQUESTED, actor, now=now, task_id=task_id)
    return task


def delete_task(runtime: Runtime, task_id: str, *, now: datetime, actor: Actor) -> bool:
    """Delete the task and its deliveries for good; False when it is unknown.

    The task stays until the last of its deliveries is gone: broken off, it can be deleted again.
    """
    while True:
        with _changing(runtime, task_id) as (connection, known):
            if known is None:
                return False
            if removal.delete_some_deliveries(connection, task_id):
                outcome = {"outcome": known.settlement.outcome.value}
                audit_log.record(
                    connection, ActionKind.DELETED, actor, now=now, task_id=task_id, detail=outcome
                )
                removal.delete_task_row(connection, known)
                return True
        time.sleep(PAUSE_S)


def acknowledge_task(runtime: Runtime, task_id: str, *, now: datetime, actor: Actor) -> None:
    """A person has seen what is wrong with this task."""
    with _changing(runtime, task_id) as (connection, known):
        if known is not None and known.problem:
            tasks.save(connection, [(known, acknowledge(known))])
            audit_log.record(connection, ActionKind.ACKNOWLEDGED, actor, now=now, task_id=task_id)


def acknowledge_tasks(runtime: Runtime, task_ids: Collection[str]) -> int:
    """The same of many tasks, which is for `record_action` to write down; says with how many something was wrong."""
    with runtime.database.write() as connection:
        known = tasks.load_many(connection, task_ids).values()
        tasks.save(connection, [(task, acknowledge(task)) for task in known])
    return sum(task.problem is not None for task in known)


def record_action(
    runtime: Runtime, kind: ActionKind, *, now: datetime, actor: Actor, detail: Mapping[str, Any]
) -> None:
    """Write down, in one line, what somebody did in many transactions."""
    with runtime.database.write() as connection:
        audit_log.record(connection, kind, actor, now=now, detail=detail)


def count_tasks(runtime: Runtime) -> int:
    with runtime.database.read() as connection:
        counted = hourly_counts.totals(connection, task_counts.TASK).get(task_counts.TASK, {})
    return sum(counted.get(outcome.value, 0) for outcome in Outcome)


def every_task_id(runtime: Runtime) -> Iterator[str]:
    """The ids of all tasks, a thousand at a time."""
    ids: Sequence[str] = [""]
    while ids:
        with runtime.database.read() as connection:
            ids = tasks.ids_after(connection, ids[-1], limit=1000)
        yield from ids


def rebuild_task(runtime: Runtime, task_id: str, *, now: datetime) -> bool:
    """Fold the task's stored deliveries again, by present schemas and rules; says whether that changed it.

    Nearly always it does not: so it is tried first without the lock that callbacks wait for.
    """
    with runtime.database.read() as connection:
        step = _rebuilt(runtime, connection, task_id, now=now)
    if step is None:
        return False
    with runtime.database.write() as connection:
        if tasks.load_many(connection, [task_id]).get(task_id) != step[0]:  # told of meanwhile
            step = _rebuilt(runtime, connection, task_id, now=now)
        if step is not None:
            tasks.save(connection, [step])
    return step is not None


def _rebuilt(
    runtime: Runtime, connection: Connection, task_id: str, *, now: datetime
) -> tuple[Task, Task] | None:
    """The task as it is and as it comes out of its deliveries; None where these are the same.

    Where bodies or rows have gone since, what they told is still in the old state, which is joined in.
    """
    known = tasks.load_many(connection, [task_id]).get(task_id)
    if known is None:
        return None
    rows_gone = deliveries.count_of_task(connection, task_id) < known.callbacks + known.polls
    gone = rows_gone or deliveries.any_body_dropped(connection, task_id)
    state = known.state if gone else TaskState()
    for told in deliveries.every_body_of(connection, task_id):
        if told.cause == payloads.ParseOutcome.TOO_MUCH:
            continue  # it did not fit, and does not fit now
        reading = payloads.parse_stored(told.body or b"", source=told.source, task_id=task_id)
        theirs = told.source == Source.CALLBACK and reading.not_music is not None
        if known.registered_at is None and theirs:
            continue  # another product's job, which matters only where its owner has registered it
        if reading.to_reconcile and reading.task_id == task_id:
            state = reconcile(state, reading.to_reconcile)
    task = resettle(replace(known, state=state), now=now, rules=runtime.settings.rules)
    if task == known:
        return None
    return known, replace(task, version=known.version + 1, changed_at=now)


@contextmanager
def _changing(runtime: Runtime, task_id: str) -> Iterator[tuple[Connection, Task | None]]:
    with runtime.database.write() as connection:
        yield connection, tasks.load_many(connection, [task_id]).get(task_id)


def _note_label(connection: Connection, task: Task, *, now: datetime, actor: Actor) -> None:
    audit_log.record(
        connection, ActionKind.LABELLED, actor, now=now, task_id=task.task_id, detail={"label": task.label}
    )
