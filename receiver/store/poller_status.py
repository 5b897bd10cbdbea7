"""Reads who polls, and whether the upstream lets them."""

from datetime import datetime

from sqlalchemy import Connection

from receiver.core.payloads import Trouble
from receiver.core.poller_status import PollerState, PollerStatus
from receiver.core.upstream_health import UpstreamHealth
from receiver.store import lease, upstream_status
from receiver.store.database import database_now


def read_poller_status(connection: Connection, *, has_key: bool, enabled: bool) -> PollerStatus:
    """`has_key`: there is an API key to poll with; `enabled`: this process group may poll."""
    now = database_now(connection)
    held, health = lease.read(connection), upstream_status.read_health(connection)
    # One task whose calls fail is no trouble of the upstream.
    trouble = Trouble(health.trouble) if health.in_trouble and health.trouble else None
    off = not has_key or (held is None and not enabled)
    return PollerStatus(
        state=PollerState.OFF if off else _state(health, trouble, now),
        holder=held.holder if held else None,
        heartbeat_age_s=(now - held.heartbeat_at).total_seconds() if held else None,
        paused_until=health.paused_until if health.paused(now) else None,
        paused_since=health.paused_since if trouble else None,
        trouble=trouble,
        detail=health.detail if trouble else None,
        answered_at=health.answered_at,
    )


def _state(health: UpstreamHealth, trouble: Trouble | None, now: datetime) -> PollerState:
    if trouble is Trouble.REFUSED:
        return PollerState.REFUSED
    return PollerState.PAUSED if health.paused(now) else PollerState.POLLING
