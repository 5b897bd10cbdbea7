"""One poller at a time: a row with a holder, a heartbeat and a fencing token that grows with each new holder.

Correctness never rests on it, only the quota does. `now` is what `database.database_now` says: machines may disagree
about the time, and the lease must not run out for one of them while another still holds it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, case, or_, select, update

from receiver.store.schema import lease
from receiver.store.upsert import insert_into

POLLER = "poller"
CLOCK_SKEW_S = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    holder: str
    fence: int
    heartbeat_at: datetime
    expires_at: datetime

    def valid(self, now: datetime) -> bool:
        """Whether it still excludes others; a heartbeat from the future was made before the clock was set back."""
        return now < self.expires_at and self.heartbeat_at <= now + timedelta(seconds=CLOCK_SKEW_S)


def read(connection: Connection) -> Lease | None:
    """The lease as it stands, expired or not."""
    row = connection.execute(select(lease).where(lease.c.name == POLLER)).one_or_none()
    if row is None:
        return None
    return Lease(holder=row.holder, fence=row.fence, heartbeat_at=row.heartbeat_at, expires_at=row.expires_at)


def take(connection: Connection, *, holder: str, now: datetime, ttl_s: float) -> Lease | None:
    """Take or renew the lease; None while another has it."""
    until = now + timedelta(seconds=ttl_s)
    from_the_future = lease.c.heartbeat_at > now + timedelta(seconds=CLOCK_SKEW_S)
    fence = acquire(connection, POLLER, holder=holder, now=now, until=until, void=from_the_future)
    if fence is None:
        return None
    return Lease(holder=holder, fence=fence, heartbeat_at=now, expires_at=until)


def acquire(
    connection: Connection,
    name: str,
    *,
    holder: str,
    now: datetime,
    until: datetime,
    void: ColumnElement[bool],
) -> int | None:
    """Acquire `name` until then, in one compare-and-set statement; None: another holder has it.

    Another's lease ends when it expires, or where it is `void`. Returns this holder's fencing token.
    """
    fresh = insert_into(connection.dialect.name, lease).values(
        name=name, holder=holder, fence=1, heartbeat_at=now, expires_at=until
    )
    acquired = fresh.on_conflict_do_update(
        index_elements=["name"],
        set_={
            "holder": holder,
            "fence": case((lease.c.holder == holder, lease.c.fence), else_=lease.c.fence + 1),
            "heartbeat_at": now,
            "expires_at": until,
        },
        where=or_(lease.c.holder == holder, lease.c.expires_at <= now, void),
    )
    fence: int | None = connection.scalar(acquired.returning(lease.c.fence))
    return fence


def give_back(connection: Connection, *, holder: str, now: datetime) -> None:
    """Release the lease, so that the next process gets it at once."""
    mine = (lease.c.name == POLLER) & (lease.c.holder == holder)
    connection.execute(update(lease).where(mine).values(expires_at=now))
