"""The receiver's own health and counts, gathered for `/api/stats`, `/readyz` and the admin page."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from receiver.core.payloads import Trouble
from receiver.runtime import Runtime
from receiver.store import lease, polls, tallies, tasks
from receiver.web.views import iso

SILENT_AFTER_S = 15


def gather_stats(runtime: Runtime, *, now: datetime) -> dict[str, Any]:
    with runtime.database.read() as connection:
        return {
            "tasks": tasks.count_by_outcome(connection),
            "deliveries": tallies.totals(connection),
            "recovered": tasks.count_flag(connection, "recovered"),
            "lostCallbacks": tasks.count_flag(connection, "lost_callback"),
            "poller": poller_state(runtime, connection, now=now),
        }


def poller_state(runtime: Runtime, connection: Connection, *, now: datetime) -> dict[str, Any]:
    """Who polls, how long ago he was last seen alive, and what keeps him from polling."""
    held, health = lease.read(connection), polls.health(connection)
    paused = health.paused(now)
    state = "polling"
    if not runtime.settings.upstream_api_key or (held is None and not runtime.settings.poller):
        state = "off"
    elif health.trouble == Trouble.REFUSED:
        state = "refused"
    elif paused:
        state = "paused"
    return {
        "holder": held.holder if held else None,
        "heartbeatAge": (now - held.heartbeat_at).total_seconds() if held else None,
        "state": state,
        "pausedUntil": iso(health.paused_until) if paused else None,
        "trouble": health.trouble,
    }
