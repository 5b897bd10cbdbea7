"""Deletes a task for good, with its deliveries, in short transactions.

The totals of deliveries stay; those of tasks become as if this one had never existed.
"""

from sqlalchemy import Connection, delete

from receiver.core.task import Task
from receiver.core.task_counts import count_changes
from receiver.store import hourly_counts
from receiver.store.deliveries import sizes, within_bytes
from receiver.store.schema import delivery, task

BATCH_SIZE = 500


def delete_some_deliveries(connection: Connection, task_id: str) -> bool:
    """Delete the newest deliveries of a task, as many as fit into one transaction; returns whether none are left."""
    newest = sizes().where(delivery.c.task_id == task_id).order_by(delivery.c.id.desc())
    rows = connection.execute(newest.limit(BATCH_SIZE + 1)).all()
    ids = within_bytes(rows[:BATCH_SIZE])
    if ids:
        connection.execute(delete(delivery).where(delivery.c.id.in_(ids)))
    return len(ids) == len(rows)


def delete_task_row(connection: Connection, deleted: Task) -> None:
    """Delete the locked task itself, once its deliveries are gone; at the end of the transaction, like all counting."""
    connection.execute(delete(task).where(task.c.task_id == deleted.task_id))
    never = Task(task_id=deleted.task_id, first_seen_at=deleted.first_seen_at)
    counts = count_changes(deleted, never)
    hourly_counts.add(connection, hourly_counts.in_hour(deleted.first_seen_at, counts))
