"""What people and programs can do with tasks."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from receiver.core import task_counts
from receiver.core.observation import Observation, Source
from receiver.core.payloads import ParseOutcome, parse_stored
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
from receiver.store import (
    Connection,
    audit_log,
    deliveries,
    hourly_counts,
    removal,
    tasks,
    unsupported_callbacks,
)
from receiver.store.audit_log import ActionKind, Actor

MAX_EARLIER_DELIVERIES = 20
PAUSE_S = 0.002  # between two transactions, in which waiting writers get the database


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """The task after an operation, and whether that changed anything."""

    task: Task
    changed: bool


def register_task(
    runtime: Runtime, task_id: str, *, label: str | None, now: datetime, actor: Actor
) -> tuple[Task, bool]:
    """Register a task, once or again; returns also whether it was new here, even as an orphan."""
    with runtime.database.write() as connection:
        before = tasks.load_or_create(connection, {task_id: now})[task_id]
        if before.registered_at is not None and label in (None, before.label):
            return before, False
        rules = runtime.settings.rules
        task = before if before.registered_at else _with_earlier_claims(connection, before, rules=rules)
        task = register(task, label=label, now=now, rules=rules)
        changed_at = tasks.save(connection, [(before, task)])
        if before.registered_at is not None:
            _record_label(connection, task, now=now, actor=actor)
    return replace(task, changed_at=changed_at or task.changed_at), not before.is_known


def _with_earlier_claims(connection: Connection, task: Task, *, rules: Rules) -> Task:
    """The task with another product's callbacks, which came before it was registered."""
    apply = on_reprocessed if task.is_known else on_callback  # an orphan has counted its callbacks
    for claim in unsupported_callbacks.first_end_claims(
        connection, task.task_id, most=MAX_EARLIER_DELIVERIES
    ):
        observation = Observation(task_id=task.task_id, source=Source.CALLBACK, unsupported_end=claim.end)
        task = with_query(apply(task, observation, now=claim.received_at, rules=rules), claim.query)
    return task


def label_task(
    runtime: Runtime, task_id: str, *, label: str | None, now: datetime, actor: Actor
) -> Effect | None:
    """Set the task's label, or remove it; None when the task is unknown."""
    with _locked(runtime, task_id) as (connection, before):
        if before is None:
            return None
        if before.label == label:
            return Effect(task=before, changed=False)
        task = replace(before, label=label)
        tasks.save(connection, [(before, task)])
        _record_label(connection, task, now=now, actor=actor)
    return Effect(task=task, changed=True)


def request_task_poll(runtime: Runtime, task_id: str, *, now: datetime, actor: Actor) -> Effect | None:
    """Have the task polled as soon as the quota allows; None when it is unknown."""
    with _locked(runtime, task_id) as (connection, before):
        if before is None:
            return None
        if before.poll_requested and before.next_poll_at is not None and before.next_poll_at <= now:
            return Effect(task=before, changed=False)  # another request would only put it off
        task = request_poll(before, now=now)
        tasks.save(connection, [(before, task)])
        audit_log.record(connection, ActionKind.POLL_REQUESTED, actor, now=now, task_id=task_id)
    return Effect(task=task, changed=True)


def delete_task(runtime: Runtime, task_id: str, *, now: datetime, actor: Actor) -> bool:
    """Delete the task and its deliveries for good; False when it is unknown.

    The task stays until the last of its deliveries is gone: if interrupted, it can be deleted again.
    """
    while True:
        with _locked(runtime, task_id) as (connection, task):
            if task is None:
                return False
            if removal.delete_some_deliveries(connection, task_id):
                detail = {"outcome": task.settlement.outcome}
                audit_log.record(
                    connection, ActionKind.DELETED, actor, now=now, task_id=task_id, detail=detail
                )
                removal.delete_task_row(connection, task)
                return True
        time.sleep(PAUSE_S)


def acknowledge_task(runtime: Runtime, task_id: str, *, now: datetime, actor: Actor) -> Effect | None:
    """Acknowledge the task's problem, if it has one; None when the task is unknown."""
    with _locked(runtime, task_id) as (connection, before):
        if before is None:
            return None
        if not before.problem:
            return Effect(task=before, changed=False)
        task = acknowledge(before)
        tasks.save(connection, [(before, task)])
        audit_log.record(connection, ActionKind.ACKNOWLEDGED, actor, now=now, task_id=task_id)
    return Effect(task=task, changed=True)


