"""A window of time in steps, and the plots drawn of it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.core.histogram import bucket, middle_s
from receiver.core.settlement import Outcome
from receiver.web.admin.activity import Plot, draw, table_rows
from receiver.web.admin.time_series import (
    BUCKET_LENGTHS,
    DAY,
    HOUR,
    SUBJECTS,
    TimeSeries,
    bucket_counts,
    since,
)

START = datetime(2026, 3, 1, tzinfo=UTC)
NOWS = [datetime(2026, 3, 20, hour, minute, tzinfo=UTC) for hour in (0, 12, 23) for minute in (0, 30, 59)]
# The end of a year, of February, and of a leap day.
MOMENTS = st.datetimes(datetime(2023, 12, 1), datetime(2024, 4, 1), timezones=st.just(UTC))  # noqa: DTZ001  as it wants them


def hourly(subject: str, *counts: Mapping[str, int]) -> dict[str, dict[datetime, Mapping[str, int]]]:
    return {subject: {START + place * HOUR: counted for place, counted in enumerate(counts)}}


def steps_of(subject: str, *counts: Mapping[str, int]) -> TimeSeries:
    """A window with one step of an hour for each of these."""
    now = START + (len(counts) - 1) * HOUR
    return bucket_counts(hourly(subject, *counts), start=START, now=now, length=HOUR)


def plot_of(key: str, subject: str, *counts: Mapping[str, int], calls_per_s: float = 2) -> Plot:
    (plot,) = (
        drawn for drawn in draw(steps_of(subject, *counts), calls_per_s=calls_per_s) if drawn.key == key
    )
    return plot


def lines(plot: Plot) -> dict[str, tuple[float | None, ...]]:
    return {line.label: line.values for line in plot.lines}


# Steps


@settings(max_examples=200, deadline=None, derandomize=True)
@given(MOMENTS, st.sampled_from(sorted(BUCKET_LENGTHS)))
def test_the_steps_of_a_window_follow_each_other_and_the_last_holds_now(now: datetime, days: int) -> None:
    start, length = since(now, days), BUCKET_LENGTHS[days]
    steps = bucket_counts({}, start=start, now=now, length=length)
    assert steps.starts[0] == start
    assert steps.starts[-1] <= now < steps.starts[-1] + length
    assert all(after - before == length for before, after in pairwise(steps.starts))
    assert all(start.minute == 0 and (length == HOUR or start.hour == 0) for start in steps.starts)
    assert len(steps.buckets) == len(steps.starts)


@pytest.mark.parametrize("days", BUCKET_LENGTHS)
def test_a_window_has_as_many_steps_at_every_hour_of_the_day(days: int) -> None:
    windows = [
        bucket_counts({}, start=since(now, days), now=now, length=BUCKET_LENGTHS[days]) for now in NOWS
    ]
    assert {len(steps.starts) for steps in windows} == {int(days * DAY / BUCKET_LENGTHS[days])}


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.dictionaries(st.integers(0, 71), st.integers(-3, 9), max_size=20), st.sampled_from((HOUR, DAY)))
def test_whatever_was_counted_in_the_window_is_in_one_step_of_it(
    counts: dict[int, int], length: timedelta
) -> None:
    hourly = {"call": {START + hour * HOUR: {"answered": count} for hour, count in counts.items()}}
    steps = bucket_counts(hourly, start=START, now=START + 71 * HOUR, length=length)
    assert steps.whole.sum_of("call", "answered") == sum(counts.values())
    for start, counted in zip(steps.starts, steps.buckets, strict=True):
        within = [count for hour, count in counts.items() if start <= START + hour * HOUR < start + length]
        assert counted.sum_of("call", "answered") == sum(within)


def test_what_was_counted_after_the_window_is_not_in_it() -> None:
    counts = {"pause": {START + 3 * HOUR: {"limited": 60}}}
    assert not bucket_counts(counts, start=START, now=START + 2.5 * HOUR, length=HOUR).whole.of("pause")


@pytest.mark.parametrize("before", [HOUR, 23 * HOUR, DAY])
def test_what_was_counted_before_the_window_is_not_in_it(before: timedelta) -> None:
    counts = {"call": {START - before: {"answered": 5}}}
    assert not bucket_counts(counts, start=START, now=START + 2 * DAY, length=DAY).whole.of("call")


def test_a_line_adds_up_the_names_it_is_of_and_a_share_is_in_per_cent() -> None:
    steps = steps_of("callback", {"cut_off": 1, "too_large": 2}, {}, {"accepted": 4})
    assert steps.line("callback", "refused", "red", "cut_off", "too_large").values == (3, 0, 0)
    assert steps.line("callback", "accepted", "green").values == (0, 0, 4)
    share = steps.share("s", "red", lambda step: step.sum_of("callback", "accepted") / 3)
    assert share.values == (0, 0, 133.33)


# Plots


def every_number(plots: list[Plot]) -> Iterator[float]:
    return (value for plot in plots for line in plot.lines for value in line.values if value is not None)


@pytest.mark.parametrize("days", BUCKET_LENGTHS)
def test_a_window_in_which_nothing_happened_is_drawn_with_nothing_in_it(days: int) -> None:
    now = NOWS[0]
    steps = bucket_counts({}, start=since(now, days), now=now, length=BUCKET_LENGTHS[days])
    plots = list(draw(steps, calls_per_s=2))
    assert set(every_number(plots)) <= {0}
    assert all(len(line.values) == len(steps.starts) for plot in plots for line in plot.lines)
    facts = {name: words for plot in plots for name, words in plot.facts}
    assert (facts["loss rate"], facts["median"]) == ("none settled", "none settled")
    assert facts["average"] == facts["peak"] == "0.0 %"


def test_the_share_of_lost_callbacks_is_of_settled_tasks() -> None:
    hours: tuple[dict[str, int], ...] = (
        {"succeeded": 3, "failed": 1, "in_progress": 96, "lost_callback": 1},
        {},
    )
    plot = plot_of("lost", "task", *hours)
    assert lines(plot)["loss rate"] == (25, None)
    assert dict(plot.facts)["loss rate"] == "25.0 %"


def test_where_no_task_has_settled_there_is_no_share_of_settled_tasks() -> None:
    assert lines(plot_of("lost", "task", {"in_progress": 5}))["loss rate"] == (None,)


def test_the_median_and_95th_percentile_are_of_each_step_and_of_the_whole() -> None:
    spans: list[list[float]] = [[60.0] * 19 + [3600], [], [7200]]
    hours = [Counter(map(str, map(bucket, step))) for step in spans]
    plot = plot_of("settling", "settling", *hours)
    minute, two_hours = round(middle_s(bucket(60)), 2), round(middle_s(bucket(7200)), 2)
    assert lines(plot) == {
        "median": (minute, None, two_hours),
        "95th percentile": (minute, None, two_hours),
    }
    assert [name for name, _ in plot.facts] == ["median", "95th percentile"]
    assert dict(plot.facts)["95th percentile"].endswith(("min", "h"))


def test_the_budget_is_what_was_called_of_what_the_limit_allows() -> None:
    plot = plot_of("budget", "call", {"answered": 3000, "limited": 600}, {}, {"answered": 7200})
    assert lines(plot)["share of the limit"] == (50, None, 100)
    assert dict(plot.facts) == {
        "calls": "10,800",
        "limit": "2 a second",
        "average": "50.0 %",
        "peak": "100.0 %",
    }


def test_every_outcome_has_its_line() -> None:
    drawn = plot_of("outcomes", "task", {outcome.value: 1 for outcome in Outcome})
    assert sorted(lines(drawn)) == sorted(outcome.value.replace("_", " ") for outcome in Outcome)
    assert all(values == (1,) for values in lines(drawn).values())


def test_a_call_that_failed_is_no_poll_and_each_pause_has_a_line_in_minutes() -> None:
    polls = plot_of("polls", "call", {"answered": 9, "network": 2, "server_error": 1})
    assert lines(polls)["failed"] == (3,)
    assert dict(polls.facts) == {"failed": "3", "failed: network": "2", "failed: server error": "1"}
    pauses = plot_of("pauses", "pause", {"limited": 90}, {"server_error": 3600})
    assert lines(pauses) == {"limited": (1.5, 0), "server error": (0, 60)}
    assert dict(pauses.facts) == {"limited": "1 min", "server error": "1 h"}


def test_a_table_has_the_newest_steps_first_and_no_more_than_asked_for() -> None:
    plot = plot_of("budget", "call", *({"answered": 72 * hour} for hour in range(5)))
    rows = list(table_rows(plot, [START + hour * HOUR for hour in range(5)], limit=2))
    assert rows == [(START + 4 * HOUR, [4]), (START + 3 * HOUR, [3])]
    assert set(SUBJECTS) == set(steps_of("call", {}).whole.counts)
