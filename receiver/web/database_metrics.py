"""What the database knows, as metrics: the same whichever process or machine is asked, and after a restart."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from receiver.core import task_counts
from receiver.core.alarms import FAILED, Alarm, AlarmName, Disk, Level, Overview, lost_share
from receiver.core.observation import Source
from receiver.core.payloads import Trouble
from receiver.core.settlement import Outcome
from receiver.runtime import Runtime
from receiver.store import hourly_counts
from receiver.store.body_cap import BODIES
from receiver.store.cap import DROPPED
from receiver.store.database import database_now
from receiver.store.health_queries import Oldest, read_oldest, read_overview
from receiver.store.orphan_cap import ORPHANS
from receiver.web.admin.system_state import overdue_before, with_unsaved
from receiver.web.stats import poller_state

COUNT_CAP = 10_000  # at which counting what a person should look at stops
STATES = ("polling", "paused", "refused", "off")
DELIVERY_RESULTS = ("accepted", "duplicate", "quarantined")
LEVELS = {Level.AMBER: 1, Level.RED: 2}
REFUSED = ("wrong_token", "bad_signature", "too_large", "cut_off")

TEXTS = {
    "callbacks": "Callbacks by what became of them, those refused included.",
    "polls": "Answers of record-info about a task, by what became of them.",
    "record_info_calls": "Calls of record-info by what came of them; all but answered failed, by their trouble.",
    "dropped": "Dropped by the caps on what strangers send: bodies, and tasks (orphans).",
    "tasks": "Tasks by outcome.",
    "recovered_tasks": "Tasks that succeeded though no callback told so.",
    "lost_callback_tasks": "Settled tasks whose end no callback told.",
    "unresolved_tasks": "Tasks given up that no person has marked as seen.",
    "conflicting_tasks": "Tasks in conflict that record-info has not decided and no person has marked as seen.",
    "quarantined_deliveries": "Deliveries in quarantine that no person has marked as seen.",
    "overdue_tasks": "Unsettled tasks whose poll has been due for a minute or more.",
    "oldest_overdue_task_age_seconds": "Since the poll of the longest overdue task was due; 0: none is overdue.",
    "oldest_unsettled_task_age_seconds": "Since the oldest unsettled task was first seen; 0: all are settled.",
    "recent_callbacks": "Callbacks of the last ten minutes that failed (5xx) or were refused, by reason.",
    "awaited_tasks": "Registered tasks in progress for five minutes or more, and no callback came since their start.",
    "lost_callback_share": "Of the 50 tasks settled last, the share whose end no callback told; 0: too few settled.",
    "alarm": "0: not raised, 1: it can wait for the morning, 2: music that is paid for may be lost.",
    "disk_free_bytes": "Free on the disk of the database file, and of temporary files where that is another.",
    "disk_size_bytes": "Size of that disk.",
    "last_callback_age_seconds": "Since the last callback was stored; +Inf: there was none.",
    "last_poll_age_seconds": "Since the last answer of record-info was stored; +Inf: there was none.",
    "poller_heartbeat_age_seconds": "Since the poller's last sign of life; +Inf: nobody ever polled.",
    "poller_state": "1 at what polling is: paused by the upstream's trouble, refused while it refuses our key.",
    "upstream_pause_left_seconds": "Until polling goes on after the upstream's trouble; 0: it is not paused.",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseMetrics:
    now: datetime
    counted: Mapping[str, Mapping[str, int]]
    overview: Overview
    oldest: Oldest
    poller: Mapping[str, Any]


def read_database_metrics(runtime: Runtime) -> DatabaseMetrics:
    """All of one moment, by the database's clock; cheap however many rows there are."""
    with runtime.database.read() as connection:
        now = database_now(connection)
        late = overdue_before(runtime, now)
        overview = read_overview(connection, due_before=late, most=COUNT_CAP)
        return DatabaseMetrics(
            now=now,
            counted=hourly_counts.totals(connection, task_counts.TASK, "call", "reread", DROPPED, *Source),
            overview=with_unsaved(runtime, overview, now=now),
            oldest=read_oldest(connection, due_before=late),
            poller=poller_state(runtime, connection),
        )


def metric_families(readings: DatabaseMetrics) -> Iterator[Metric]:
    """Each with all its labels from the start, so that the first of a kind is an increase."""
    yield from _deliveries(readings.counted)
    yield from _tasks(readings.counted.get(task_counts.TASK, {}))
    yield from _to_look_at(readings.overview)
    yield from _ages(readings.oldest, readings.now)
    yield from _polling(readings.poller, readings.now)


