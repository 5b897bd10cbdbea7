"""When an upstream in trouble may be called again, and what a failed call says about it. Pure.

A failed call is first the trouble of its task. Only when two different tasks fail in a row, with no answer between
them, is it the upstream's: then all calls are paused, and single probes try again.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from receiver.core.payloads import Trouble

FIRST_PAUSE_S = 1.0
MAX_PAUSE_S = 300.0
REFUSED_PAUSE_S = 900.0  # a refused key is mended by a person, not by trying
MAX_RETRY_AFTER_S = 3600.0  # more is a mistake, such as milliseconds, or one task's odd response
JITTER = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class UpstreamHealth:
    """Whether the upstream is in trouble, since when and why, and when to try again.

    `failures` are the pauses in a row, 0 while all is well; `trouble` and `detail` are of the last call that failed
    with no answer since. `refused_task` is the last one that got 401.
    """

    failures: int = 0
    trouble: str | None = None
    detail: str | None = None
    failed_at: datetime | None = None
    failed_task: str | None = None
    refused_task: str | None = None
    answered_at: datetime | None = None
    paused_since: datetime | None = None
    paused_until: datetime | None = None

    @property
    def in_trouble(self) -> bool:
        return self.failures > 0

    def paused(self, now: datetime) -> bool:
        return self.paused_until is not None and now < self.paused_until


@dataclass(frozen=True, kw_only=True, slots=True)
class FailedCall:
    """A call that brought no answer.

    `slowed_at`: when the upstream last asked to slow down about this task, with no answer since. `alone`: no other
    task was due or polled.
    """

    task_id: str
    trouble: Trouble
    detail: str
    started_at: datetime
    retry_after_s: float | None = None
    slowed_at: datetime | None = None
    alone: bool = False


def calls_allowed(health: UpstreamHealth, *, limit: int, in_flight: int) -> int:
    """How many calls may start, at most `limit`; while the upstream is in trouble, one probe at a time."""
    return min(limit, 1 - min(in_flight, 1)) if health.in_trouble else limit


def is_tasks_own(health: UpstreamHealth, failed: FailedCall) -> bool:
    """Whether the failure says nothing about the upstream, as it has answered another call meanwhile.

    The first "slow down" always counts against the upstream. A second one about the same task does not, if the
    upstream has answered calls about other tasks in between.
    """
    since = failed.slowed_at if failed.trouble.asks_to_slow_down else failed.started_at
    return since is not None and health.answered_at is not None and since <= health.answered_at


def keeps_place(health: UpstreamHealth, failed: FailedCall) -> bool:
    """Whether the task is polled again as soon as the upstream may be called, without a backoff of its own."""
    return failed.trouble.asks_to_slow_down and not is_tasks_own(health, failed)


def after_failure(
    health: UpstreamHealth, failed: FailedCall, *, now: datetime, jitter: float
) -> UpstreamHealth:
    """The health after a failed call; `jitter` is a random number in -1..1."""
    if is_tasks_own(health, failed):
        return health
    after = replace(
        health,
        trouble=_name(health, failed),
        detail=failed.detail,
        failed_at=now,
        failed_task=failed.task_id,
        refused_task=failed.task_id if failed.trouble is Trouble.REFUSED else health.refused_task,
    )
    second = health.failed_task not in (None, failed.task_id)
    key_refused = after.trouble == Trouble.REFUSED
    if health.in_trouble or failed.trouble.asks_to_slow_down or second or key_refused:
        return _paused(health, after, failed, now=now, jitter=jitter)
    return after


def _name(health: UpstreamHealth, failed: FailedCall) -> Trouble:
    """The trouble, where a single 401 does not yet say that the key is refused."""
    if _same_incident(health, failed) and health.trouble == Trouble.REFUSED:
        return Trouble.REFUSED  # what a person must mend is not hidden behind what passes by itself
    if failed.trouble is not Trouble.REFUSED or health.trouble == Trouble.REFUSED:
        return failed.trouble
    twice = health.refused_task == failed.task_id and failed.alone
    another = health.refused_task not in (None, failed.task_id)
    return Trouble.REFUSED if twice or another else Trouble.DENIED


def _same_incident(health: UpstreamHealth, failed: FailedCall) -> bool:
    """Whether the call was already under way when the upstream was paused."""
    return health.in_trouble and health.failed_at is not None and failed.started_at <= health.failed_at


def _paused(
    health: UpstreamHealth, after: UpstreamHealth, failed: FailedCall, *, now: datetime, jitter: float
) -> UpstreamHealth:
    """The pause after a failure. A probe that a person requested makes no pause longer.

    `Retry-After` is never shortened, up to an hour, where the upstream itself asks to slow down. With any other
    trouble it is ignored, as it may be one task's odd response.
    """
    same = _same_incident(health, failed)
    probe = not same and health.paused(failed.started_at)
    failures = health.failures + (not same and not probe)
    again = not same and health.trouble == Trouble.REFUSED == after.trouble
    own_s = 0 if probe else _pause_s(failures, refused_again=again) * (1 + JITTER * jitter)
    asked_s = (failed.retry_after_s or 0) if failed.trouble.asks_to_slow_down else 0
    pause_s = min(max(own_s, asked_s), MAX_RETRY_AFTER_S)
    until = now + timedelta(seconds=pause_s)
    if (probe or same) and health.paused_until is not None:
        until = max(until, health.paused_until)
    return replace(after, failures=failures, paused_since=health.paused_since or now, paused_until=until)


def _pause_s(failures: int, *, refused_again: bool) -> float:
    """A key is tried again soon after its first refusal: two odd tasks in a row are no reason to wait for long."""
    if refused_again:
        return REFUSED_PAUSE_S
    return min(FIRST_PAUSE_S * 2.0 ** min(failures - 1, 60), MAX_PAUSE_S)


def after_answer(health: UpstreamHealth, *, started_at: datetime, now: datetime) -> UpstreamHealth:
    """The health after any answer: no trouble.

    Except after a "slow down": the answer to a call that began before it does not end the pause.
    """
    slowed = health.trouble in (Trouble.LIMITED, Trouble.MAINTENANCE)
    if health.in_trouble and slowed and health.failed_at is not None and started_at <= health.failed_at:
        return health
    return UpstreamHealth(answered_at=now)


def key_refused(health: UpstreamHealth, *, now: datetime) -> UpstreamHealth:
    """The health after `receiver check` has found that the key is refused."""
    return replace(
        health,
        failures=max(health.failures, 1),
        trouble=Trouble.REFUSED,
        detail="seen by receiver check",
        failed_at=now,
        paused_since=health.paused_since or now,
        paused_until=now + timedelta(seconds=REFUSED_PAUSE_S),
    )


def retry_refused_key(health: UpstreamHealth) -> UpstreamHealth:
    """The health once the key may have changed: it is tried again at once."""
    return replace(health, paused_until=None) if health.trouble == Trouble.REFUSED else health


def limit_pause(health: UpstreamHealth, *, now: datetime) -> UpstreamHealth:
    """The health with a pause of an hour at most, even where a clock was wrong."""
    latest = now + timedelta(seconds=MAX_RETRY_AFTER_S)
    if health.paused_until is None or health.paused_until <= latest:
        return health
    return replace(health, paused_until=latest)
