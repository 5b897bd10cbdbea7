"""Deliveries that could not be parsed: listed, counted, acknowledged, and parsed again."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, bindparam, func, literal_column, select, update

from receiver.core.payloads import ParseOutcome
from receiver.core.results import DeliveryResult
from receiver.store.deliveries import StoredDelivery, load_all, parsed_columns, sizes, within_bytes
from receiver.store.schema import delivery

CAUSES = (ParseOutcome.NOT_JSON, ParseOutcome.NO_TASK_ID, ParseOutcome.UNREADABLE, ParseOutcome.TOO_MUCH)


@dataclass(frozen=True, kw_only=True, slots=True)
class QuarantineFilter:
    """Which of them: those with this `cause`, or only the one with this `delivery_id`.

    Without `include_acknowledged` only those that nobody has acknowledged.
    """

    cause: ParseOutcome | None = None
    include_acknowledged: bool = False
    delivery_id: int | None = None


def find(
    connection: Connection, filters: QuarantineFilter, *, limit: int, before: int | None = None
) -> Sequence[StoredDelivery]:
    """As many of them as a page holds, newest first, older than the id `before`."""
    found, _ = page(connection, filters, limit=limit, before=before)
    return found


def page(
    connection: Connection, filters: QuarantineFilter, *, limit: int, before: int | None = None
) -> tuple[Sequence[StoredDelivery], int | None]:
    """At most `limit` of them, and so many bytes; and the id to go on before, None where nothing follows."""
    older = [] if before is None else [delivery.c.id < before]
    query = sizes().where(*_conditions(filters), *older).order_by(delivery.c.id.desc())
    rows = connection.execute(query.limit(limit + 1)).all()
    ids = within_bytes(rows[:limit])
    return load_all(connection, ids)[::-1], ids[-1] if len(ids) < len(rows) else None


def newest_ids(
    connection: Connection, filters: QuarantineFilter, *, limit: int, before: int | None = None
) -> Sequence[int]:
    older = [] if before is None else [delivery.c.id < before]
    query = select(delivery.c.id).where(*_conditions(filters), *older).order_by(delivery.c.id.desc())
    return connection.scalars(query.limit(limit)).all()


def count(
    connection: Connection, filters: QuarantineFilter, *, cap: int | None = None, before: int | None = None
) -> int:
    """How many, older than the id `before`; counting stops at `cap`."""
    older = [] if before is None else [delivery.c.id < before]
    rows = select(delivery.c.id).where(*_conditions(filters), *older).limit(cap).subquery()
    return connection.scalar(select(func.count()).select_from(rows)) or 0


def acknowledge(connection: Connection, ids: Collection[int], *, now: datetime) -> int:
    """Mark these as acknowledged; returns how many were not yet."""
    lock(connection, ids)
    pending = delivery.c.id.in_(sorted(ids)) & delivery.c.acknowledged_at.is_(None)
    return connection.execute(update(delivery).where(pending).values(acknowledged_at=now)).rowcount


def lock(connection: Connection, ids: Collection[int]) -> set[int]:
    """Those that are still in quarantine, and stay so until the end of the transaction; locked in the order of ids."""
    quarantined = delivery.c.id.in_(sorted(ids)) & (delivery.c.result == DeliveryResult.QUARANTINED)
    query = select(delivery.c.id).where(quarantined).order_by(delivery.c.id)
    return set(connection.scalars(query.with_for_update(key_share=True)))


def rewrite(connection: Connection, deliveries: Iterable[StoredDelivery]) -> None:
    """Store what deliveries say now that they were parsed again."""
    rows = [parsed_columns(stored) | {"key": stored.id} for stored in deliveries]
    if rows:
        connection.execute(update(delivery).where(delivery.c.id == bindparam("key")), rows)


def _conditions(filters: QuarantineFilter) -> list[ColumnElement[bool]]:
    if filters.delivery_id is not None:
        return [delivery.c.result == DeliveryResult.QUARANTINED, delivery.c.id == filters.delivery_id]
    pending = [] if filters.include_acknowledged else [delivery.c.acknowledged_at.is_(None)]
    caused = [delivery.c.cause == filters.cause] if filters.cause else []
    return [delivery.c.result == literal_column("'quarantined'"), *pending, *caused]
