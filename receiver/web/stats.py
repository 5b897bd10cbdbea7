"""The receiver's own health and counts, gathered for `/api/stats`, `/readyz` and the admin page."""

from typing import Any

from sqlalchemy import Connection

from receiver.core import task_counts
from receiver.core.observation import Source
from receiver.core.payloads import Trouble
from receiver.core.settlement import Outcome
from receiver.runtime import Runtime
from receiver.store import hourly_counts, lease, poll_queue
from receiver.store.database import database_now
from receiver.web.serializers import iso

SILENT_AFTER_S = 15


def gather_stats(runtime: Runtime) -> dict[str, Any]:
    with runtime.database.read() as connection:
        counted = hourly_counts.totals(connection, task_counts.TASK, *Source)
        poller = poller_state(runtime, connection)
    tasks = counted.get(task_counts.TASK, {})
    return {
        "tasks": {outcome.value: tasks.get(outcome.value, 0) for outcome in Outcome},
        "deliveries": {source.value: counted[source.value] for source in Source if source.value in counted},
        "recovered": tasks.get(task_counts.RECOVERED, 0),
        "lostCallbacks": tasks.get(task_counts.LOST_CALLBACK, 0),
        "poller": poller,
    }


def poller_state(runtime: Runtime, connection: Connection) -> dict[str, Any]:
    """Who polls, how long ago he was last seen alive by the database's clock, and what keeps him from polling."""
    now = database_now(connection)
    held, health = lease.read(connection), poll_queue.health(connection)
    paused = health.paused(now)
    state = "polling"
    if not runtime.settings.upstream_api_key or (held is None and not runtime.settings.poller):
        state = "off"
    elif health.in_trouble and health.trouble == Trouble.REFUSED:
        state = "refused"
    elif paused:
        state = "paused"
    return {
        "holder": held.holder if held else None,
        "heartbeatAge": (now - held.heartbeat_at).total_seconds() if held else None,
        "state": state,
        "pausedUntil": iso(health.paused_until) if paused else None,
        "pausedSince": iso(health.paused_since) if health.in_trouble else None,
        # One task whose calls fail is no trouble of the upstream.
        "trouble": health.trouble if health.in_trouble else None,
        "detail": health.detail if health.in_trouble else None,
    }
