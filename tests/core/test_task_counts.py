"""What a task counts for in the totals."""

from collections import Counter
from datetime import timedelta
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.core.histogram import bucket
from receiver.core.settlement import Outcome
from receiver.core.task_counts import LOST_CALLBACK, RECOVERED, SETTLING, TASK, count_changes
from receiver.core.task_events import (
    acknowledge,
    give_up,
    on_callback,
    on_duplicate,
    on_reprocessed,
    register,
    request_poll,
    resettle,
)

from .builders import ALWAYS, NEVER, TASK_ID, callback, poll, ready, started
from .test_task_events import (
    CLAIMED_FAILURE,
    CLAIMED_SUCCESS,
    CONFIRMED_FAILURE,
    CONFIRMED_SUCCESS,
    FRESH,
    LATE,
    PENDING,
    RULES,
    answered,
    at,
    called_back,
    given_up,
    registered,
    rules,
)

# Every step of a task's life, with the news and the rules that can turn its outcome.
STEPS = (
    lambda task, now: register(task, label="mine", now=now, rules=RULES),
    lambda task, now: on_callback(task, CLAIMED_SUCCESS, now=now, rules=RULES),
    lambda task, now: on_callback(task, CLAIMED_FAILURE, now=now, rules=RULES, lossy=True),
    lambda task, now: on_callback(task, callback("FIRST_SUCCESS", started("b")), now=now, rules=RULES),
    lambda task, now: on_callback(task, None, now=now, rules=RULES),
    lambda task, now: on_duplicate(task, now=now),
    lambda task, now: on_reprocessed(
        task, poll("CALLBACK_EXCEPTION", ready("a"), ready("b")), now=now, rules=RULES
    ),
    lambda task, now: answered(task, CONFIRMED_SUCCESS, now=seconds(now)),
    lambda task, now: answered(task, CONFIRMED_FAILURE, now=seconds(now)),
    lambda task, now: answered(task, None, now=seconds(now)),
    lambda task, now: give_up(task, now=now, rules=RULES),
    lambda task, now: resettle(task, now=now, rules=rules(NEVER)),
    lambda task, now: resettle(task, now=now, rules=rules(ALWAYS)),
    lambda task, now: request_poll(task, now=now),
    lambda task, now: acknowledge(task),
)


def hear_nothing(task, now):
    return task


def seconds(moment):
    return (moment - at(0)).total_seconds()


def whole(counts):
    return {name: count for name, count in counts.items() if count}


def counted(task):
    return whole(count_changes(FRESH, task))


def walk(steps, moments):
    task, total = FRESH, Counter[tuple[str, str]]()
    for step, moment in zip(steps, moments, strict=False):
        after = step(task, at(moment))
        total.update(count_changes(task, after))
        task = after
    return task, total


def check(task, total):
    assert whole(total) == counted(task)
    assert all(count == 1 for count in whole(total).values())
    outcomes = [name for name in Outcome if total[TASK, name.value]]
    assert outcomes == ([task.settlement.outcome] if task.is_known else [])
    settled = sum(count for (subject, _), count in total.items() if subject == SETTLING)
    assert settled == (task.is_known and task.settlement.settled)


def test_whatever_two_steps_follow_a_registration_or_come_first_the_totals_are_those_of_the_last_state():
    for steps in product((STEPS[0], hear_nothing), STEPS, STEPS):
        check(*walk(steps, (10, 70, 4000)))


@pytest.mark.slow
@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(-100, 2 * LATE)), max_size=12))
def test_whatever_happens_at_whatever_time_the_totals_are_those_of_the_last_state(life):
    check(*walk([step for step, _ in life], [moment for _, moment in life]))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(STEPS), min_size=1, max_size=6))
def test_a_step_and_its_way_back_leave_the_totals_as_they_were(steps):
    before, _ = walk(steps[:-1], range(10, 100))
    after = steps[-1](before, at(500))
    there = count_changes(before, after)
    there.update(count_changes(after, before))
    assert whole(there) == {}


def test_a_row_that_was_only_made_counts_for_nothing():
    assert counted(FRESH) == {}
    assert counted(request_poll(FRESH, now=at(1))) == {}


@pytest.mark.parametrize(
    "first",
    [
        registered(),
        called_back(FRESH, PENDING),
        called_back(FRESH, None),
        answered(FRESH, None),
        on_duplicate(FRESH, now=at(1)),
    ],
    ids=["registered", "called back", "unreadable", "polled", "called back again"],
)
def test_a_task_anybody_named_is_in_progress(first):
    assert counted(first) == {(TASK, "in_progress"): 1}


def test_a_settled_task_leaves_what_was_in_progress():
    before = registered()
    assert whole(count_changes(before, called_back(before, CLAIMED_SUCCESS, now=40))) == {
        (TASK, "in_progress"): -1,
        (TASK, "succeeded"): 1,
        (SETTLING, str(bucket(40))): 1,
    }


def test_a_task_that_is_reopened_takes_its_settling_back():
    settled = called_back(registered(), CLAIMED_SUCCESS, now=40)
    assert whole(count_changes(settled, called_back(settled, CLAIMED_FAILURE, now=50))) == {
        (TASK, "in_progress"): 1,
        (TASK, "succeeded"): -1,
        (SETTLING, str(bucket(40))): -1,
    }


def test_music_that_no_callback_reported_is_recovered_and_its_callback_lost():
    found = answered(registered(), CONFIRMED_SUCCESS)
    assert counted(found)[TASK, RECOVERED] == counted(found)[TASK, LOST_CALLBACK] == 1
    late = called_back(found, CLAIMED_SUCCESS, now=200)
    assert whole(count_changes(found, late)) == {(TASK, RECOVERED): -1, (TASK, LOST_CALLBACK): -1}
    assert (TASK, RECOVERED) not in counted(given_up())


def test_settling_counts_from_first_sight_and_a_clock_set_back_is_no_time_at_all():
    assert counted(called_back(FRESH, CONFIRMED_SUCCESS, now=3600))[SETTLING, str(bucket(3600))] == 1
    assert counted(called_back(FRESH, CONFIRMED_SUCCESS, now=-3600))[SETTLING, "0"] == 1


def test_hearing_the_same_again_changes_no_total():
    task = called_back(registered(), CLAIMED_SUCCESS)
    for again in (on_duplicate(task, now=at(9)), acknowledge(task), request_poll(task, now=at(9))):
        assert whole(count_changes(task, again)) == {}


def test_the_totals_of_a_task_are_kept_in_the_hour_it_was_first_seen_in_so_that_never_moves():
    for step in STEPS:
        moved = step(registered(), at(0) - timedelta(days=1))
        assert (moved.first_seen_at, moved.task_id) == (at(0), TASK_ID)
