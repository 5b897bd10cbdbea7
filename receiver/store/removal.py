"""A task deleted for good, with its deliveries, in transactions that nobody waits for long.

Deliveries count what came, so their totals stay; the totals of tasks are as if this one had never been.
"""

from sqlalchemy import Connection, delete

from receiver.core.task import Task
from receiver.core.task_counts import count_changes
from receiver.store import hourly_counts
from receiver.store.deliveries import sizes, within_bytes
from receiver.store.schema import delivery, task

BATCH_SIZE = 500


def delete_some_deliveries(connection: Connection, task_id: str) -> bool:
    """Delete the newest deliveries of a task, as many as fit into one transaction; whether none are left."""
    newest = sizes().where(delivery.c.task_id == task_id).order_by(delivery.c.id.desc())
    rows = connection.execute(newest.limit(BATCH_SIZE + 1)).all()
    ids = within_bytes(rows[:BATCH_SIZE])
    if ids:
        connection.execute(delete(delivery).where(delivery.c.id.in_(ids)))
    return len(ids) == len(rows)


def delete_task_row(connection: Connection, known: Task) -> None:
    """Delete the locked task itself; its deliveries are gone. At the end of the transaction, as whatever counts."""
    connection.execute(delete(task).where(task.c.task_id == known.task_id))
    never = Task(task_id=known.task_id, first_seen_at=known.first_seen_at)
    hourly_counts.add(connection, hourly_counts.in_hour(known.first_seen_at, count_changes(known, never)))
