"""A window of time in steps of an hour or a day, and what was counted in each. Pure."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from receiver.core.task_counts import SETTLING, TASK
from receiver.store.hourly_counts import Hourly, day_of, hour_of

SUBJECTS = ("callback", "poll", "call", "pause", TASK, SETTLING)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
INTERVALS = {1: HOUR, 7: HOUR, 30: DAY, 90: DAY}
"""How many days may be looked at, and by which steps."""

Counts = Mapping[str, int]
Value = float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """`values`, one a step; None where there is nothing to measure. `share`: per cent, on an axis of its own."""

    label: str
    colour: str
    values: tuple[Value, ...]
    share: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeSeries:
    """The steps of a window, and what was counted in each by subject."""

    starts: tuple[datetime, ...]
    length: timedelta
    counts: Mapping[str, tuple[Counts, ...]]

    def totals(self, subject: str) -> Counter[str]:
        total: Counter[str] = Counter()
        for counted in self.counts[subject]:
            total.update(counted)
        return total

    def line(self, subject: str, label: str, colour: str, *names: str) -> Line:
        """The counts of these names together, by default of the name that is its label."""
        wanted = names or (label,)
        values = tuple(float(sum(step.get(name, 0) for name in wanted)) for step in self.counts[subject])
        return Line(label=label, colour=colour, values=values)

    def share(self, label: str, colour: str, subject: str, part: Callable[[Counts], Value]) -> Line:
        """A share in each step, where there is anything to have a share in."""
        shares = (part(step) if step else None for step in self.counts[subject])
        values = tuple(None if share is None else rounded(100 * share) for share in shares)
        return Line(label=label, colour=colour, values=values, share=True)


def since(now: datetime, days: int) -> datetime:
    """The start of the first step of a window whose last step is the present hour or day."""
    if INTERVALS[days] == DAY:
        return day_of(now) - (days - 1) * DAY
    return hour_of(now) - (24 * days - 1) * HOUR


def bucket_counts(
    told: Mapping[str, Hourly], *, start: datetime, now: datetime, length: timedelta
) -> TimeSeries:
    number = (now - start) // length + 1
    counts: dict[str, list[Counter[str]]] = {
        subject: [Counter() for _ in range(number)] for subject in SUBJECTS
    }
    for subject, hourly in told.items():
        for hour, counted in hourly.items():
            step = (hour - start) // length
            if 0 <= step < number:
                counts[subject][step].update(counted)
    return TimeSeries(
        starts=tuple(start + step * length for step in range(number)),
        length=length,
        counts={subject: tuple(steps) for subject, steps in counts.items()},
    )


def rounded(value: float | None) -> Value:
    return None if value is None else round(value, 2)
