"""What went on over time, as plots: lines of numbers over the steps of a window. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from receiver.core.histogram import quantile_s
from receiver.core.settlement import Outcome
from receiver.core.task_counts import LOST_CALLBACK, RECOVERED, SETTLING, TASK
from receiver.web.admin.time_series import Counts, Line, TimeSeries, Value, rounded
from receiver.web.admin.times import duration

REFUSED = ("wrong_token", "bad_signature", "too_large", "cut_off")


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """`facts` are its totals in words; `unit` is that of the lines that are no shares."""

    key: str
    title: str
    unit: str
    lines: tuple[Line, ...]
    facts: tuple[tuple[str, str], ...]


def draw(steps: TimeSeries, *, calls_per_s: float) -> Sequence[Plot]:
    """All plots; `calls_per_s` is the limit of record-info calls."""
    return [
        _callbacks(steps),
        _lost(steps),
        _settling(steps),
        _outcomes(steps),
        _polls(steps),
        _budget(steps, calls_per_s),
        _pauses(steps),
    ]


def _callbacks(steps: TimeSeries) -> Plot:
    return Plot(
        key="callbacks",
        title="Callbacks",
        unit="",
        lines=(
            steps.line("callback", "accepted", "green"),
            steps.line("callback", "duplicate", "slate"),
            steps.line("callback", "quarantined", "red"),
            steps.line("callback", "unsupported", "amber"),
            steps.line("callback", "refused", "violet", *REFUSED),
        ),
        facts=_facts(steps.totals("callback")),
    )


def _lost(steps: TimeSeries) -> Plot:
    total = steps.totals(TASK)
    settled = _settled(total)
    share = f"{100 * total[LOST_CALLBACK] / settled:.1f} %" if settled else "none settled"
    return Plot(
        key="lost",
        title="Lost callbacks",
        unit="",
        lines=(
            steps.line(TASK, "lost", "amber", LOST_CALLBACK),
            steps.line(TASK, "recovered", "green", RECOVERED),
            steps.share(
                "lost, share of settled",
                "violet",
                TASK,
                lambda step: step.get(LOST_CALLBACK, 0) / _settled(step) if _settled(step) else None,
            ),
        ),
        facts=(
            ("lost", f"{total[LOST_CALLBACK]:,}"),
            ("share of settled", share),
            ("recovered", f"{total[RECOVERED]:,}"),
        ),
    )


def _settling(steps: TimeSeries) -> Plot:
    spans = [_histogram(step) for step in steps.counts[SETTLING]]
    whole = _histogram(steps.totals(SETTLING))
    names = (("median", 0.5, "blue"), ("95th percentile", 0.95, "violet"))
    return Plot(
        key="settling",
        title="From first sight to settled",
        unit="s",
        lines=tuple(
            Line(label=name, colour=colour, values=tuple(rounded(quantile_s(one, share)) for one in spans))
            for name, share, colour in names
        ),
        facts=tuple((name, _span_or_none(quantile_s(whole, share))) for name, share, _ in names),
    )


def _outcomes(steps: TimeSeries) -> Plot:
    colours = {"succeeded": "green", "failed": "red", "unresolved": "violet", "in_progress": "slate"}
    total = steps.totals(TASK)
    outcomes = {outcome.value: total[outcome.value] for outcome in Outcome}
    return Plot(
        key="outcomes",
        title="Tasks by outcome, when first seen",
        unit="",
        lines=tuple(
            steps.line(TASK, name.replace("_", " "), colour, name) for name, colour in colours.items()
        ),
        facts=_facts(outcomes),
    )


def _polls(steps: TimeSeries) -> Plot:
    total, calls = steps.totals("poll"), steps.totals("call")
    failed = sorted(name for name in calls if name != "answered")
    return Plot(
        key="polls",
        title="Polls of record-info",
        unit="",
        lines=(
            steps.line("poll", "told something new", "green", "accepted"),
            steps.line("poll", "nothing new", "slate", "duplicate"),
            steps.line("poll", "not known there", "blue", "unknown"),
            steps.line("poll", "quarantined", "red"),
            steps.line("call", "failed", "amber", *(failed or ["failed"])),
        ),
        facts=_facts(total + Counter({name.replace("_", " "): calls[name] for name in failed})),
    )


def _budget(steps: TimeSeries, calls_per_s: float) -> Plot:
    limit = calls_per_s * steps.length.total_seconds()
    used = [sum(step.values()) for step in steps.counts["call"]]
    whole = sum(used) / (limit * len(used))
    return Plot(
        key="budget",
        title="Poll budget used",
        unit="",
        lines=(steps.share("share of the limit", "blue", "call", lambda step: sum(step.values()) / limit),),
        facts=(
            ("calls", f"{sum(used):,}"),
            ("limit", f"{calls_per_s:g} a second"),
            ("used on the whole", f"{100 * whole:.1f} %"),
            ("at most", f"{100 * max(used) / limit:.1f} %"),
        ),
    )


def _pauses(steps: TimeSeries) -> Plot:
    total = steps.totals("pause")
    colours = ("red", "amber", "violet", "blue", "slate", "green")
    names = sorted(total) or ["none"]
    lines = [
        Line(
            label=name.replace("_", " "),
            colour=colour,
            values=tuple(rounded(step.get(name, 0) / 60) for step in steps.counts["pause"]),
        )
        for name, colour in zip(names, colours, strict=False)
    ]
    told = tuple((name.replace("_", " "), duration(seconds)) for name, seconds in sorted(total.items()))
    return Plot(key="pauses", title="Upstream paused", unit="min", lines=tuple(lines), facts=told)


def _settled(counted: Counts) -> int:
    return sum(counted.get(outcome.value, 0) for outcome in Outcome if outcome is not Outcome.IN_PROGRESS)


def _histogram(counted: Counts) -> dict[int, int]:
    return {int(number): count for number, count in counted.items()}


def _facts(total: Counts) -> tuple[tuple[str, str], ...]:
    return tuple((name.replace("_", " "), f"{count:,}") for name, count in sorted(total.items()) if count)


def _span_or_none(seconds: float | None) -> str:
    return "none settled" if seconds is None else duration(seconds)


def table_rows(
    plot: Plot, starts: Iterable[datetime], *, most: int
) -> Iterator[tuple[datetime, list[Value]]]:
    """The newest steps first, for those who read numbers rather than lines."""
    steps = list(zip(starts, zip(*(line.values for line in plot.lines), strict=True), strict=True))
    for start, values in reversed(steps[-most:]):
        yield start, list(values)
