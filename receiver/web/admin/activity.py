"""Activity over time as plots: lines of numbers over the buckets of a window. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from receiver.core.histogram import quantile_s
from receiver.core.observation import Source
from receiver.core.results import DeliveryResult, RefusalReason
from receiver.core.settlement import Outcome
from receiver.core.task_counts import LOST_CALLBACK, RECOVERED, SETTLING, TASK
from receiver.core.times import duration
from receiver.store.hourly_counts import ANSWERED, CALL, PAUSE
from receiver.web.admin.time_series import Line, TimeSeries, Value, rounded
from receiver.web.totals import Totals

Facts = tuple[tuple[str, str], ...]
OUTCOME_COLOURS = {
    Outcome.SUCCEEDED: "green",
    Outcome.FAILED: "red",
    Outcome.UNRESOLVED: "violet",
    Outcome.IN_PROGRESS: "slate",
}
QUANTILES = (("median", 0.5, "blue"), ("95th percentile", 0.95, "violet"))
PAUSE_COLOURS = ("red", "amber", "violet", "blue", "slate", "green")


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """`facts` are its totals in words; `unit` is that of the lines that are not shares."""

    key: str
    title: str
    unit: str
    lines: tuple[Line, ...]
    facts: Facts


def draw(series: TimeSeries, *, calls_per_s: float) -> Sequence[Plot]:
    """All plots; `calls_per_s` is the limit of record-info calls."""
    return [
        _callbacks(series),
        _lost(series),
        _settling(series),
        _outcomes(series),
        _polls(series),
        _budget(series, calls_per_s),
        _pauses(series),
    ]


def _callbacks(series: TimeSeries) -> Plot:
    lines = (
        series.line(Source.CALLBACK, DeliveryResult.ACCEPTED, "green"),
        series.line(Source.CALLBACK, DeliveryResult.DUPLICATE, "slate"),
        series.line(Source.CALLBACK, DeliveryResult.QUARANTINED, "red"),
        series.line(Source.CALLBACK, DeliveryResult.UNSUPPORTED, "amber"),
        series.line(Source.CALLBACK, "refused", "violet", *RefusalReason),
    )
    reasons = {f"refused: {name}": series.whole.sum_of(Source.CALLBACK, name) for name in RefusalReason}
    facts = (*_sums(lines), *_facts(reasons))
    return Plot(key="callbacks", title="Callbacks", unit="", lines=lines, facts=facts)


def _lost(series: TimeSeries) -> Plot:
    whole = series.whole
    rate = "none settled" if whole.loss_rate is None else f"{100 * whole.loss_rate:.1f} %"
    return Plot(
        key="lost",
        title="Lost callbacks",
        unit="",
        lines=(
            series.line(TASK, "lost", "amber", LOST_CALLBACK),
            series.line(TASK, "recovered", "green", RECOVERED),
            series.share("loss rate", "violet", lambda bucket: bucket.loss_rate),
        ),
        facts=(
            ("lost", f"{whole.lost_callbacks:,}"),
            ("recovered", f"{whole.recovered:,}"),
            ("loss rate", rate),
        ),
    )


def _settling(series: TimeSeries) -> Plot:
    histograms = [_histogram(bucket.of(SETTLING)) for bucket in series.buckets]
    whole = _histogram(series.whole.of(SETTLING))
    return Plot(
        key="settling",
        title="Time to settle",
        unit="s",
        lines=tuple(
            Line(
                label=name,
                colour=colour,
                values=tuple(rounded(quantile_s(histogram, share)) for histogram in histograms),
            )
            for name, share, colour in QUANTILES
        ),
        facts=tuple((name, _duration_or_none(quantile_s(whole, share))) for name, share, _ in QUANTILES),
    )


def _outcomes(series: TimeSeries) -> Plot:
    lines = tuple(
        series.line(TASK, name.replace("_", " "), colour, name) for name, colour in OUTCOME_COLOURS.items()
    )
    title = "Tasks by outcome (by time first seen)"
    return Plot(key="outcomes", title=title, unit="", lines=lines, facts=_sums(lines))


def _polls(series: TimeSeries) -> Plot:
    calls = series.whole.of(CALL)
    failures = sorted(name for name in calls if name != ANSWERED)
    lines = (
        series.line(Source.POLL, "updated", "green", DeliveryResult.ACCEPTED),
        series.line(Source.POLL, "unchanged", "slate", DeliveryResult.DUPLICATE),
        series.line(Source.POLL, "unknown upstream", "blue", DeliveryResult.UNKNOWN),
        series.line(Source.POLL, DeliveryResult.QUARANTINED, "red"),
        series.line(CALL, "failed", "amber", *(failures or ["failed"])),
    )
    causes = {f"failed: {name}": calls[name] for name in failures}
    facts = (*_sums(lines), *_facts(causes))
    return Plot(key="polls", title="record-info polls", unit="", lines=lines, facts=facts)


def _budget(series: TimeSeries, calls_per_s: float) -> Plot:
    limit = calls_per_s * series.length.total_seconds()
    calls = [bucket.sum_of(CALL) for bucket in series.buckets]

    def share(bucket: Totals) -> float | None:
        return bucket.sum_of(CALL) / limit if bucket.of(CALL) else None

    return Plot(
        key="budget",
        title="Poll budget used",
        unit="",
        lines=(series.share("share of the limit", "blue", share),),
        facts=(
            ("calls", f"{sum(calls):,}"),
            ("limit", f"{calls_per_s:g} a second"),
            ("average", f"{100 * sum(calls) / (limit * len(calls)):.1f} %"),
            ("peak", f"{100 * max(calls) / limit:.1f} %"),
        ),
    )


def _pauses(series: TimeSeries) -> Plot:
    total = series.whole.of(PAUSE)
    lines = tuple(
        Line(
            label=name.replace("_", " "),
            colour=colour,
            values=tuple(rounded(bucket.sum_of(PAUSE, name) / 60) for bucket in series.buckets),
        )
        for name, colour in zip(sorted(total) or ["none"], PAUSE_COLOURS, strict=False)
    )
    facts = tuple((name.replace("_", " "), duration(seconds)) for name, seconds in sorted(total.items()))
    return Plot(key="pauses", title="Upstream paused", unit="min", lines=lines, facts=facts)


def _histogram(counts: Mapping[str, int]) -> dict[int, int]:
    return {int(bucket): count for bucket, count in counts.items()}


def _sums(lines: Iterable[Line]) -> Facts:
    """Each line's total under the name that the legend has for it."""
    return _facts({line.label: int(sum(value or 0 for value in line.values)) for line in lines})


def _facts(counts: Mapping[str, int]) -> Facts:
    return tuple((name.replace("_", " "), f"{count:,}") for name, count in counts.items() if count)


def _duration_or_none(seconds: float | None) -> str:
    return "none settled" if seconds is None else duration(seconds)


def table_rows(
    plot: Plot, starts: Iterable[datetime], *, limit: int
) -> Iterator[tuple[datetime, list[Value]]]:
    """The newest buckets first, for those who read numbers rather than lines."""
    rows = list(zip(starts, zip(*(line.values for line in plot.lines), strict=True), strict=True))
    for start, values in reversed(rows[-limit:]):
        yield start, list(values)
