"""Metrics out of the database: the same in every process, on every machine, and after a restart."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from receiver.core import task_counts
from receiver.core.alarms import Alarm, AlarmName, Level, lost_share
from receiver.core.login_throttle import Lockout
from receiver.core.observation import Source
from receiver.core.payloads import Trouble
from receiver.core.poller_status import PollerState, PollerStatus
from receiver.core.results import DeliveryResult, RefusalReason
from receiver.core.system_state import FAILED, Disk, Overview
from receiver.runtime import Runtime
from receiver.store import hourly_counts
from receiver.store.body_cap import BODIES
from receiver.store.cap import DROPPED
from receiver.store.database import database_now
from receiver.store.health_queries import Oldest, read_oldest, read_overview
from receiver.store.hourly_counts import ANSWERED, CALL, REREAD
from receiver.store.login_attempts import read_lockout
from receiver.store.orphan_cap import ORPHANS
from receiver.web.read_system_state import overdue_before, with_unsaved
from receiver.web.stats import read_poller
from receiver.web.totals import Totals

COUNT_CAP = 10_000
STORED_RESULTS = (DeliveryResult.ACCEPTED, DeliveryResult.DUPLICATE, DeliveryResult.QUARANTINED)
RESULTS: Mapping[Source, Sequence[str]] = {
    Source.CALLBACK: (*STORED_RESULTS, DeliveryResult.UNSUPPORTED, *RefusalReason),
    Source.POLL: (*STORED_RESULTS, DeliveryResult.UNKNOWN),
}
LEVELS = {Level.AMBER: 1, Level.RED: 2}

TEXTS = {
    "callbacks": "Callbacks by result, refused ones included.",
    "polls": "Responses of record-info about a task, by result.",
    "record_info_calls": "Calls of record-info by result; all but answered are failures, by cause.",
    "dropped": "Dropped by the caps on unregistered data: bodies and orphan tasks.",
    "tasks": "Tasks by outcome.",
    "recovered_tasks": "Tasks that succeeded without a success callback.",
    "lost_callback_tasks": "Settled tasks whose final callback never arrived.",
    "unresolved_tasks": "Unacknowledged tasks that were given up.",
    "conflicting_tasks": "Unacknowledged tasks in conflict that record-info has not decided.",
    "quarantined_deliveries": "Unacknowledged deliveries in quarantine.",
    "overdue_tasks": "Unsettled tasks whose poll has been due for a minute or more.",
    "oldest_overdue_task_age_seconds": "Since the poll of the longest overdue task was due; 0: none is overdue.",
    "oldest_unsettled_task_age_seconds": "Since the oldest unsettled task was first seen; 0: all are settled.",
    "recent_callbacks": "Callbacks of the last ten minutes that failed (5xx) or were refused, by reason.",
    "awaited_tasks": "Registered tasks in progress for five minutes or more, all newer than the last callback.",
    "lost_callback_share": "Share of the last 50 settled tasks whose final callback never arrived; 0: too few settled.",
    "alarm": "0: not raised, 1: warning, 2: critical, paid music may be lost.",
    "disk_free_bytes": "Free on the disk of the database file, and of temporary files where that is another.",
    "disk_size_bytes": "Size of that disk.",
    "last_callback_age_seconds": "Since the last callback was stored; +Inf: there was none.",
    "last_poll_age_seconds": "Since the last response of record-info was stored; +Inf: there was none.",
    "poller_heartbeat_age_seconds": "Since the poller's last heartbeat; +Inf: no poller ever ran.",
    "poller_state": "1 for the current state: paused by upstream trouble, refused while the API key is rejected.",
    "upstream_pause_left_seconds": "Until polling resumes after upstream trouble; 0: not paused.",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseMetrics:
    now: datetime
    totals: Totals
    overview: Overview
    oldest: Oldest
    poller: PollerStatus
    lockout: Lockout


def read_database_metrics(runtime: Runtime) -> DatabaseMetrics:
    """One snapshot at one moment of the database's clock; cheap however many rows there are."""
    with runtime.database.read() as connection:
        now = database_now(connection)
        due_before = overdue_before(runtime, now)
        overview = read_overview(connection, due_before=due_before, most=COUNT_CAP)
        counts = hourly_counts.totals(connection, task_counts.TASK, CALL, REREAD, DROPPED, *Source)
        return DatabaseMetrics(
            now=now,
            totals=Totals(counts),
            overview=with_unsaved(runtime, overview, now=now),
            oldest=read_oldest(connection, due_before=due_before),
            poller=read_poller(runtime, connection),
            lockout=read_lockout(connection, now=now),
        )


