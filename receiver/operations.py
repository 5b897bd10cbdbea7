"""What a person or a program may do with tasks, beside telling of them."""

from dataclasses import replace
from datetime import datetime, timedelta

from receiver.core.payloads import Kind, read_answer, read_callback
from receiver.core.reconciliation import TaskState, reconcile
from receiver.core.task import Task, register, rejudge, request_poll
from receiver.runtime import Runtime
from receiver.store import deliveries, tasks

PRUNED_AT_ONCE = 500


def register_task(runtime: Runtime, task_id: str, *, label: str | None, now: datetime) -> tuple[Task, bool]:
    """Register a task, as often as you like; says whether it was new here, even as an orphan."""
    with runtime.database.write() as connection:
        new = not tasks.load_many(connection, [task_id])
        known = tasks.load_or_create(connection, {task_id: now})[task_id]
        if known.registered_at is not None and label in (None, known.label):
            return known, False
        task = register(known, label=label, now=now, rules=runtime.settings.rules)
        tasks.save(connection, [task])
    return task, new


def request_task_poll(runtime: Runtime, task_id: str, *, now: datetime) -> Task | None:
    """Have record-info asked about the task as soon as the quota allows; None when it is unknown."""
    with runtime.database.write() as connection:
        known = tasks.load_many(connection, [task_id]).get(task_id)
        if known is None:
            return None
        task = request_poll(known, now=now)
        tasks.save(connection, [task])
    return task


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
            reading = read_callback(body) if told.source == "callback" else read_answer(body, task_id)
            if reading.kind is Kind.READ and reading.observation and reading.task_id == task_id:
                state = reconcile(state, reading.observation)
        before = replace(known, state=state)
        task = rejudge(before, now=now, rules=runtime.settings.rules)
        if task == known:
            return False
        tasks.save(connection, [replace(task, version=known.version + 1)])
    return True


def prune_bodies(runtime: Runtime, *, now: datetime) -> int:
    """Drop old raw bodies of settled tasks, in small batches that never hold up a callback; says how many."""
    before = now - timedelta(days=runtime.settings.retention_days)
    dropped = 0
    while True:
        with runtime.database.write() as connection:
            batch = deliveries.drop_bodies(connection, received_before=before, limit=PRUNED_AT_ONCE)
        dropped += batch
        if batch < PRUNED_AT_ONCE:
            return dropped
