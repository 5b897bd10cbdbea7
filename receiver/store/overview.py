"""Is anything wrong: counts that stay cheap however many rows there are.

Each count stops at `COUNTED`. No index knows a delivery's source; there only the newest rows are looked at.
What a person has acknowledged does not count.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, select

from receiver.core.task import Problem
from receiver.store import quarantine
from receiver.store.listing import overdue
from receiver.store.quarantine import Quarantined
from receiver.store.schema import delivery, task

COUNTED = 1000
NEWEST_DELIVERIES = 5_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """How much is wrong; a count of `COUNTED` means that or more."""

    unresolved: int
    overdue: int
    conflicts: int
    quarantined: int
    last_callback_at: datetime | None


def read_overview(connection: Connection, *, due_before: datetime | None) -> Overview:
    """The counts; overdue is an unsettled task whose next look was planned before `due_before`."""
    return Overview(
        unresolved=_count(connection, _problems(Problem.UNRESOLVED)),
        overdue=_count(connection, select(task.c.task_id).where(overdue(due_before))),
        conflicts=_count(connection, _problems(Problem.CONFLICT)),
        quarantined=quarantine.count(connection, Quarantined(), most=COUNTED),
        last_callback_at=_last_callback_at(connection),
    )


def _problems(problem: Problem) -> Select[Any]:
    return select(task.c.task_id).where(task.c.problem.is_not(None), task.c.problem == problem.value)


def _last_callback_at(connection: Connection) -> datetime | None:
    newest = select(func.max(delivery.c.id)).scalar_subquery()
    lately = delivery.c.id > newest - NEWEST_DELIVERIES
    query = select(delivery.c.received_at).where(lately, delivery.c.source == "callback")
    return connection.scalars(query.order_by(delivery.c.id.desc()).limit(1)).first()


def _count(connection: Connection, rows: Select[Any]) -> int:
    return connection.scalar(select(func.count()).select_from(rows.limit(COUNTED).subquery())) or 0
