"""Callbacks about another product's jobs, as they were parsed when they came."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from receiver.core.observation import UnsupportedEnd
from receiver.core.results import DeliveryResult
from receiver.store.schema import delivery

SCAN_LIMIT = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class UnsupportedEndClaim:
    """How a callback says that the job ended; `query` is that of the callback's URL."""

    end: UnsupportedEnd
    received_at: datetime
    query: str


def first_end_claims(connection: Connection, task_id: str, *, most: int) -> Sequence[UnsupportedEndClaim]:
    """The first of these callbacks about the task, in order of arrival. No body is read, and few rows are walked."""
    walked = (
        select(*(delivery.c[name] for name in ("id", "received_at", "result", "status", "query")))
        .where(delivery.c.task_id == task_id)
        .order_by(delivery.c.id)
        .limit(SCAN_LIMIT)
        .subquery()
    )
    ends = {end.status: end for end in UnsupportedEnd}
    claims = select(walked).where(walked.c.result == DeliveryResult.UNSUPPORTED, walked.c.status.in_(ends))
    rows = connection.execute(claims.order_by(walked.c.id).limit(most))
    return [
        UnsupportedEndClaim(end=ends[row.status], received_at=row.received_at, query=row.query or "")
        for row in rows
    ]
