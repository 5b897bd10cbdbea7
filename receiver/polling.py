"""One pass of the poller: who is due, ask, hand to intake. No loop, no clock of its own."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Event

from sqlalchemy import Connection

from receiver.core.payloads import Trouble
from receiver.intake import Delivery, Intake, poll_delivery
from receiver.settings import Settings
from receiver.store import lease, polls, tallies
from receiver.store.database import Database, StoreUnavailableError, clock_of
from receiver.store.polls import Call, UpstreamHealth
from receiver.store.tallies import Tallies
from receiver.upstream import pacing
from receiver.upstream.client import Answer, Failure, UpstreamClient

log = logging.getLogger(__name__)

LEASE_S = 10.0  # with a look every few seconds another poller takes over within 15
LONGEST_PASS_S = 30.0
LOOK_S = 0.05
UNHEARD_OF = 2  # after so many times the give-up time a task ends though the upstream never answered


@dataclass(frozen=True, kw_only=True, slots=True)
class PassCounts:
    """What a pass did."""

    holder: bool = False
    answered: int = 0
    failed: int = 0
    gave_up: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reply:
    call: Call
    told: Answer | Failure


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
        spread: Callable[[], float],
        clock: Callable[[Connection], datetime] = clock_of,
    ) -> None:
        self._settings = settings
        self._database = database
        self._intake = intake
        self._client = client
        self._name = name
        self._clock = clock
        self._spread = spread
        self._fence: int | None = None
        self._lease_s = max(LEASE_S, 3 * settings.poll_tick)

    def run_once(self, stop: Event) -> PassCounts:
        """Work until nobody is due, at most `LONGEST_PASS_S`, or until `stop`."""
        now = self._hold_lease()
        if now is None:
            return PassCounts()
        counts = PassCounts(holder=True, gave_up=self._give_up(now))
        if not self._settings.upstream_api_key:
            return counts
        ends = now + timedelta(seconds=LONGEST_PASS_S)
        with ThreadPoolExecutor(self._settings.poll_concurrency, thread_name_prefix="poll") as pool:
            pending: set[Future[_Reply]] = set()
            more = True
            while pending or more:
                more = not stop.is_set() and self._worth_going_on(ends)
                if more:
                    pending |= {pool.submit(self._ask, call) for call in self._claim(len(pending))}
                if pending:
                    done, pending = wait(pending, timeout=LOOK_S, return_when=FIRST_COMPLETED)
                    counts = self._take_in([future.result() for future in done], counts)
                elif more:
                    stop.wait(LOOK_S)
        return counts

    def give_back(self) -> None:
        """Let another poller take over at once."""
        if self._fence is not None:
            with self._database.write() as connection:
                lease.give_back(connection, holder=self._name, now=self._clock(connection))
            self._fence = None

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
                polls.lay_out_slots(connection, self._settings.poll_limit.amount)
                polls.save_health(connection, pacing.after_restart(polls.health(connection)))
                log.info("poller", extra={"told": {"holder": self._name, "fence": taken.fence}})
        self._fence = taken.fence if taken else None
        return now if taken else None

    def _worth_going_on(self, ends: datetime) -> bool:
        now = self._hold_lease()
        if now is None or now >= ends:
            return False
        with self._database.read() as connection:
            return not polls.health(connection).paused(now) and polls.any_due(connection, now=now)

    def _claim(self, in_flight: int) -> Sequence[Call]:
        period_s = self._settings.poll_limit.period_s
        with self._database.read() as connection:
            now = self._clock(connection)
            wanted = self._settings.poll_concurrency - in_flight
            most = pacing.calls_allowed(polls.health(connection), now=now, wanted=wanted, in_flight=in_flight)
            if most <= 0 or not polls.slot_free(connection, now=now, period_s=period_s):
                return []
        claim_s = 2 * self._settings.poll_timeout + LEASE_S
        with self._database.write() as connection:
            now = self._clock(connection)
            return polls.claim(connection, now=now, most=most, period_s=period_s, claim_s=claim_s)

    def _ask(self, call: Call) -> _Reply:
        try:
            told = self._client.fetch(call.task_id, now=call.started_at)
        except Exception as error:
            log.exception("the call failed in a way nobody foresaw")
            told = Failure(trouble=Trouble.NETWORK, detail=type(error).__name__)
        return _Reply(call=call, told=told)

    def _take_in(self, replies: Sequence[_Reply], counts: PassCounts) -> PassCounts:
        if not replies:
            return counts
        now = self._release(replies)  # first: the upstream's pause must hold whatever becomes of the answers
        answers = [
            (reply.call, self._delivery(reply.call, reply.told, now))
            for reply in replies
            if isinstance(reply.told, Answer)
        ]
        try:
            self._intake.accept_answers([delivery for _, delivery in answers])
        except StoreUnavailableError:
            raise
        except Exception:  # noqa: BLE001  one answer that we cannot handle must not take the others with it
            for call, delivery in answers:
                self._accept_alone(call, delivery)
        failed = len(replies) - len(answers)
        return replace(counts, answered=counts.answered + len(answers), failed=counts.failed + failed)

    def _accept_alone(self, call: Call, delivery: Delivery) -> None:
        try:
            self._intake.accept_answers([delivery])
        except StoreUnavailableError:
            raise
        except Exception:
            log.exception("an answer could not be taken in", extra={"told": {"task": call.task_id}})
            with self._database.write() as connection:
                polls.set_aside(connection, call.task_id, until=call.claimed_until)

    def _delivery(self, call: Call, told: Answer, now: datetime) -> Delivery:
        return poll_delivery(told.body, call.task_id, now=now, secrets=self._settings.callback_tokens)

    def _release(self, replies: Sequence[_Reply]) -> datetime:
        """Free what the calls held, in the order in which intake locks tasks; the time at which they count as ended."""
        period_s = self._settings.poll_limit.period_s
        with self._database.write() as connection:
            now, health = self._clock(connection), polls.health(connection)
            counts: Tallies = Counter()
            for reply in sorted(replies, key=lambda reply: reply.call.task_id):
                polls.release(connection, reply.call, ended_at=now, period_s=period_s)
                before, health = health, self._health_after(health, reply, now)
                counts.update(_counted(reply, before, health, now))
            polls.save_health(connection, health)
            tallies.add(connection, counts)
        return now

    def _health_after(self, health: UpstreamHealth, reply: _Reply, now: datetime) -> UpstreamHealth:
        started_at, told = reply.call.started_at, reply.told
        if isinstance(told, Answer):
            return pacing.after_success(health, started_at=started_at)
        after = pacing.after_failure(
            health,
            told.trouble,
            told.detail,
            started_at=started_at,
            now=now,
            spread=self._spread(),
            retry_after_s=told.retry_after_s,
        )
        until = after.paused_until.isoformat() if after.paused_until else None
        log.warning(
            "upstream trouble",
            extra={
                "told": {
                    "task": reply.call.task_id,
                    "trouble": told.trouble.value,
                    "detail": told.detail,
                    "failures": after.failures,
                    "paused_until": until,
                }
            },
        )
        return after

    def _give_up(self, now: datetime) -> int:
        """Tasks that cannot be asked about end all the same: at once without a key, else at last."""
        times = UNHEARD_OF if self._settings.upstream_api_key else 1
        before = now - timedelta(seconds=times * self._settings.give_up_after)
        return self._intake.give_up_overdue(first_seen_before=before, now=now)


def _counted(reply: _Reply, before: UpstreamHealth, after: UpstreamHealth, now: datetime) -> Tallies:
    """The call, and the seconds that it paused the upstream for."""
    failed = reply.told.trouble.value if isinstance(reply.told, Failure) else None
    counts = tallies.in_hour(reply.call.started_at, {("call", failed or "answered"): 1})
    if failed and after.paused_until:
        paused = max(before.paused_until or now, now)
        counts.update(tallies.spread(paused, after.paused_until, "pause", failed))
    return counts