def metric_families(metrics: DatabaseMetrics) -> Iterator[Metric]:
    """Each with all its labels from the start, so that the first of a kind is an increase."""
    yield from _deliveries(metrics.totals)
    yield from _tasks(metrics.totals)
    yield from _attention(metrics.overview)
    yield from _ages(metrics.oldest, metrics.now)
    yield from _polling(metrics.poller, metrics.now)


def _deliveries(totals: Totals) -> Iterator[Metric]:
    for source, results in RESULTS.items():
        counts = {**dict.fromkeys(results, 0), **totals.of(source)}
        # What was reprocessed has left the quarantine's count, and a counter must not fall.
        counts[DeliveryResult.QUARANTINED] += totals.sum_of(REREAD, source)
        yield _labelled(CounterMetricFamily, f"{source}s", "result", counts)
    calls = {**dict.fromkeys([ANSWERED, *Trouble], 0), **totals.of(CALL)}
    yield _labelled(CounterMetricFamily, "record_info_calls", "result", calls)
    dropped = {**dict.fromkeys((BODIES, ORPHANS), 0), **totals.of(DROPPED)}
    yield _labelled(CounterMetricFamily, "dropped", "what", dropped)


def _tasks(totals: Totals) -> Iterator[Metric]:
    yield _labelled(GaugeMetricFamily, "tasks", "outcome", totals.tasks)
    yield _gauge("recovered_tasks", totals.recovered)
    yield _gauge("lost_callback_tasks", totals.lost_callbacks)


def _attention(overview: Overview) -> Iterator[Metric]:
    yield _gauge("unresolved_tasks", overview.unresolved)
    yield _gauge("conflicting_tasks", overview.conflicts)
    yield _gauge("quarantined_deliveries", overview.quarantined)
    yield _gauge("overdue_tasks", overview.overdue)
    yield _gauge("awaited_tasks", overview.awaited)
    yield _gauge("lost_callback_share", lost_share(overview))
    recent = dict.fromkeys((FAILED, *RefusalReason), 0) | dict(overview.recent)
    yield _labelled(GaugeMetricFamily, "recent_callbacks", "result", recent)


def alarm_metrics(alarms: Iterable[Alarm]) -> Iterator[Metric]:
    raised = {alarm.name.value: LEVELS[alarm.level] for alarm in reversed(tuple(alarms))}  # the worst wins
    yield _labelled(GaugeMetricFamily, "alarm", "name", dict.fromkeys(AlarmName, 0) | raised)


def disk_metrics(disks: Iterable[Disk]) -> Iterator[Metric]:
    disks = tuple(disks)
    yield _labelled(GaugeMetricFamily, "disk_free_bytes", "of", {disk.what: disk.free for disk in disks})
    yield _labelled(GaugeMetricFamily, "disk_size_bytes", "of", {disk.what: disk.size for disk in disks})


def _ages(oldest: Oldest, now: datetime) -> Iterator[Metric]:
    yield _gauge("oldest_overdue_task_age_seconds", _age_s(oldest.overdue_since, now, none=0))
    yield _gauge("oldest_unsettled_task_age_seconds", _age_s(oldest.unsettled_since, now, none=0))
    for source, received_at in oldest.last_delivery_at.items():
        yield _gauge(f"last_{source}_age_seconds", _age_s(received_at, now, none=math.inf))


def _age_s(since: datetime | None, now: datetime, *, none: float) -> float:
    """Never negative: the clock of the machine that wrote it may be ahead."""
    return none if since is None else max((now - since).total_seconds(), 0)


def _polling(poller: PollerStatus, now: datetime) -> Iterator[Metric]:
    age_s = poller.heartbeat_age_s
    yield _gauge("poller_heartbeat_age_seconds", math.inf if age_s is None else age_s)
    states = {state.value: int(state is poller.state) for state in PollerState}
    yield _labelled(GaugeMetricFamily, "poller_state", "state", states)
    left_s = (poller.paused_until - now).total_seconds() if poller.paused_until else 0
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
