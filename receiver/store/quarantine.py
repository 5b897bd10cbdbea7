"""Deliveries that could not be read: listed, counted, seen by a person, and read again."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, bindparam, func, literal_column, select, update

from receiver.core.payloads import ParseOutcome
from receiver.store.deliveries import (
    QUARANTINED,
    StoredDelivery,
    columns_as_read,
    load_all,
    sizes,
    within_bytes,
)
from receiver.store.schema import delivery

CAUSES = (ParseOutcome.NOT_JSON, ParseOutcome.NO_TASK_ID, ParseOutcome.UNREADABLE, ParseOutcome.TOO_MUCH)


@dataclass(frozen=True, kw_only=True, slots=True)
class QuarantineFilter:
    """Which of them: with this `cause`, unless `seen` only those that no person has acknowledged; or `only` one."""

    cause: str | None = None
    seen: bool = False
    only: int | None = None


def find(
    connection: Connection, wanted: QuarantineFilter, *, limit: int, before: int | None = None
) -> Sequence[StoredDelivery]:
    """As many of them as a page holds, newest first, older than the id `before`."""
    found, _ = page(connection, wanted, limit=limit, before=before)
    return found


def page(
    connection: Connection, wanted: QuarantineFilter, *, limit: int, before: int | None = None
) -> tuple[Sequence[StoredDelivery], int | None]:
    """At most `limit` of them, and so many bytes; and the id to go on before, None where nothing follows."""
    older = [] if before is None else [delivery.c.id < before]
    query = sizes().where(*_conditions(wanted), *older).order_by(delivery.c.id.desc())
    rows = connection.execute(query.limit(limit + 1)).all()
    ids = within_bytes(rows[:limit])
    return load_all(connection, ids)[::-1], ids[-1] if len(ids) < len(rows) else None


def newest_ids(
    connection: Connection, wanted: QuarantineFilter, *, limit: int, before: int | None = None
) -> Sequence[int]:
    older = [] if before is None else [delivery.c.id < before]
    query = select(delivery.c.id).where(*_conditions(wanted), *older).order_by(delivery.c.id.desc())
    return connection.scalars(query.limit(limit)).all()


def count(
    connection: Connection, wanted: QuarantineFilter, *, most: int | None = None, before: int | None = None
) -> int:
    """How many, older than the id `before`; counting stops at `most`."""
    older = [] if before is None else [delivery.c.id < before]
    rows = select(delivery.c.id).where(*_conditions(wanted), *older).limit(most).subquery()
    return connection.scalar(select(func.count()).select_from(rows)) or 0


def acknowledge(connection: Connection, ids: Collection[int], *, now: datetime) -> int:
    """A person has seen these; says how many were still unseen."""
    lock(connection, ids)
    unseen = delivery.c.id.in_(sorted(ids)) & delivery.c.acknowledged_at.is_(None)
    return connection.execute(update(delivery).where(unseen).values(acknowledged_at=now)).rowcount


def lock(connection: Connection, ids: Collection[int]) -> set[int]:
    """Those that are in quarantine still, and stay so until the end of the transaction; in one order for all."""
    theirs = delivery.c.id.in_(sorted(ids)) & (delivery.c.result == QUARANTINED)
    query = select(delivery.c.id).where(theirs).order_by(delivery.c.id)
    return set(connection.scalars(query.with_for_update(key_share=True)))


def rewrite(connection: Connection, deliveries: Iterable[StoredDelivery]) -> None:
    """Deliveries that were read again, as they are read now."""
    rows = [columns_as_read(told) | {"key": told.id} for told in deliveries]
    if rows:
        connection.execute(update(delivery).where(delivery.c.id == bindparam("key")), rows)


def _conditions(wanted: QuarantineFilter) -> list[ColumnElement[bool]]:
    if wanted.only is not None:
        return [delivery.c.result == QUARANTINED, delivery.c.id == wanted.only]
    unseen = [] if wanted.seen else [delivery.c.acknowledged_at.is_(None)]
    caused = [delivery.c.cause == wanted.cause] if wanted.cause else []
    return [delivery.c.result == literal_column("'quarantined'"), *unseen, *caused]
