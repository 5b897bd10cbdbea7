"""When an upstream in trouble may be called again. Pure: the health in, the next health out.

The poll interval is not the error backoff: a task keeps its place, and the upstream as a whole is paused.
"""

from datetime import datetime, timedelta

from receiver.core.payloads import Trouble
from receiver.store.polls import UpstreamHealth

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 300.0
REFUSED_PAUSE_S = 900.0  # a refused key is mended by a person, not by trying
JITTER = 0.2


def calls_allowed(health: UpstreamHealth, *, now: datetime, wanted: int, in_flight: int) -> int:
    """How many calls may start: none in a pause, and after one a single probe until it has answered."""
    if health.paused(now):
        return 0
    return wanted if health.failures == 0 else min(wanted, 1 - min(in_flight, 1))


def after_failure(
    health: UpstreamHealth,
    trouble: Trouble,
    detail: str,
    *,
    started_at: datetime,
    now: datetime,
    spread: float,
    retry_after_s: float | None = None,
) -> UpstreamHealth:
    """The health after a failed call that began at `started_at`; `spread` is a random number in -1..1.

    Calls that were under way when the upstream was paused tell nothing new: several failures at once count as
    one. `Retry-After` is never shortened.
    """
    same_incident = health.failed_at is not None and started_at <= health.failed_at
    failures = health.failures if same_incident else health.failures + 1
    grown = FIRST_PAUSE_S * 2.0 ** min(failures - 1, 60)
    span = REFUSED_PAUSE_S if trouble is Trouble.REFUSED else min(grown, LONGEST_PAUSE_S)
    pause_s = max(span * (1 + JITTER * spread), retry_after_s or 0)
    until = now + timedelta(seconds=pause_s)
    if same_incident and health.paused_until is not None:
        until = max(until, health.paused_until)
        if health.trouble == Trouble.REFUSED:
            trouble = Trouble.REFUSED  # what a person must mend is not hidden behind what passes by itself
    return UpstreamHealth(
        failures=failures, trouble=trouble.value, detail=detail, failed_at=now, paused_until=until
    )


def after_success(health: UpstreamHealth, *, started_at: datetime) -> UpstreamHealth:
    """The health after an answer; one to a call from before the trouble says nothing about it."""
    if health.failed_at is not None and started_at <= health.failed_at:
        return health
    return UpstreamHealth()


def after_restart(health: UpstreamHealth) -> UpstreamHealth:
    """The health for a poller that begins: its key may be another, so a refusal is put to the test at once."""
    if health.trouble != Trouble.REFUSED:
        return health
    return UpstreamHealth(
        failures=health.failures, trouble=health.trouble, detail=health.detail, failed_at=health.failed_at
    )
