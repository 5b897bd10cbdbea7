"""A cap on the bodies of strangers: anybody who knows the callback URL can send them without end.

Capped are the bodies of callbacks without a task, and of tasks that nobody registered and record-info never
reported. The newest stay, up to a number and a size. Of older ones the row stays, without its body and long texts.
"""

import logging
import time
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select, update

from receiver.store.cap import CHECK_EVERY_BYTES, MAX_BYTES, PAUSE_S, Cap, count_dropped
from receiver.store.database import Database
from receiver.store.schema import delivery, task
from receiver.store.short_rows import SHORT

log = logging.getLogger(__name__)

BODIES = "bodies"
MAX_BODIES = 10_000
CHECK_EVERY_BODIES = 500  # bodies at the latest, though they are small
BODY_BATCH_SIZE = 50  # a transaction of some milliseconds

COUNTS_AGAINST_CAP = delivery.c.capped_bytes.is_not(None)


class BodyCap(Cap):
    """Keeps the bodies of strangers within the cap."""

    def __init__(
        self, database: Database, *, most_bodies: int = MAX_BODIES, most_bytes: int = MAX_BYTES
    ) -> None:
        super().__init__(database)
        self._most_bodies = most_bodies
        self._most_bytes = most_bytes

    def stored(self, size: int) -> bool:
        return super().stored(max(size, CHECK_EVERY_BYTES // CHECK_EVERY_BODIES))

    def _enforce(self, deadline: float) -> bool:
        last = self._last_to_drop()
        dropped = 0
        ids: Sequence[int] = []
        while last is not None and time.monotonic() < deadline:
            with self._database.read() as connection:
                ids = _ids_until(connection, last)
            if not ids:
                break
            with self._database.write() as connection:
                dropped += _drop(connection, ids)
            time.sleep(PAUSE_S)
        if dropped:
            log.warning("bodies of strangers were dropped", extra={"fields": {BODIES: dropped}})
        return last is None or not ids

    def _last_to_drop(self) -> int | None:
        """The id of the newest body that is too many; None where all are within the cap."""
        with self._database.read() as connection:
            bodies, size = _totals(connection)
            if bodies <= self._most_bodies and size <= self._most_bytes:
                return None
            registered = _of_registered_tasks(connection)
        self._release(registered)
        with self._database.read() as connection:
            return _newest_too_many(connection, self._most_bodies, self._most_bytes)

    def _release(self, ids: Sequence[int]) -> None:
        for first in range(0, len(ids), BODY_BATCH_SIZE):
            with self._database.write() as connection:
                _change(connection, ids[first : first + BODY_BATCH_SIZE], capped_bytes=None)


def uncap(connection: Connection, task_ids: Collection[str]) -> None:
    """Record-info reported these tasks, so their bodies no longer count."""
    if task_ids:
        bodies = delivery.c.task_id.in_(sorted(task_ids)) & COUNTS_AGAINST_CAP
        connection.execute(update(delivery).where(bodies).values(capped_bytes=None))


def _totals(connection: Connection) -> tuple[int, int]:
    """Number and size of all that is capped, which is little more than the cap; out of an index of only these."""
    query = select(func.count(), func.coalesce(func.sum(delivery.c.capped_bytes), 0)).where(
        COUNTS_AGAINST_CAP
    )
    bodies, size = connection.execute(query).one()
    return bodies, size


def _of_registered_tasks(connection: Connection) -> Sequence[int]:
    """Those whose tasks have been registered since."""
    return connection.scalars(select(delivery.c.id).where(COUNTS_AGAINST_CAP, _registered())).all()


def _newest_too_many(connection: Connection, most_bodies: int, most_bytes: int) -> int | None:
    newest = (
        select(delivery.c.id, delivery.c.capped_bytes)
        .where(COUNTS_AGAINST_CAP)
        .order_by(delivery.c.id.desc())
    )
    size = 0
    for number, (delivery_id, body_size) in enumerate(connection.execute(newest.limit(most_bodies + 1))):
        size += body_size
        if number == most_bodies or size > most_bytes:
            return int(delivery_id)
    return None


def _ids_until(connection: Connection, last: int) -> Sequence[int]:
    query = select(delivery.c.id).where(COUNTS_AGAINST_CAP, delivery.c.id <= last).order_by(delivery.c.id)
    return connection.scalars(query.limit(BODY_BATCH_SIZE)).all()


def _drop(connection: Connection, ids: Collection[int]) -> int:
    """Drop these, except of a task that was registered at the last moment. Returns how many."""
    _change(connection, ids, _registered(), capped_bytes=None)
    dropped = _change(connection, ids, COUNTS_AGAINST_CAP, body=None, capped_bytes=None, **SHORT)
    count_dropped(connection, BODIES, dropped, Counter())
    return dropped


def _change(
    connection: Connection, ids: Collection[int], *conditions: ColumnElement[bool], **columns: Any
) -> int:
    # Rows that another transaction holds are skipped, so that two never wait for each other.
    chosen = select(delivery.c.id).where(delivery.c.id.in_(ids), *conditions)
    free = chosen.with_for_update(skip_locked=True, of=delivery)
    return connection.execute(update(delivery).where(delivery.c.id.in_(free)).values(**columns)).rowcount


def _registered() -> ColumnElement[bool]:
    registered = (task.c.task_id == delivery.c.task_id) & task.c.registered_at.is_not(None)
    # Not EXISTS, for which PostgreSQL would rather read the whole table of tasks once than look a few up.
    return select(task.c.task_id).where(registered).scalar_subquery().is_not(None)
