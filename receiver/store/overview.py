"""Is anything wrong: counts that stay cheap however many rows there are, and the tasks behind them.

Each count stops at `COUNTED`. No index knows conflicts or a delivery's source; there only the newest rows are
looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, select

from receiver.core.settlement import Outcome
from receiver.store.deliveries import QUARANTINED
from receiver.store.schema import delivery, task

COUNTED = 1000
NEWEST_TASKS = 10_000
NEWEST_DELIVERIES = 5_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """How much is wrong; a count of `COUNTED` means that or more."""

    unresolved: int
    overdue: int
    conflicts: int
    quarantined: int
    last_callback_at: datetime | None


def read_overview(connection: Connection, *, due_before: datetime) -> Overview:
    """The counts; overdue is an unsettled task whose next look was planned before `due_before`."""
    unresolved = select(task.c.task_id).where(task.c.outcome == Outcome.UNRESOLVED.value)
    quarantined = select(delivery.c.id).where(delivery.c.result == QUARANTINED)
    return Overview(
        unresolved=_count(connection, unresolved),
        overdue=_count(connection, select(task.c.task_id).where(_overdue(due_before))),
        conflicts=_count(connection, _conflicts()),
        quarantined=_count(connection, quarantined),
        last_callback_at=_last_callback_at(connection),
    )


def overdue_ids(connection: Connection, *, due_before: datetime, limit: int) -> Sequence[str]:
    """Unsettled tasks that should have been looked at before `due_before`, the longest due first."""
    query = select(task.c.task_id).where(_overdue(due_before)).order_by(task.c.next_poll_at)
    return connection.scalars(query.limit(limit)).all()


def conflict_ids(connection: Connection, *, limit: int) -> Sequence[str]:
    """Tasks of which both a failure and a success were told, newest first, among the newest tasks."""
    return connection.scalars(_conflicts().limit(limit)).all()


def _overdue(due_before: datetime) -> ColumnElement[bool]:
    # Both values of `poll_requested`, so that the index that begins with it can be used.
    return and_(
        task.c.poll_requested.in_([False, True]),
        task.c.next_poll_at.is_not(None),
        task.c.next_poll_at <= due_before,
        task.c.outcome == Outcome.IN_PROGRESS.value,
    )


def _conflicts() -> Select[Any]:
    newest = select(task.c.task_id, task.c.conflict, task.c.first_seen_at)
    newest = newest.order_by(task.c.first_seen_at.desc(), task.c.task_id.desc()).limit(NEWEST_TASKS)
    seen = newest.subquery()
    return select(seen.c.task_id).where(seen.c.conflict).order_by(seen.c.first_seen_at.desc())


def _last_callback_at(connection: Connection) -> datetime | None:
    newest = select(delivery.c.id, delivery.c.source, delivery.c.received_at)
    seen = newest.order_by(delivery.c.id.desc()).limit(NEWEST_DELIVERIES).subquery()
    query = select(seen.c.received_at).where(seen.c.source == "callback").order_by(seen.c.id.desc())
    return connection.scalars(query.limit(1)).first()


def _count(connection: Connection, rows: Select[Any]) -> int:
    return connection.scalar(select(func.count()).select_from(rows.limit(COUNTED).subquery())) or 0
