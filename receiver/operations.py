"""What a person or a program may do with tasks, beside telling of them."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from receiver.core import payloads
from receiver.core.reconciliation import TaskState, reconcile
from receiver.core.task import Task, acknowledge, register, rejudge, request_poll
from receiver.runtime import Runtime
from receiver.store import actions, deliveries, tasks
from receiver.store.actions import Actor, Kind

PRUNED_AT_ONCE = 500


def register_task(
    runtime: Runtime, task_id: str, *, label: str | None, now: datetime, actor: Actor
) -> tuple[Task, bool]:
    """Register a task, as often as you like; says whether it was new here, even as an orphan."""
    with runtime.database.write() as connection:
        known = tasks.load_or_create(connection, {task_id: now})[task_id]
        if known.registered_at is not None and label in (None, known.label):
            return known, False
        task = register(known, label=label, now=now, rules=runtime.settings.rules)
        tasks.save(connection, [(known, task)])
        if known.registered_at is not None:
            _note_label(connection, task, now=now, actor=actor)
    return task, not known.told_of


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
        actions.note(connection, Kind.POLL_REQUESTED, actor, now=now, task_id=task_id)
    return task


def acknowledge_task(runtime: Runtime, task_id: str, *, now: datetime, actor: Actor) -> None:
    """A person has seen what is wrong with this task."""
    with _changing(runtime, task_id) as (connection, known):
        if known is not None and known.problem:
            tasks.save(connection, [(known, acknowledge(known))])
            actions.note(connection, Kind.ACKNOWLEDGED, actor, now=now, task_id=task_id)


def acknowledge_tasks(runtime: Runtime, task_ids: Collection[str]) -> int:
    """The same of many tasks, which is for `note_done` to write down; says with how many something was wrong."""
    with runtime.database.write() as connection:
        known = tasks.load_many(connection, task_ids).values()
        tasks.save(connection, [(task, acknowledge(task)) for task in known])
    return sum(task.problem is not None for task in known)


def note_done(
    runtime: Runtime, kind: Kind, *, now: datetime, actor: Actor, detail: Mapping[str, Any]
) -> None:
    """Write down, in one line, what somebody did in many transactions."""
    with runtime.database.write() as connection:
        actions.note(connection, kind, actor, now=now, detail=detail)


def every_task_id(runtime: Runtime) -> list[str]:
    ids: list[str] = []
    while True:
        with runtime.database.read() as connection:
            more = tasks.ids_after(connection, ids[-1] if ids else "", limit=1000)
        if not more:
            return ids
        ids += more


def rebuild_task(runtime: Runtime, task_id: str, *, now: datetime) -> bool:
    """Fold the task's stored deliveries again, by present schemas and rules; says whether that changed it.

    Where retention has dropped bodies, what they told is still in the old state, which is joined in.
    """
    with runtime.database.write() as connection:
        known = tasks.load_many(connection, [task_id]).get(task_id)
        if known is None:
            return False
        state = known.state if deliveries.any_body_dropped(connection, task_id) else TaskState()
        for told in deliveries.bodies_of(connection, task_id):
            body = told.body or b""
            reading = payloads.read_again(body, source=told.source, task_id=task_id)
            if reading.kind is payloads.Kind.READ and reading.observation and reading.task_id == task_id:
                state = reconcile(state, reading.observation)
        task = rejudge(replace(known, state=state), now=now, rules=runtime.settings.rules)
        if task == known:
            return False
        tasks.save(connection, [(known, replace(task, version=known.version + 1))])
    return True


def prune_bodies(runtime: Runtime, *, now: datetime, actor: Actor) -> int:
    """Drop old raw bodies of settled tasks, in small batches that never hold up a callback; says how many."""
    before = now - timedelta(days=runtime.settings.retention_days)
    dropped = 0
    while True:
        with runtime.database.write() as connection:
            batch = deliveries.drop_bodies(connection, received_before=before, limit=PRUNED_AT_ONCE)
        dropped += batch
        if batch < PRUNED_AT_ONCE:
            break
    note_done(runtime, Kind.PRUNED, now=now, actor=actor, detail={"bodies": dropped})
    return dropped


@contextmanager
def _changing(runtime: Runtime, task_id: str) -> Iterator[tuple[Connection, Task | None]]:
    with runtime.database.write() as connection:
        yield connection, tasks.load_many(connection, [task_id]).get(task_id)


def _note_label(connection: Connection, task: Task, *, now: datetime, actor: Actor) -> None:
    actions.note(
        connection, Kind.LABELLED, actor, now=now, task_id=task.task_id, detail={"label": task.label}
    )
