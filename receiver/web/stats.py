"""Counts and the poller's status as `/api/stats` and `/readyz` give them."""

from typing import Any

from receiver.core import task_counts
from receiver.core.observation import Source
from receiver.core.poller_status import PollerStatus
from receiver.runtime import Runtime
from receiver.store import Connection, hourly_counts
from receiver.store.poller_status import read_poller_status
from receiver.web.serializers import iso
from receiver.web.totals import Totals


def gather_stats(runtime: Runtime) -> dict[str, Any]:
    with runtime.database.read() as connection:
        totals = Totals(hourly_counts.totals(connection, task_counts.TASK, *Source))
        poller = read_poller(runtime, connection)
    return {
        "tasks": totals.tasks,
        "deliveries": {source: totals.of(source) for source in Source if source in totals.counts},
        "recovered": totals.recovered,
        "lostCallbacks": totals.lost_callbacks,
        "poller": serialize_poller(poller),
    }


def read_poller(runtime: Runtime, connection: Connection) -> PollerStatus:
    settings = runtime.settings
    return read_poller_status(connection, has_key=bool(settings.upstream_api_key), enabled=settings.poller)


def serialize_poller(status: PollerStatus) -> dict[str, Any]:
    return {
        "holder": status.holder,
        "heartbeatAge": status.heartbeat_age_s,
        "state": status.state,
        "pausedUntil": iso(status.paused_until),
        "pausedSince": iso(status.paused_since),
        "trouble": status.trouble,
        "detail": status.detail,
    }
