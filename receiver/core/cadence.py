"""When to look at a task again. Times are aware datetimes, spans are seconds."""

from dataclasses import dataclass
from datetime import datetime, timedelta

# "Maximum query rate: 3 requests per second per task" (the upstream's OpenAPI document), counted from the end
# of one call to the start of the next, so that no delay on the way can squeeze a fourth into a second.
TASK_SPACING_S = 0.34
JITTER = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Cadence:
    grace_s: float = 90
    interval_s: float = 30
    max_interval_s: float = 900
    give_up_after_s: float = 86400

    def after_news(self, now: datetime, *, urgent: bool, planned: datetime | None) -> datetime:
        """The next look after a callback or a registration left the task unsettled.

        A look that is due already is never put off: whoever asked for it still wants it.
        """
        if urgent or (planned is not None and planned <= now):
            return min(now, planned or now)
        return now + timedelta(seconds=self.grace_s)

    def after_poll(self, now: datetime, *, attempt: int, spread: float, deadline: datetime) -> datetime:
        """The next look after the `attempt`-th poll (from 0) left the task unsettled.

        `spread` is a random number in -1..1. A look at the deadline itself is kept: it is the last one.
        """
        span = min(self.interval_s * 2.0 ** min(attempt, 60), self.max_interval_s)
        planned = now + timedelta(seconds=max(span * (1 + JITTER * spread), TASK_SPACING_S))
        return deadline if now < deadline < planned else planned

    def deadline(self, first_seen: datetime) -> datetime:
        """From when on the task may be given up."""
        return first_seen + timedelta(seconds=self.give_up_after_s)
