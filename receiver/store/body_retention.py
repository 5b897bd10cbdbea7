"""Raw bodies that nothing needs any more, found along the log and dropped; the rows stay."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select, update

from receiver.store.schema import delivery, task

SCAN_LIMIT = 2000


def last_id(connection: Connection) -> int:
    return connection.scalar(select(func.max(delivery.c.id))) or 0


@dataclass(frozen=True, kw_only=True, slots=True)
class BodyBatch:
    """A part of the log: the id it ends with, and the ids whose bodies may go."""

    end: int
    droppable: Sequence[int]


def find_old_bodies(connection: Connection, *, after: int, received_before: datetime) -> BodyBatch | None:
    """The next piece of the log behind the id `after`; None where nothing so old follows.

    Ids grow with the time of arrival, but for the seconds that clocks and waiting transactions differ by.
    """
    columns = (delivery.c.id, delivery.c.task_id, delivery.c.received_at)
    has_body = delivery.c.body.is_not(None).label("has_body")
    following = select(*columns, has_body).where(delivery.c.id > after).order_by(delivery.c.id)
    walked = following.limit(SCAN_LIMIT).subquery()
    end, oldest = connection.execute(select(func.max(walked.c.id), func.min(walked.c.received_at))).one()
    if end is None or oldest >= received_before:
        return None
    old = walked.c.has_body & (walked.c.received_at < received_before) & ~_needed(walked.c.task_id)
    return BodyBatch(end=end, droppable=connection.scalars(select(walked.c.id).where(old)).all())


def drop_bodies(connection: Connection, ids: Collection[int]) -> int:
    """Drop these bodies, but for those that a task needs by now; the rows stay. Says how many."""
    # What another one drops at this moment is left to it: so two never wait for each other.
    free = (
        select(delivery.c.id)
        .where(delivery.c.id.in_(ids), delivery.c.body.is_not(None), ~_needed(delivery.c.task_id))
        .with_for_update(skip_locked=True)
    )
    return connection.execute(
        update(delivery).where(delivery.c.id.in_(free)).values(body=None, capped_bytes=None)
    ).rowcount


def _needed(task_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether an unsettled task may yet be derived from it again; another product's job is no task."""
    unsettled = select(task.c.task_id).where(task.c.task_id == task_id, task.c.settled_at.is_(None))
    # Not EXISTS, for which PostgreSQL would rather read the whole table of tasks once than look a few up.
    return unsettled.scalar_subquery().is_not(None)
