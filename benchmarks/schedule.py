"""Which task comes when: three months of days and nights, until now."""

import math
import random
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from benchmarks.templates import Template

DAYS = 90
HOUR_S, DAY_S = 3600, 86400
STRETCHED = (0.75, 1.3)
IN_PROGRESS, OVERDUE = 2000, 15
OVERDUE_S = (8 * 60, 5 * HOUR_S)
OPEN_UNRESOLVED, OPEN_CONFLICTS = 20, 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """One task to be: `stretch` makes its life longer or shorter than its template's."""

    number: int
    template: Template
    first_seen_at: datetime
    stretch: float
    acknowledged: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """Every task in order of first sight, in twelve bytes each; `open` are the problems nobody has seen."""

    templates: Sequence[Template]
    moments: array  # type: ignore[type-arg]  # of floats
    chosen: array  # type: ignore[type-arg]  # of indexes into `templates`
    open: frozenset[int]

    def visits(self, rng: random.Random) -> Iterator[Visit]:
        for number, moment in enumerate(self.moments):
            template = self.templates[self.chosen[number]]
            yield Visit(
                number=number,
                template=template,
                first_seen_at=datetime.fromtimestamp(moment, UTC),
                stretch=rng.uniform(*STRETCHED) if _stretches(template) else 1.0,
                acknowledged=template.task.problem is not None and number not in self.open,
            )

    def newest_with(self, deliveries: int) -> int:
        """From which number on the tasks have this many deliveries together, or a few less."""
        counts = [len(template.told) for template in self.templates]
        left = deliveries
        for number in range(len(self.chosen) - 1, -1, -1):
            left -= counts[self.chosen[number]]
            if left < 0:
                return number + 1
        return 0


def draw_schedule(
    settled: Sequence[Template],
    unfinished: Sequence[Template],
    *,
    tasks: int,
    now: datetime,
    rng: random.Random,
) -> Schedule:
    templates = [*settled, *unfinished]
    in_progress = min(IN_PROGRESS, tasks // 10)
    planned = sorted(
        [
            *_settled_visits(settled, tasks - in_progress, now, rng),
            *_unfinished_visits(unfinished, len(settled), in_progress, now, rng),
        ]
    )
    chosen = array("H", (index for _, index in planned))
    moments = array("d", (moment for moment, _ in planned))
    return Schedule(templates=templates, moments=moments, chosen=chosen, open=_open(templates, chosen))


def busy(hour: datetime) -> float:
    """How much is asked for in an hour, as a share of the most: more by day, on workdays, and of late."""
    by_day = 0.55 + 0.45 * math.cos(2 * math.pi * (hour.hour - 15) / 24)
    return by_day * (0.7 if hour.weekday() >= 5 else 1.0)


def _settled_visits(
    settled: Sequence[Template], count: int, now: datetime, rng: random.Random
) -> Iterator[tuple[float, int]]:
    start = now - timedelta(days=DAYS)
    hours = [start + timedelta(hours=number) for number in range(DAYS * 24)]
    weights = [busy(hour) * (0.6 + 0.4 * number / len(hours)) for number, hour in enumerate(hours)]
    when = rng.choices([hour.timestamp() for hour in hours], weights, k=count)
    which = rng.choices(range(len(settled)), [template.share for template in settled], k=count)
    latest = [now.timestamp() - template.span.total_seconds() * STRETCHED[1] - 1 for template in settled]
    for hour, index in zip(when, which, strict=True):
        moment = hour + rng.uniform(0, HOUR_S)
        while moment > latest[index]:  # it would not have settled yet
            moment -= DAY_S
        yield moment, index


def _unfinished_visits(
    unfinished: Sequence[Template], first: int, count: int, now: datetime, rng: random.Random
) -> Iterator[tuple[float, int]]:
    overdue = min(OVERDUE, count // 10)
    for number in range(count):
        index = rng.randrange(len(unfinished))
        template = unfinished[index]
        planned = (template.task.next_poll_at or template.task.first_seen_at) - template.task.first_seen_at
        if number < overdue:
            late_s = math.exp(rng.uniform(*map(math.log, OVERDUE_S)))
            yield now.timestamp() - planned.total_seconds() - late_s, first + index
        else:
            age_s = rng.uniform(template.age.total_seconds(), max(planned, template.age).total_seconds())
            yield now.timestamp() - age_s, first + index


def _open(templates: Sequence[Template], chosen: array) -> frozenset[int]:  # type: ignore[type-arg]
    left = {"unresolved": OPEN_UNRESOLVED, "conflict": OPEN_CONFLICTS}
    problems = [template.task.problem for template in templates]
    found = set()
    for number in range(len(chosen) - 1, -1, -1):
        problem = problems[chosen[number]]
        if problem and left[problem] > 0:
            left[problem] -= 1
            found.add(number)
    return frozenset(found)


def _stretches(template: Template) -> bool:
    """A task in progress, and one that was given up, keep to the clock."""
    return template.task.settlement.settled and template.task.gave_up_at is None
