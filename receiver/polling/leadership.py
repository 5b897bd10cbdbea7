"""One poller among all processes: the lease, and what its new holder sets right."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from receiver.core import upstream_health
from receiver.store import Connection, call_quota, lease, upstream_status
from receiver.store.database import Database
from receiver.store.lease import Lease

log = logging.getLogger(__name__)

LEASE_S = 10.0  # checked every few seconds, so that another poller takes over within 15
RENEW_BELOW = 2 / 3  # of the lease's time that is left


class Leadership:
    """Holds the poller's lease for one process, `name`.

    `slots` is how many calls the quota allows in a period. `clock` tells the database's time on a connection.
    """

    def __init__(
        self,
        database: Database,
        *,
        name: str,
        lease_s: float,
        slots: int,
        clock: Callable[[Connection], datetime],
    ) -> None:
        self._database = database
        self._name = name
        self._lease_s = lease_s
        self._slots = slots
        self._clock = clock
        self._fence: int | None = None

    def hold(self) -> datetime | None:
        """Take the lease, or renew it where it is time to; the database's time, None while another has the lease."""
        with self._database.read() as connection:
            now, current = self._clock(connection), lease.read(connection)
        if current is not None and self._is_fresh(current, now):
            return now
        if current is not None and current.holder != self._name and current.valid(now):
            self._fence = None
            return None
        return self._take()

    def give_back(self) -> None:
        """Let another process take over at once."""
        if self._fence is None:
            return
        with self._database.write() as connection:
            lease.give_back(connection, holder=self._name, now=self._clock(connection))
        self._fence = None

    def _is_fresh(self, current: Lease, now: datetime) -> bool:
        mine = current.holder == self._name and current.fence == self._fence
        return mine and current.expires_at - now > timedelta(seconds=self._lease_s * RENEW_BELOW)

    def _take(self) -> datetime | None:
        with self._database.write() as connection:
            now = self._clock(connection)
            taken = lease.take(connection, holder=self._name, now=now, ttl_s=self._lease_s)
            if taken is not None and taken.fence != self._fence:
                self._begin(connection, taken, now)
        self._fence = taken.fence if taken else None
        return now if taken else None

    def _begin(self, connection: Connection, taken: Lease, now: datetime) -> None:
        """A new holder may have other settings than the last one: a quota, a key, another clock's pause."""
        call_quota.resize_slots(connection, self._slots)
        health = upstream_health.retry_refused_key(upstream_status.read_health(connection))
        upstream_status.save_health(connection, upstream_health.limit_pause(health, now=now))
        log.info("polling lease taken", extra={"fields": {"holder": self._name, "fence": taken.fence}})