def acknowledge_tasks(runtime: Runtime, task_ids: Collection[str]) -> int:
    """The same for many tasks, without an entry in the audit log; returns how many had a problem."""
    with runtime.database.write() as connection:
        loaded = tasks.load_many(connection, task_ids).values()
        problems = [task for task in loaded if task.problem]
        tasks.save(connection, [(task, acknowledge(task)) for task in problems])
    return len(problems)


def record_action(
    runtime: Runtime, kind: ActionKind, *, now: datetime, actor: Actor, detail: Mapping[str, Any]
) -> None:
    """Add one entry to the audit log for what somebody did in many transactions."""
    with runtime.database.write() as connection:
        audit_log.record(connection, kind, actor, now=now, detail=detail)


def count_tasks(runtime: Runtime) -> int:
    with runtime.database.read() as connection:
        counted = hourly_counts.totals(connection, task_counts.TASK).get(task_counts.TASK, {})
    return sum(counted.get(outcome, 0) for outcome in Outcome)


def every_task_id(runtime: Runtime) -> Iterator[str]:
    """The ids of all tasks, a thousand at a time."""
    ids: Sequence[str] = [""]
    while ids:
        with runtime.database.read() as connection:
            ids = tasks.ids_after(connection, ids[-1], limit=1000)
        yield from ids


def rebuild_task(runtime: Runtime, task_id: str, *, now: datetime) -> bool:
    """Derive the task again from its stored deliveries, by the present rules; returns whether that changed it.

    Nearly always it does not, so it is tried first without the lock that callbacks wait for.
    """
    with runtime.database.read() as connection:
        step = _rebuilt(runtime, connection, task_id, now=now)
    if step is None:
        return False
    with runtime.database.write() as connection:
        if tasks.load(connection, task_id) != step[0]:  # changed meanwhile
            step = _rebuilt(runtime, connection, task_id, now=now)
        if step is not None:
            tasks.save(connection, [step])
    return step is not None


def _rebuilt(
    runtime: Runtime, connection: Connection, task_id: str, *, now: datetime
) -> tuple[Task, Task] | None:
    """The task before and after; None where these are the same.

    Where bodies or rows are gone, their content is still in the old state, which is joined in.
    """
    before = tasks.load(connection, task_id)
    if before is None:
        return None
    rows_gone = deliveries.count_of_task(connection, task_id) < before.callbacks + before.polls
    gone = rows_gone or deliveries.any_body_dropped(connection, task_id)
    state = before.state if gone else TaskState()
    for observation in _observations(connection, before):
        state = reconcile(state, observation)
    after = resettle(replace(before, state=state), now=now, rules=runtime.settings.rules)
    if after == before:
        return None
    return before, replace(after, version=before.version + 1, changed_at=now)


def _observations(connection: Connection, task: Task) -> Iterator[Observation]:
    """What the task's stored deliveries say by the present schemas."""
    for delivery in deliveries.every_body_of(connection, task.task_id):
        if delivery.cause is ParseOutcome.TOO_MUCH:
            continue  # it did not fit, and does not fit now
        parsed = parse_stored(delivery.body or b"", source=delivery.source, task_id=task.task_id)
        unsupported = parsed.kind is ParseOutcome.UNSUPPORTED
        if task.registered_at is None and unsupported:
            continue  # it matters only where its owner has registered it
        if parsed.to_reconcile and parsed.task_id == task.task_id:
            yield parsed.to_reconcile


@contextmanager
def _locked(runtime: Runtime, task_id: str) -> Iterator[tuple[Connection, Task | None]]:
    with runtime.database.write() as connection:
        yield connection, tasks.load(connection, task_id)


def _record_label(connection: Connection, task: Task, *, now: datetime, actor: Actor) -> None:
    audit_log.record(
        connection, ActionKind.LABELLED, actor, now=now, task_id=task.task_id, detail={"label": task.label}
    )
