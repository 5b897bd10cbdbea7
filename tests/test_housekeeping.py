"""Counts of days gone by are folded, and no count is lost."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from receiver.housekeeping import BY_THE_HOUR, keep_house
from receiver.runtime import Runtime
from receiver.store import tallies
from tests.conftest import BOTH_STORES, T0


def count(runtime: Runtime, *, days: int) -> None:
    with runtime.database.write() as connection:
        for hour in range(24 * days):
            moment = T0 - timedelta(hours=hour)
            tallies.add(
                connection,
                tallies.in_hour(moment, {("callback", "accepted"): hour + 1, ("task", "failed"): 1}),
            )


@BOTH_STORES
def test_days_gone_by_become_one_count_each_and_the_totals_stay(runtime: Runtime) -> None:
    count(runtime, days=20)
    with runtime.database.read() as connection:
        before = tallies.totals(connection, "callback", "task")
    while keep_house(runtime.database, now=T0):
        pass
    with runtime.database.read() as connection:
        assert tallies.totals(connection, "callback", "task") == before
        told = tallies.by_hour(connection, ["callback"], since=T0 - timedelta(days=99))["callback"]
    first_kept = tallies.day_of(T0 - BY_THE_HOUR)
    assert all(hour == tallies.day_of(hour) for hour in told if hour < first_kept)
    assert sum(hour >= first_kept for hour in told) == 8 * 24 + 13, "what is newer stays by the hour"
    assert keep_house(runtime.database, now=T0) == 0


@BOTH_STORES
def test_what_changes_later_about_a_folded_day_is_folded_too(runtime: Runtime) -> None:
    count(runtime, days=10)
    while keep_house(runtime.database, now=T0):
        pass
    late = T0 - timedelta(days=9)
    with runtime.database.write() as connection:
        tallies.add(connection, tallies.in_hour(late, {("task", "failed"): -1, ("task", "succeeded"): 1}))
    assert keep_house(runtime.database, now=T0) == 1
    with runtime.database.read() as connection:
        assert tallies.totals(connection, "task")["task"] == {"failed": 239, "succeeded": 1}


@BOTH_STORES
def test_two_that_fold_at_once_count_nothing_twice(runtime: Runtime) -> None:
    count(runtime, days=12)
    with runtime.database.read() as connection:
        before = tallies.totals(connection, "callback")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: keep_house(runtime.database, now=T0), range(4)))
    with runtime.database.read() as connection:
        assert tallies.totals(connection, "callback") == before


def test_a_pause_is_spread_over_its_hours() -> None:
    start = T0 + timedelta(minutes=50)
    spread = tallies.spread(start, start + timedelta(minutes=90), "pause", "limited")
    assert {f"{hour:%H}": seconds for (hour, _, _), seconds in spread.items()} == {
        "12": 600,
        "13": 3600,
        "14": 1200,
    }
