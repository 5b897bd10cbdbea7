"""What becomes of the replies to calls: answers are stored, and of failures it is judged whose trouble they are."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from receiver.core import upstream_health
from receiver.core.task import Rules, Task
from receiver.core.task_events import on_poll_failure, on_poll_response
from receiver.core.upstream_health import FailedCall, UpstreamHealth
from receiver.intake import Delivery, Intake, poll_delivery
from receiver.settings import Settings
from receiver.store import hourly_counts, poll_queue, tasks
from receiver.store.database import Database
from receiver.store.hourly_counts import Tallies
from receiver.store.poll_queue import Call
from receiver.upstream.client import PollFailure, PollResponse

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishedCall:
    call: Call
    response: PollResponse | PollFailure


@dataclass(frozen=True, kw_only=True, slots=True)
class _Missed:
    """A failed call: the upstream's health after it, and its task's step where it is the task that backs off."""

    health: UpstreamHealth
    steps: Sequence[tuple[Task, Task]] = ()


class CallResults:
    """Takes replies in, those that came together at once; `clock` and `jitter` are the poller's."""

    def __init__(
        self,
        *,
        settings: Settings,
        database: Database,
        intake: Intake,
        jitter: Callable[[], float],
        clock: Callable[[Connection], datetime],
    ) -> None:
        self._secrets = settings.callback_tokens
        self._period_s = settings.poll_limit.period_s
        self._rules: Rules = settings.rules
        self._database = database
        self._intake = intake
        self._jitter = jitter
        self._clock = clock

    def take_in(self, replies: Sequence[FinishedCall]) -> int:
        """Take in replies; says how many of them were answers."""
        now = self._release(replies)  # first: the upstream's pause must hold whatever becomes of the answers
        answers = [
            (
                reply.call,
                poll_delivery(reply.response.body, reply.call.task_id, now=now, secrets=self._secrets),
            )
            for reply in replies
            if isinstance(reply.response, PollResponse)
        ]
        try:
            self._intake.accept_answers([delivery for _, delivery in answers])
        except Exception:  # noqa: BLE001  one answer that we cannot handle must not take the others with it
            for call, delivery in answers:
                self._accept_alone(call, delivery)
        return len(answers)

    def _accept_alone(self, call: Call, delivery: Delivery) -> None:
        """An answer that cannot be stored still counts as a poll: else it would be asked for again at once."""
        try:
            self._intake.accept_answers([delivery])
        except Exception:
            log.exception("an answer could not be taken in", extra={"fields": {"task": call.task_id}})
            self._count_unstored(call, delivery.received_at)

    def _count_unstored(self, call: Call, now: datetime) -> None:
        with self._database.write() as connection:
            task = tasks.load(connection, call.task_id)
            if task is not None:
                after = on_poll_response(task, None, now=now, jitter=self._jitter(), rules=self._rules)
                tasks.save(connection, [(task, after)])

    def _release(self, replies: Sequence[FinishedCall]) -> datetime:
        """Free what the calls held, in the order in which intake locks tasks; the time at which they count as ended."""
        with self._database.write() as connection:
            now, health = self._clock(connection), poll_queue.health(connection)
            # Answers before failures: of calls that ended together they show that the upstream speaks.
            for reply in replies:
                if isinstance(reply.response, PollResponse):
                    health = upstream_health.after_answer(health, started_at=reply.call.started_at, now=now)
            counts: Tallies = Counter()
            steps: list[tuple[Task, Task]] = []
            for reply in sorted(replies, key=lambda reply: reply.call.task_id):
                poll_queue.release(connection, reply.call, ended_at=now, period_s=self._period_s)
                after = self._judged(connection, health, reply, now)
                counts.update(_counted(reply, health, after.health, now))
                health, steps = after.health, [*steps, *after.steps]
            poll_queue.save_health(connection, health)
            tasks.save(connection, steps, also=counts)
        return now

    def _judged(
        self, connection: Connection, health: UpstreamHealth, reply: FinishedCall, now: datetime
    ) -> _Missed:
        call, response = reply.call, reply.response
        if isinstance(response, PollResponse):
            poll_queue.record_slow_down(connection, call, at=None)
            return _Missed(health=health)
        failed = _failed(call, response)
        after = upstream_health.after_failure(health, failed, now=now, jitter=self._jitter())
        _log_failure(failed, after)
        keeps_place = upstream_health.keeps_place(health, failed)
        # Kept until the task is answered: its second "slow down" is its own, and so are all that follow.
        poll_queue.record_slow_down(connection, call, at=now if keeps_place else call.slowed_at)
        task = None if keeps_place else tasks.load(connection, call.task_id)
        if task is None:
            return _Missed(health=after)
        step = task, on_poll_failure(task, now=now, jitter=self._jitter(), rules=self._rules)
        return _Missed(health=after, steps=[step])


def _failed(call: Call, failure: PollFailure) -> FailedCall:
    return FailedCall(
        task_id=call.task_id,
        trouble=failure.trouble,
        detail=failure.detail,
        started_at=call.started_at,
        retry_after_s=failure.retry_after_s,
        slowed_at=call.slowed_at,
        alone=call.alone,
    )


def _log_failure(failed: FailedCall, after: UpstreamHealth) -> None:
    until = after.paused_until.isoformat() if after.paused_until else None
    told = {
        "task": failed.task_id,
        "trouble": failed.trouble.value,
        "detail": failed.detail,
        "failures": after.failures,
        "paused_until": until,
    }
    log.warning("upstream trouble", extra={"fields": told})


def _counted(reply: FinishedCall, before: UpstreamHealth, after: UpstreamHealth, now: datetime) -> Tallies:
    """The call, and the seconds that it paused the upstream for."""
    failed = reply.response.trouble.value if isinstance(reply.response, PollFailure) else None
    counts = hourly_counts.in_hour(reply.call.started_at, {("call", failed or "answered"): 1})
    if failed and after.paused_until and after.paused_until != before.paused_until:
        paused = max(before.paused_until or now, now)
        counts.update(hourly_counts.spread(paused, after.paused_until, "pause", failed))
    return counts
