"""Rows of deliveries that are new, made ready before anything is locked."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection

from receiver.core.results import DeliveryResult
from receiver.store.bulk_insert import BulkInsert, Values
from receiver.store.deliveries import StoredDelivery, parsed_columns
from receiver.store.schema import delivery
from receiver.store.short_rows import shortened
from receiver.store.upsert import insert_into

_NEW = BulkInsert(
    delivery,
    [name for name in delivery.c.keys() if name not in ("id", "acknowledged_at")],  # noqa: SIM118  columns
    lambda dialect: insert_into(dialect, delivery),
)


def add(connection: Connection, deliveries: Iterable[StoredDelivery]) -> None:
    add_bound(connection, [bind(stored, dialect=connection.dialect.name) for stored in deliveries])


def bind(stored: StoredDelivery, *, dialect: str) -> Values:
    """The row for `add_bound`, for this kind of database; it needs no connection."""
    return _NEW.bind(_new_row(stored), dialect)


def add_bound(connection: Connection, rows: Sequence[Values]) -> None:
    _NEW.execute(connection, rows)


def _new_row(stored: StoredDelivery) -> dict[str, Any]:
    row = parsed_columns(stored) | {
        "source": stored.source,
        "received_at": stored.received_at,
        "body": stored.body,
        "query": stored.query,
        "capped_bytes": stored.capped_bytes,
    }
    return row if stored.result is not DeliveryResult.DUPLICATE else shortened(row | {"body": None})
