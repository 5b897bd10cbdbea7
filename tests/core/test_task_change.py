"""What a step changed in a task, in few words."""

import pytest
from hypothesis import given, settings

from receiver.core.task_change import find_change
from receiver.core.task_events import acknowledge, on_duplicate, register, request_poll, resettle

from .builders import NEVER, callback, poll, ready, started
from .test_task_events import (
    CLAIMED_FAILURE,
    CLAIMED_SUCCESS,
    CONFIRMED_SUCCESS,
    FRESH,
    LATE,
    PENDING,
    RULES,
    STORIES,
    answered,
    at,
    called_back,
    given_up,
    registered,
    rules,
    steps_of,
)


def test_the_first_callback_changes_status_tracks_and_version():
    history = find_change(
        registered(), called_back(registered(), callback("FIRST_SUCCESS", ready("a"), started("b")))
    )
    assert history == {"status": ("", "FIRST_SUCCESS"), "ready": ("0/0", "1/2"), "version": ("0", "1")}


def test_a_settling_callback_changes_the_outcome():
    before = called_back(registered(), callback("FIRST_SUCCESS", ready("a"), started("b")))
    history = find_change(before, called_back(before, callback("SUCCESS", ready("a"), ready("b"))))
    assert history == {
        "status": ("FIRST_SUCCESS", "SUCCESS"),
        "ready": ("1/2", "2/2"),
        "outcome": ("in_progress", "succeeded"),
        "version": ("1", "2"),
    }


def test_record_info_confirming_what_a_callback_said_changes_only_how_far_it_is_believed():
    before = called_back(registered(), CLAIMED_SUCCESS)
    history = find_change(before, answered(before, CONFIRMED_SUCCESS))
    assert history == {"confirmed": ("no", "yes"), "version": ("1", "2")}


def test_a_contradiction_is_shown_as_a_conflict():
    before = called_back(registered(), CLAIMED_SUCCESS)
    history = find_change(before, called_back(before, CLAIMED_FAILURE))
    assert history["conflict"] == ("no", "yes")
    assert history["outcome"] == ("succeeded", "in_progress")


def test_a_value_that_no_word_tells_of_is_still_a_new_version():
    before = called_back(registered(), callback("TEXT_SUCCESS", started("a")))
    assert find_change(
        before, called_back(before, callback("TEXT_SUCCESS", started("a", title="Tides")))
    ) == {"version": ("1", "2")}


def test_a_row_with_an_id_that_takes_the_place_of_those_without_is_not_counted_twice():
    before = called_back(registered(), callback("FIRST_SUCCESS", ready("#0"), started("#1")))
    history = find_change(before, answered(before, poll("FIRST_SUCCESS", ready("a"), ready("b"))))
    assert history["ready"] == ("1/2", "2/2")


def test_giving_up_is_shown_by_its_outcome():
    before = registered()
    assert find_change(before, given_up())["outcome"] == ("in_progress", "unresolved")


@pytest.mark.parametrize(
    "step",
    [
        lambda task: on_duplicate(task, now=at(50)),
        lambda task: called_back(task, None, now=50),
        lambda task: called_back(task, callback("PENDING"), now=50),
        lambda task: answered(task, PENDING, now=50),
        lambda task: register(task, label="mine", now=at(50), rules=RULES),
        lambda task: request_poll(task, now=at(50)),
        acknowledge,
        lambda task: resettle(task, now=at(50), rules=rules(NEVER)),
    ],
    ids=["duplicate", "unreadable", "old", "same", "registration", "request", "seen", "same rules"],
)
def test_a_step_that_leaves_the_reconciled_state_as_it_was_changed_nothing(step):
    task = answered(called_back(registered(), callback("TEXT_SUCCESS", started("a"))), PENDING, now=40)
    task = called_back(task, callback("PENDING"), now=41)
    assert find_change(task, step(task)) == {}
    assert find_change(FRESH, FRESH) == {}


@settings(max_examples=25, deadline=None, derandomize=True)
@given(STORIES)
def test_changes_follow_on_from_each_other_and_end_where_the_task_is(story):
    known: dict[str, str] = {}
    steps = list(steps_of(story))
    for before, after in steps:
        for name, (old, new) in find_change(before, after).items():
            assert old != new
            assert known.get(name, old) == old
            known[name] = new
    if steps:
        first, last = steps[0][0], steps[-1][1]
        whole = find_change(first, last)
        assert {name: new for name, (_, new) in whole.items()}.items() <= known.items()
        assert bool(known) == (first.version != last.version)


def test_a_late_success_after_giving_up_tells_both_outcomes():
    before = given_up()
    history = find_change(before, answered(before, CONFIRMED_SUCCESS, now=LATE + 50))
    assert history["outcome"] == ("unresolved", "succeeded")
