"""The times of changes, which grow in the order in which changes are committed, whatever the machines' clocks say.

So a reader that has read every change up to a time has lost nothing before it: what is committed later has a later
time. On PostgreSQL the row of the clock is locked until the transaction ends, as the hour's counts are, too.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, select, update

from receiver.store.schema import change_clock
from receiver.store.upsert import insert_into

TICK = timedelta(microseconds=1)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def time_of_change(connection: Connection, now: datetime) -> datetime:
    """`now`, or just after the last change where that was later. Once in a transaction, shortly before its end."""
    row = change_clock.c.id == 1
    last = select(change_clock.c.changed_at).where(row).with_for_update()
    changed_at = connection.scalar(last)
    if changed_at is None:
        first = insert_into(connection, change_clock).values(id=1, changed_at=LONG_AGO)
        connection.execute(first.on_conflict_do_nothing())
        changed_at = connection.scalars(last).one()
    later: datetime = max(now, changed_at + TICK)
    connection.execute(update(change_clock).where(row).values(changed_at=later))
    return later
