"""Counts for health and alarms, which stay cheap however many rows there are.

Each count stops at a cap. No index has a delivery's source, so there only the newest rows are read.
What somebody has acknowledged does not count.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, func, literal_column, select

from receiver.core.cadence import PollRank
from receiver.core.observation import Source
from receiver.core.problem import Problem
from receiver.core.results import DeliveryResult
from receiver.core.settlement import Outcome
from receiver.core.system_state import AWAITED_AFTER, COUNT_CAP, SETTLED_SAMPLE_SIZE, SETTLED_WITHIN, Overview
from receiver.store import quarantine, recent_failures
from receiver.store.database import database_now
from receiver.store.quarantine import QuarantineFilter
from receiver.store.schema import delivery, tally, task
from receiver.store.task_list import overdue

MAX_NEWEST_DELIVERIES = 5_000
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Oldest:
    """The oldest due time and first sight of tasks, and the last delivery of each source; None: there is none."""

    overdue_since: datetime | None
    unsettled_since: datetime | None
    last_delivery_at: Mapping[Source, datetime | None]


def read_overview(connection: Connection, *, due_before: datetime | None, most: int = COUNT_CAP) -> Overview:
    """The counts; overdue is an unsettled task whose next poll was planned before `due_before`."""
    now = database_now(connection)
    last_callback_at = _newest_delivery(connection, Source.CALLBACK)
    awaited, awaited_since = _awaited(connection, last_callback_at, now, most)
    settled, lost = _last_settled(connection, now)
    return Overview(
        unresolved=_count(connection, _problems(Problem.UNRESOLVED), most),
        overdue=_count(connection, select(task.c.task_id).where(overdue(due_before)), most),
        conflicts=_count(connection, _problems(Problem.CONFLICT), most),
        quarantined=quarantine.count(connection, QuarantineFilter(), cap=most),
        last_callback_at=last_callback_at,
        recent=recent_failures.read(connection, now=now),
        awaited=awaited,
        awaited_since=awaited_since,
        settled=settled,
        lost=lost,
    )


def _awaited(
    connection: Connection, last_callback_at: datetime | None, now: datetime, most: int
) -> tuple[int, datetime | None]:
    """How many registered tasks are in progress for a while, all newer than the last callback; and the oldest."""
    first_seen_at = task.c.first_seen_at
    query = select(first_seen_at).where(
        task.c.outcome == literal_column("'in_progress'"),
        first_seen_at > (last_callback_at or LONG_AGO),
        first_seen_at <= now - AWAITED_AFTER,
        task.c.registered_at.is_not(None),
    )
    rows = query.order_by(first_seen_at).limit(most).subquery()
    count, oldest = connection.execute(
        select(func.count(), func.min(rows.c.first_seen_at)).select_from(rows)
    ).one()
    return count, oldest


def _last_settled(connection: Connection, now: datetime) -> tuple[int, int]:
    """How many tasks settled lately, at most a sample, and how many of them by polls alone.

    Found among the newest of each outcome: every callback would have to update an index by time of settling.
    """
    found: list[tuple[datetime, bool]] = []
    for outcome in Outcome:
        if outcome is not Outcome.IN_PROGRESS:
            newest = select(task.c.settled_at, task.c.lost_callback).where(task.c.outcome == outcome)
            rows = connection.execute(newest.order_by(task.c.first_seen_at.desc()).limit(SETTLED_SAMPLE_SIZE))
            found += [(row.settled_at, row.lost_callback) for row in rows if row.settled_at]
    found = sorted((settled for settled in found if settled[0] > now - SETTLED_WITHIN), reverse=True)
    lately = found[:SETTLED_SAMPLE_SIZE]
    return len(lately), sum(lost for _, lost in lately)


def read_oldest(connection: Connection, *, due_before: datetime | None) -> Oldest:
    """The oldest of each; the last delivery of a source is known only to the hour once many of the other came since."""
    unsettled = select(task.c.first_seen_at).where(task.c.outcome == literal_column("'in_progress'"))
    return Oldest(
        overdue_since=_longest_due(connection, due_before),
        unsettled_since=connection.scalars(unsettled.order_by(task.c.first_seen_at).limit(1)).first(),
        last_delivery_at={
            source: _newest_delivery(connection, source) or _newest_hour(connection, source)
            for source in Source
        },
    )


def _problems(problem: Problem) -> Select[Any]:
    return select(task.c.task_id).where(task.c.problem.is_not(None), task.c.problem == problem)


def _longest_due(connection: Connection, due_before: datetime | None) -> datetime | None:
    # Each of its own, so that the index that begins with it gives the order.
    due = [
        select(task.c.next_poll_at).where(overdue(due_before), task.c.poll_rank == rank) for rank in PollRank
    ]
    first = [connection.scalars(query.order_by(task.c.next_poll_at).limit(1)).first() for query in due]
    return min(filter(None, first), default=None)


def _newest_delivery(connection: Connection, source: Source) -> datetime | None:
    newest = select(func.max(delivery.c.id)).scalar_subquery()
    lately = delivery.c.id > newest - MAX_NEWEST_DELIVERIES
    query = select(delivery.c.received_at).where(lately, delivery.c.source == source)
    return connection.scalars(query.order_by(delivery.c.id.desc()).limit(1)).first()


def _newest_hour(connection: Connection, source: Source) -> datetime | None:
    """The end of the last hour in which something of this source was stored."""
    counted = (tally.c.subject == source) & tally.c.name.in_(tuple(DeliveryResult)) & (tally.c.count > 0)
    hour = connection.scalars(
        select(tally.c.hour).where(counted).order_by(tally.c.hour.desc()).limit(1)
    ).first()
    return hour and hour + timedelta(hours=1)


def _count(connection: Connection, rows: Select[Any], most: int) -> int:
    return connection.scalar(select(func.count()).select_from(rows.limit(most).subquery())) or 0
