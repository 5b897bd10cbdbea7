"""One pass of the poller: reserve calls, make them, finish them. It has no clock of its own."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Event

from receiver.core import upstream_health
from receiver.core.cadence import PollRank
from receiver.core.payloads import Trouble
from receiver.core.upstream_health import UpstreamHealth
from receiver.intake import Intake
from receiver.polling.call_results import CallResults, FinishedCall
from receiver.polling.calls import CallsUnderWay
from receiver.polling.giving_up import give_up_late_tasks
from receiver.polling.leadership import LEASE_S, Leadership
from receiver.settings import Settings
from receiver.store import Connection, call_quota, due_tasks, upstream_status
from receiver.store.call_quota import Call
from receiver.store.database import Database, database_now
from receiver.store.due_tasks import Choice
from receiver.upstream.client import PollFailure, UpstreamClient

log = logging.getLogger(__name__)

MAX_PASS_S = 30.0
CHECK_INTERVAL_S = 0.05
ABANDONED_AFTER_S = 1.0  # beyond the timeout, which bounds all of a call but the look-up of a name
SILENT_UPSTREAM_FACTOR = 2  # times the give-up time: then a task ends though the upstream never responded


@dataclass(frozen=True, kw_only=True, slots=True)
class PassCounts:
    """What a pass did."""

    holder: bool = False
    answered: int = 0
    failed: int = 0
    gave_up: int = 0


class Poller:
    """Polls for one process, while it holds the lease.

    `clock` reads the time on a connection: for lease, slots and pauses all machines use the database's clock.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        database: Database,
        intake: Intake,
        client: UpstreamClient,
        name: str,
        jitter: Callable[[], float],
        clock: Callable[[Connection], datetime] = database_now,
    ) -> None:
        self._settings = settings
        self._database = database
        self._intake = intake
        self._client = client
        self._jitter = jitter
        self._clock = clock
        self._results = CallResults(
            settings=settings, database=database, intake=intake, jitter=jitter, clock=clock
        )
        self._calls = CallsUnderWay(self._call, timeout_s=settings.poll_timeout + ABANDONED_AFTER_S)
        self._leadership = Leadership(
            database,
            name=name,
            lease_s=max(LEASE_S, 3 * settings.poll_tick),
            slots=settings.poll_limit.amount,
            clock=clock,
        )
        self._since_orphan = 0

    def run_once(self, stop: Event) -> PassCounts:
        """Poll until no task is due and no call is under way, for at most `MAX_PASS_S`, or until `stop`.

        Calls still under way then are left to the next pass: no call delays the other background tasks.
        """
        now = self._leadership.hold()
        if now is None:
            return self._finish_calls(self._calls.take_finished(wait_s=0), PassCounts())
        counts = PassCounts(holder=True, gave_up=self._give_up(now))
        if not self._settings.upstream_api_key:
            return counts
        ends = now + timedelta(seconds=MAX_PASS_S)
        while not stop.is_set() and self._may_go_on(ends):
            due = self._is_any_due()
            if not due and not self._calls:
                return counts
            for call in self._reserve(len(self._calls)) if due else ():
                self._calls.start(call)
            counts = self._finish_calls(self._calls.take_finished(wait_s=CHECK_INTERVAL_S), counts)
        return self._finish_all(counts) if stop.is_set() else counts

    def give_back(self) -> None:
        """Finish the calls under way, then let another process take over at once."""
        self._finish_all(PassCounts())
        self._leadership.give_back()

    def _finish_all(self, counts: PassCounts) -> PassCounts:
        while self._calls:
            counts = self._finish_calls(self._calls.take_finished(wait_s=CHECK_INTERVAL_S), counts)
        return counts

    def _may_go_on(self, ends: datetime) -> bool:
        now = self._leadership.hold()
        return now is not None and now < ends

    def _is_any_due(self) -> bool:
        with self._database.read() as connection:
            now = self._clock(connection)
            paused = self._health(connection, now).paused(now)
            return due_tasks.any_due(connection, now=now, requested=paused)

    def _health(self, connection: Connection, now: datetime) -> UpstreamHealth:
        return upstream_health.limit_pause(upstream_status.read_health(connection), now=now)

    def _reserve(self, in_flight: int) -> Sequence[Call]:
        period_s = self._settings.poll_limit.period_s
        with self._database.read() as connection:
            now = self._clock(connection)
            health = self._health(connection, now)
            free = self._settings.poll_concurrency - in_flight
            most = upstream_health.calls_allowed(health, limit=free, in_flight=in_flight)
            if most <= 0 or not call_quota.slot_free(connection, now=now, period_s=period_s):
                return []
        reservation_s = 2 * self._settings.poll_timeout + LEASE_S
        with self._database.write() as connection:
            now = self._clock(connection)
            choice = Choice(
                requested=health.paused(now),
                failed=health.failed_task,
                in_flight=in_flight,
                since_orphan=self._since_orphan,
                probe=(self._jitter() + 1) / 2 if health.in_trouble else None,
            )
            calls = call_quota.reserve(
                connection, now=now, most=most, period_s=period_s, reservation_s=reservation_s, choice=choice
            )
        for call in calls:
            self._since_orphan = 0 if call.rank is PollRank.ORPHAN else self._since_orphan + 1
        return calls

    def _call(self, call: Call) -> FinishedCall:
        try:
            response = self._client.fetch(call.task_id, now=call.started_at)
        except Exception as error:
            log.exception("a call failed with an unexpected error")
            response = PollFailure(trouble=Trouble.NETWORK, detail=type(error).__name__)
        return FinishedCall(call=call, response=response)

    def _finish_calls(self, finished: Sequence[FinishedCall], counts: PassCounts) -> PassCounts:
        if not finished:
            return counts
        answered = self._results.finish(finished)
        failed = len(finished) - answered
        return replace(counts, answered=counts.answered + answered, failed=counts.failed + failed)

    def _give_up(self, now: datetime) -> int:
        """Tasks that cannot be polled end all the same: at the give-up time without a key, later with one."""
        times = SILENT_UPSTREAM_FACTOR if self._settings.upstream_api_key else 1
        before = now - timedelta(seconds=times * self._settings.give_up_after)
        return give_up_late_tasks(self._database, self._settings.rules, first_seen_before=before, now=now)
