"""One pass of the poller: who is due, ask, hand to intake. No loop, no clock of its own."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Event

from sqlalchemy import Connection

from receiver.core import upstream_health
from receiver.core.cadence import PollRank
from receiver.core.payloads import Trouble
from receiver.core.upstream_health import UpstreamHealth
from receiver.intake import Intake
from receiver.polling.call_results import CallResults, FinishedCall
from receiver.polling.calls import CallsUnderWay
from receiver.settings import Settings
from receiver.store import lease, poll_queue
from receiver.store.database import Database, database_now
from receiver.store.poll_queue import Call, Choice
from receiver.upstream.client import PollFailure, UpstreamClient

log = logging.getLogger(__name__)

LEASE_S = 10.0  # with a look every few seconds another poller takes over within 15
MAX_PASS_S = 30.0
CHECK_INTERVAL_S = 0.05
ABANDONED_AFTER_S = 1.0  # beyond the timeout, which a call keeps by itself but for looking up a name
SILENT_UPSTREAM_FACTOR = (
    2  # after so many times the give-up time a task ends though the upstream never answered
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PassCounts:
    """What a pass did."""

    holder: bool = False
    answered: int = 0
    failed: int = 0
    gave_up: int = 0


class Poller:
    """Polls for one process. Whoever holds the lease calls; the others look whether it has run out.

    `clock` tells the time on a connection: for lease, slots and pauses all machines go by one clock, the database's.
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
        self._name = name
        self._jitter = jitter
        self._clock = clock
        self._replies = CallResults(
            settings=settings, database=database, intake=intake, jitter=jitter, clock=clock
        )
        self._calls = CallsUnderWay(self._ask, longest_s=settings.poll_timeout + ABANDONED_AFTER_S)
        self._fence: int | None = None
        self._since_orphan = 0
        self._lease_s = max(LEASE_S, 3 * settings.poll_tick)

    def run_once(self, stop: Event) -> PassCounts:
        """Work until nobody is due and no call is under way, at most `MAX_PASS_S`, or until `stop`.

        Calls that are under way when the time is over belong to the next pass: no call holds up the others' turn.
        """
        now = self._hold_lease()
        if now is None:
            return self._take_in(self._calls.take_ended(wait_s=0), PassCounts())
        counts = PassCounts(holder=True, gave_up=self._give_up(now))
        if not self._settings.upstream_api_key:
            return counts
        ends = now + timedelta(seconds=MAX_PASS_S)
        while not stop.is_set() and self._may_go_on(ends):
            due = self._is_anybody_due()
            if not due and not self._calls:
                return counts
            for call in self._claim(len(self._calls)) if due else ():
                self._calls.start(call)
            counts = self._take_in(self._calls.take_ended(wait_s=CHECK_INTERVAL_S), counts)
        return self._finish(counts) if stop.is_set() else counts

    def give_back(self) -> None:
        """Take in what is under way, then let another poller take over at once."""
        self._finish(PassCounts())
        if self._fence is not None:
            with self._database.write() as connection:
                lease.give_back(connection, holder=self._name, now=self._clock(connection))
            self._fence = None

    def _finish(self, counts: PassCounts) -> PassCounts:
        while self._calls:
            counts = self._take_in(self._calls.take_ended(wait_s=CHECK_INTERVAL_S), counts)
        return counts

    def _hold_lease(self) -> datetime | None:
        """Take or renew the lease where it is time to; the time at which it is ours, None while it is another's."""
        with self._database.read() as connection:
            now, held = self._clock(connection), lease.read(connection)
        mine = held is not None and held.holder == self._name and held.fence == self._fence
        if mine and held and held.expires_at - now > timedelta(seconds=self._lease_s * 2 / 3):
            return now
        if not mine and held and held.valid(now) and held.holder != self._name:
            self._fence = None
            return None
        with self._database.write() as connection:
            now = self._clock(connection)
            taken = lease.take(connection, holder=self._name, now=now, ttl_s=self._lease_s)
            if taken is not None and taken.fence != self._fence:
                poll_queue.resize_slots(connection, self._settings.poll_limit.amount)
                tested = upstream_health.retry_refused_key(poll_queue.health(connection))
                poll_queue.save_health(connection, upstream_health.limit_pause(tested, now=now))
                log.info("poller", extra={"told": {"holder": self._name, "fence": taken.fence}})
        self._fence = taken.fence if taken else None
        return now if taken else None

    def _may_go_on(self, ends: datetime) -> bool:
        now = self._hold_lease()
        return now is not None and now < ends

    def _is_anybody_due(self) -> bool:
        with self._database.read() as connection:
            now = self._clock(connection)
            paused = self._health(connection, now).paused(now)
            return poll_queue.any_due(connection, now=now, requested=paused)

    def _health(self, connection: Connection, now: datetime) -> UpstreamHealth:
        return upstream_health.limit_pause(poll_queue.health(connection), now=now)

    def _claim(self, in_flight: int) -> Sequence[Call]:
        period_s = self._settings.poll_limit.period_s
        with self._database.read() as connection:
            now = self._clock(connection)
            health = self._health(connection, now)
            wanted = self._settings.poll_concurrency - in_flight
            most = upstream_health.calls_allowed(health, limit=wanted, in_flight=in_flight)
            if most <= 0 or not poll_queue.slot_free(connection, now=now, period_s=period_s):
                return []
        claim_s = 2 * self._settings.poll_timeout + LEASE_S
        with self._database.write() as connection:
            now = self._clock(connection)
            choice = Choice(
                requested=health.paused(now),
                failed=health.failed_task,
                in_flight=in_flight,
                since_orphan=self._since_orphan,
                probe=(self._jitter() + 1) / 2 if health.in_trouble else None,
            )
            calls = poll_queue.claim(
                connection, now=now, most=most, period_s=period_s, claim_s=claim_s, choice=choice
            )
        for call in calls:
            self._since_orphan = 0 if call.rank is PollRank.ORPHAN else self._since_orphan + 1
        return calls

    def _ask(self, call: Call) -> FinishedCall:
        try:
            response = self._client.fetch(call.task_id, now=call.started_at)
        except Exception as error:
            log.exception("the call failed in a way nobody foresaw")
            response = PollFailure(trouble=Trouble.NETWORK, detail=type(error).__name__)
        return FinishedCall(call=call, response=response)

    def _take_in(self, replies: Sequence[FinishedCall], counts: PassCounts) -> PassCounts:
        if not replies:
            return counts
        answered = self._replies.take_in(replies)
        failed = len(replies) - answered
        return replace(counts, answered=counts.answered + answered, failed=counts.failed + failed)

    def _give_up(self, now: datetime) -> int:
        """Tasks that cannot be asked about end all the same: at once without a key, else at last."""
        times = SILENT_UPSTREAM_FACTOR if self._settings.upstream_api_key else 1
        before = now - timedelta(seconds=times * self._settings.give_up_after)
        return self._intake.give_up_overdue(first_seen_before=before, now=now)
