"""What one process of all must do once in a while: by name, a row among the leases."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, or_, update

from receiver.store.schema import lease
from receiver.store.upsert import insert_into

LONGEST = timedelta(days=2)  # what is claimed for longer was claimed by a clock that has since been set back


def claim(connection: Connection, name: str, *, holder: str, now: datetime, until: datetime) -> bool:
    """Whether the chore is for `holder` to do until then; one statement decides among all who ask at once."""
    fresh = insert_into(connection, lease).values(
        name=name, holder=holder, fence=0, heartbeat_at=now, expires_at=until
    )
    over = or_(lease.c.expires_at <= now, lease.c.expires_at > now + LONGEST)
    claimed = fresh.on_conflict_do_update(
        index_elements=["name"],
        set_={"holder": holder, "heartbeat_at": now, "expires_at": until},
        where=or_(lease.c.holder == holder, over),
    )
    return connection.scalar(claimed.returning(lease.c.name)) is not None


def finish(connection: Connection, name: str, *, holder: str, next_at: datetime) -> None:
    """It is done, and nobody's until then."""
    mine = (lease.c.name == name) & (lease.c.holder == holder)
    connection.execute(update(lease).where(mine).values(holder="", expires_at=next_at))
