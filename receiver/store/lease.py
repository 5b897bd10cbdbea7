"""One poller at a time: a row with a holder, a heartbeat and a number that grows with each new holder.

Correctness never rests on it, only the quota does.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, select, update

from receiver.store.schema import lease

POLLER = "poller"
CLOCK_SKEW_S = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    holder: str
    fence: int
    heartbeat_at: datetime
    expires_at: datetime

    def valid(self, now: datetime) -> bool:
        """Whether it still binds the others; a heartbeat from the future is that of a clock since set back."""
        return now < self.expires_at and self.heartbeat_at <= now + timedelta(seconds=CLOCK_SKEW_S)


def read(connection: Connection) -> Lease | None:
    """The lease as it stands, expired or not."""
    row = connection.execute(select(lease).where(lease.c.name == POLLER)).one_or_none()
    if row is None:
        return None
    return Lease(holder=row.holder, fence=row.fence, heartbeat_at=row.heartbeat_at, expires_at=row.expires_at)


def take(connection: Connection, *, holder: str, now: datetime, ttl_s: float) -> Lease | None:
    """Take or renew the lease; None while somebody else has it."""
    held = read(connection)
    if held and held.holder != holder and held.valid(now):
        return None
    fence = 1 if held is None else held.fence + (held.holder != holder)
    taken = Lease(holder=holder, fence=fence, heartbeat_at=now, expires_at=now + timedelta(seconds=ttl_s))
    values = {"holder": holder, "fence": fence, "heartbeat_at": now, "expires_at": taken.expires_at}
    if held is None:
        connection.execute(insert(lease).values(name=POLLER, **values))
    else:
        connection.execute(update(lease).where(lease.c.name == POLLER).values(**values))
    return taken


def give_back(connection: Connection, *, holder: str, now: datetime) -> None:
    """Let the next one have it at once."""
    mine = (lease.c.name == POLLER) & (lease.c.holder == holder)
    connection.execute(update(lease).where(mine).values(expires_at=now))
