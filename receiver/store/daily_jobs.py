"""Jobs that one of all processes does once in a while: each is a row among the leases, by name."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, update

from receiver.store.lease import acquire
from receiver.store.schema import lease

MAX_RUN = timedelta(days=2)  # what is taken for longer was taken by a clock that has since been set back


def begin(connection: Connection, name: str, *, holder: str, now: datetime, until: datetime) -> bool:
    """Whether the job is for `holder` to do until then."""
    too_long = lease.c.expires_at > now + MAX_RUN
    return acquire(connection, name, holder=holder, now=now, until=until, void=too_long) is not None


def finish(connection: Connection, name: str, *, holder: str, next_at: datetime) -> None:
    """The job is done, and due again then."""
    mine = (lease.c.name == name) & (lease.c.holder == holder)
    connection.execute(update(lease).where(mine).values(holder="", expires_at=next_at))
