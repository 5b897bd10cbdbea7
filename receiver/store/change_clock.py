"""The times of changes, which grow in the order in which changes are committed, whatever the machines' clocks say.

So a reader that has read every change up to a time has lost nothing before it: what is committed later has a later
time. On PostgreSQL the row of the clock is locked until the transaction ends, as the hour's counts are, too.
"""

from datetime import UTC, datetime, timedelta
from functools import cache

from sqlalchemy import Connection, Executable, func

from receiver.store.schema import change_clock
from receiver.store.upsert import insert_into

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def time_of_change(connection: Connection, now: datetime) -> datetime:
    """`now`, or just after the last change where that was later. Once in a transaction, shortly before its end."""
    given = {"id": 1, "microseconds": (now - EPOCH) // MICROSECOND}
    microseconds: int = connection.execute(_advance(connection.dialect.name), given).scalar_one()
    return EPOCH + microseconds * MICROSECOND


@cache  # to build it takes longer than to execute it
def _advance(dialect: str) -> Executable:
    greatest = func.max if dialect == "sqlite" else func.greatest
    fresh = insert_into(dialect, change_clock)
    later = greatest(change_clock.c.microseconds + 1, fresh.excluded.microseconds)
    moved = fresh.on_conflict_do_update(index_elements=["id"], set_={"microseconds": later})
    return moved.returning(change_clock.c.microseconds)
