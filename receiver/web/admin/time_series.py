"""A window of time in buckets of an hour or a day, with what was counted in each. Pure."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from receiver.core.observation import Source
from receiver.core.task_counts import SETTLING, TASK
from receiver.store.hourly_counts import CALL, PAUSE, Hourly, day_of, hour_of
from receiver.web.totals import Totals

SUBJECTS = (*Source, CALL, PAUSE, TASK, SETTLING)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BUCKET_LENGTHS = {1: HOUR, 7: HOUR, 30: DAY, 90: DAY}
"""The windows in days, and the length of their buckets."""

Value = float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One value a bucket, None where there is nothing to measure. A `share` is in per cent, on its own axis."""

    label: str
    colour: str
    values: tuple[Value, ...]
    share: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeSeries:
    """Buckets of one `length` with their starts, and what was counted in each."""

    starts: tuple[datetime, ...]
    length: timedelta
    buckets: tuple[Totals, ...]

    @property
    def whole(self) -> Totals:
        """All buckets together."""
        sums = {subject: Counter[str]() for subject in SUBJECTS}
        for bucket in self.buckets:
            for subject, total in sums.items():
                total.update(bucket.of(subject))
        return Totals(sums)

    def line(self, subject: str, label: str, colour: str, *names: str) -> Line:
        """The counts of these names together, by default of the name that is its label."""
        values = tuple(float(bucket.sum_of(subject, *(names or (label,)))) for bucket in self.buckets)
        return Line(label=label, colour=colour, values=values)

    def share(self, label: str, colour: str, part: Callable[[Totals], Value]) -> Line:
        """A part in 0..1 of each bucket, in per cent."""
        parts = (part(bucket) for bucket in self.buckets)
        values = tuple(None if value is None else rounded(100 * value) for value in parts)
        return Line(label=label, colour=colour, values=values, share=True)


def since(now: datetime, days: int) -> datetime:
    """The start of the first bucket of a window whose last bucket is the current hour or day."""
    if BUCKET_LENGTHS[days] == DAY:
        return day_of(now) - (days - 1) * DAY
    return hour_of(now) - (24 * days - 1) * HOUR


def bucket_counts(
    counts: Mapping[str, Hourly], *, start: datetime, now: datetime, length: timedelta
) -> TimeSeries:
    """The hourly counts of each subject, added up by bucket."""
    number = (now - start) // length + 1
    sums = [{subject: Counter[str]() for subject in SUBJECTS} for _ in range(number)]
    for subject, hourly in counts.items():
        for hour, by_name in hourly.items():
            place = (hour - start) // length
            if 0 <= place < number:
                sums[place][subject].update(by_name)
    return TimeSeries(
        starts=tuple(start + place * length for place in range(number)),
        length=length,
        buckets=tuple(map(Totals, sums)),
    )


def rounded(value: float | None) -> Value:
    return None if value is None else round(value, 2)
