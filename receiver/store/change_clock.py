"""The times of changes, which grow in the order in which changes are committed, whatever the machines' clocks say.

So a reader that has read every change up to a time has lost nothing before it: what is committed later has a later
time. On PostgreSQL the row of the clock is locked until the transaction ends, as the hour's counts are, too.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, func

from receiver.store.schema import change_clock
from receiver.store.upsert import insert_into

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def time_of_change(connection: Connection, now: datetime) -> datetime:
    """`now`, or just after the last change where that was later. Once in a transaction, shortly before its end."""
    greatest = func.max if connection.dialect.name == "sqlite" else func.greatest
    fresh = insert_into(connection, change_clock).values(id=1, microseconds=(now - EPOCH) // MICROSECOND)
    later = greatest(change_clock.c.microseconds + 1, fresh.excluded.microseconds)
    moved = fresh.on_conflict_do_update(index_elements=["id"], set_={"microseconds": later})
    microseconds: int = connection.scalars(moved.returning(change_clock.c.microseconds)).one()
    return EPOCH + microseconds * MICROSECOND
