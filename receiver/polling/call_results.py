"""What follows from finished calls: responses are stored, failures pause the upstream or delay their task."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from receiver.core import upstream_health
from receiver.core.task import Rules, Task
from receiver.core.task_events import on_poll_failure, on_poll_response
from receiver.core.upstream_health import FailedCall, UpstreamHealth
from receiver.intake import Delivery, Intake, poll_delivery
from receiver.settings import Settings
from receiver.store import Connection, call_quota, hourly_counts, tasks, upstream_status
from receiver.store.call_quota import Call
from receiver.store.database import Database
from receiver.store.hourly_counts import Tallies
from receiver.upstream.client import PollFailure, PollResponse

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishedCall:
    call: Call
    response: PollResponse | PollFailure


@dataclass(frozen=True, kw_only=True, slots=True)
class _Effect:
    """The upstream's health after a call, and the task's step where it is the task that backs off."""

    health: UpstreamHealth
    steps: Sequence[tuple[Task, Task]] = ()


class CallResults:
    """Finishes calls, those that ended together in one transaction; `clock` and `jitter` are the poller's."""

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

    def finish(self, finished: Sequence[FinishedCall]) -> int:
        """Store what came back; returns how many calls got a response."""
        now = self._release(
            finished
        )  # first: the upstream's pause must hold even if no response can be stored
        responses = [
            (
                finished_call.call,
                poll_delivery(
                    finished_call.response.body, finished_call.call.task_id, now=now, secrets=self._secrets
                ),
            )
            for finished_call in finished
            if isinstance(finished_call.response, PollResponse)
        ]
        try:
            self._intake.accept_answers([delivery for _, delivery in responses])
        except Exception:  # noqa: BLE001  one response that cannot be stored must not lose the others
            for call, delivery in responses:
                self._store_alone(call, delivery)
        return len(responses)

    def _store_alone(self, call: Call, delivery: Delivery) -> None:
        """A response that cannot be stored still counts as a poll: else its task would be polled again at once."""
        try:
            self._intake.accept_answers([delivery])
        except Exception:
            log.exception("a response could not be stored", extra={"fields": {"task": call.task_id}})
            self._count_unstored(call, delivery.received_at)

    def _count_unstored(self, call: Call, now: datetime) -> None:
        with self._database.write() as connection:
            task = tasks.load(connection, call.task_id)
            if task is not None:
                after = on_poll_response(task, None, now=now, jitter=self._jitter(), rules=self._rules)
                tasks.save(connection, [(task, after)])

    def _release(self, finished: Sequence[FinishedCall]) -> datetime:
        """Free the calls' slots and tasks, in the order in which intake locks tasks; returns the time they ended."""
        with self._database.write() as connection:
            now, health = self._clock(connection), upstream_status.read_health(connection)
            # Responses before failures: of calls that ended together they show that the upstream works.
            for finished_call in finished:
                if isinstance(finished_call.response, PollResponse):
                    health = upstream_health.after_answer(
                        health, started_at=finished_call.call.started_at, now=now
                    )
            counts: Tallies = Counter()
            steps: list[tuple[Task, Task]] = []
            calls = [finished_call.call for finished_call in finished]
            call_quota.release(connection, calls, ended_at=now, period_s=self._period_s)
            for finished_call in sorted(finished, key=lambda finished_call: finished_call.call.task_id):
                effect = self._effect(connection, health, finished_call, now)
                counts.update(_counts_of(finished_call, health, effect.health, now))
                health, steps = effect.health, [*steps, *effect.steps]
            upstream_status.save_health(connection, health)
            tasks.save(connection, steps, also=counts)
        return now

    def _effect(
        self, connection: Connection, health: UpstreamHealth, finished: FinishedCall, now: datetime
    ) -> _Effect:
        call, response = finished.call, finished.response
        if isinstance(response, PollResponse):
            call_quota.record_slow_down(connection, call, at=None)
            return _Effect(health=health)
        failed = _failed(call, response)
        after = upstream_health.after_failure(health, failed, now=now, jitter=self._jitter())
        _log_failure(failed, after)
        keeps_place = upstream_health.keeps_place(health, failed)
        # Until a response about the task: its second "slow down" is its own, and so are all that follow.
        call_quota.record_slow_down(connection, call, at=now if keeps_place else call.slowed_at)
        task = None if keeps_place else tasks.load(connection, call.task_id)
        if task is None:
            return _Effect(health=after)
        step = task, on_poll_failure(task, now=now, jitter=self._jitter(), rules=self._rules)
        return _Effect(health=after, steps=[step])


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
    fields = {
        "task": failed.task_id,
        "trouble": failed.trouble.value,
        "detail": failed.detail,
        "failures": after.failures,
        "paused_until": until,
    }
    log.warning("upstream trouble", extra={"fields": fields})


def _counts_of(
    finished: FinishedCall, before: UpstreamHealth, after: UpstreamHealth, now: datetime
) -> Tallies:
    """The call, and the seconds that it paused the upstream for."""
    failed = finished.response.trouble.value if isinstance(finished.response, PollFailure) else None
    counts = hourly_counts.in_hour(
        finished.call.started_at, {(hourly_counts.CALL, failed or hourly_counts.ANSWERED): 1}
    )
    if failed and after.paused_until and after.paused_until != before.paused_until:
        paused = max(before.paused_until or now, now)
        counts.update(hourly_counts.spread(paused, after.paused_until, hourly_counts.PAUSE, failed))
    return counts