def _deliveries(counted: Mapping[str, Mapping[str, int]]) -> Iterator[Metric]:
    for source, others in ((Source.CALLBACK, ("unsupported", *REFUSED)), (Source.POLL, ("unknown",))):
        counts = dict.fromkeys((*DELIVERY_RESULTS, *others), 0) | dict(counted.get(source, {}))
        # What was read again has left the quarantine's count, and a counter must not fall.
        counts["quarantined"] += counted.get("reread", {}).get(source, 0)
        yield _labelled(CounterMetricFamily, f"{source}s", "result", counts)
    calls = dict.fromkeys(["answered", *Trouble], 0) | dict(counted.get("call", {}))
    yield _labelled(CounterMetricFamily, "record_info_calls", "result", calls)
    dropped = dict.fromkeys((BODIES, ORPHANS), 0) | dict(counted.get(DROPPED, {}))
    yield _labelled(CounterMetricFamily, "dropped", "what", dropped)


def _tasks(counted: Mapping[str, int]) -> Iterator[Metric]:
    outcomes = {outcome.value: counted.get(outcome, 0) for outcome in Outcome}
    yield _labelled(GaugeMetricFamily, "tasks", "outcome", outcomes)
    yield _gauge("recovered_tasks", counted.get(task_counts.RECOVERED, 0))
    yield _gauge("lost_callback_tasks", counted.get(task_counts.LOST_CALLBACK, 0))


def _to_look_at(overview: Overview) -> Iterator[Metric]:
    yield _gauge("unresolved_tasks", overview.unresolved)
    yield _gauge("conflicting_tasks", overview.conflicts)
    yield _gauge("quarantined_deliveries", overview.quarantined)
    yield _gauge("overdue_tasks", overview.overdue)
    yield _gauge("awaited_tasks", overview.awaited)
    yield _gauge("lost_callback_share", lost_share(overview))
    recent = dict.fromkeys((FAILED, *REFUSED), 0) | dict(overview.recent)
    yield _labelled(GaugeMetricFamily, "recent_callbacks", "result", recent)


def about_alarms(alarms: Iterable[Alarm]) -> Iterator[Metric]:
    raised = {alarm.name.value: LEVELS[alarm.level] for alarm in reversed(tuple(alarms))}  # the worst wins
    yield _labelled(GaugeMetricFamily, "alarm", "name", dict.fromkeys(AlarmName, 0) | raised)


def about_disks(disks: Iterable[Disk]) -> Iterator[Metric]:
    disks = tuple(disks)
    yield _labelled(GaugeMetricFamily, "disk_free_bytes", "of", {disk.what: disk.free for disk in disks})
    yield _labelled(GaugeMetricFamily, "disk_size_bytes", "of", {disk.what: disk.size for disk in disks})


def _ages(oldest: Oldest, now: datetime) -> Iterator[Metric]:
    yield _gauge("oldest_overdue_task_age_seconds", _age_s(oldest.overdue_since, now, none=0))
    yield _gauge("oldest_unsettled_task_age_seconds", _age_s(oldest.unsettled_since, now, none=0))
    for source, heard_at in oldest.last_delivery_at.items():
        yield _gauge(f"last_{source}_age_seconds", _age_s(heard_at, now, none=math.inf))


def _age_s(since: datetime | None, now: datetime, *, none: float) -> float:
    """Never negative: the machine that wrote it down may go by a clock that is ahead."""
    return none if since is None else max((now - since).total_seconds(), 0)


def _polling(poller: Mapping[str, Any], now: datetime) -> Iterator[Metric]:
    beat_s, until = poller["heartbeatAge"], poller["pausedUntil"]
    yield _gauge("poller_heartbeat_age_seconds", math.inf if beat_s is None else beat_s)
    states = {state: int(state == poller["state"]) for state in STATES}
    yield _labelled(GaugeMetricFamily, "poller_state", "state", states)
    left_s = (datetime.fromisoformat(until) - now).total_seconds() if until else 0
    yield _gauge("upstream_pause_left_seconds", max(left_s, 0))


def _gauge(name: str, value: float) -> Metric:
    return GaugeMetricFamily(f"receiver_{name}", TEXTS[name], value)


def _labelled(
    kind: type[CounterMetricFamily | GaugeMetricFamily], name: str, label: str, values: Mapping[str, int]
) -> Metric:
    family = kind(f"receiver_{name}", TEXTS[name], labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family
