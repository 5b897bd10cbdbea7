"""What a person should look at, what he has seen, and what came long ago and can be read at last."""

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given, settings

from receiver.core.problem import Problem
from receiver.core.settlement import Outcome
from receiver.core.task_events import acknowledge, on_duplicate, on_reprocessed, register, request_poll

from .builders import WITHOUT_KEY, callback, poll, ready, started
from .test_task_events import (
    CLAIMED_FAILURE,
    CLAIMED_SUCCESS,
    CONFIRMED_FAILURE,
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

LAWS = settings(max_examples=20, deadline=None, derandomize=True)
CONFLICTING = called_back(called_back(registered(), CLAIMED_SUCCESS), CLAIMED_FAILURE)


def reprocessed(task, observation, *, now=500, policy=RULES.policy):
    return on_reprocessed(task, observation, now=at(now), rules=rules(policy))


# Told of


def test_a_row_that_was_only_made_is_not_known():
    assert not FRESH.is_known
    assert not request_poll(FRESH, now=at(1)).is_known


def test_a_task_is_known_once_anybody_named_it_readable_or_not():
    observations = (
        registered(),
        called_back(FRESH, PENDING),
        called_back(FRESH, None),
        answered(FRESH, None),
    )
    assert all(task.is_known for task in observations)


# Problems


@pytest.mark.parametrize(
    "fine",
    [
        registered(),
        called_back(registered(), callback("TEXT_SUCCESS", started("a"))),
        called_back(registered(), CLAIMED_SUCCESS),
        answered(registered(), CONFIRMED_FAILURE),
        called_back(registered(), None),
    ],
    ids=["waiting", "under way", "succeeded", "failed", "unreadable"],
)
def test_what_ends_well_or_plainly_or_goes_on_is_no_problem(fine):
    assert fine.problem is None


def test_an_unresolved_task_and_a_conflict_are_problems():
    assert given_up().problem is Problem.UNRESOLVED
    assert CONFLICTING.problem is Problem.CONFLICT


@pytest.mark.parametrize("end", [CONFIRMED_SUCCESS, CONFIRMED_FAILURE], ids=["success", "failure"])
@pytest.mark.parametrize(
    "claims", list(permutations([CLAIMED_SUCCESS, CLAIMED_FAILURE])), ids=["success first", "failure first"]
)
def test_callbacks_against_what_record_info_reported_are_a_conflict_and_no_problem(end, claims):
    before = answered(called_back(called_back(registered(), claims[0]), claims[1]), end)
    between = called_back(answered(called_back(registered(), claims[0]), end), claims[1])
    after = called_back(called_back(answered(registered(), end), claims[0]), claims[1])
    for task in (before, between, after):
        assert (task.state.conflict, task.problem, task.settlement.settled) == (True, None, True)


def test_record_info_against_itself_is_a_problem():
    task = answered(answered(registered(), CONFIRMED_FAILURE), CONFIRMED_SUCCESS)
    assert task.problem is Problem.CONFLICT


def test_a_success_that_record_info_reported_without_music_decides_nothing():
    assert answered(CONFLICTING, poll("SUCCESS")).problem is Problem.CONFLICT


def test_a_problem_ends_when_the_music_is_found_after_all():
    assert answered(given_up(), CONFIRMED_SUCCESS, now=LATE + 50).problem is None


# Seen


@pytest.mark.parametrize("task", [given_up(), CONFLICTING], ids=["unresolved", "conflict"])
def test_a_problem_a_person_has_seen_is_none_any_more_and_nothing_else_changes(task):
    observation = acknowledge(task)
    assert observation.problem is None
    assert replace(observation, acknowledged_version=None) == task
    assert acknowledge(observation) == observation


@pytest.mark.parametrize(
    "step",
    [
        lambda task: on_duplicate(task, now=at(LATE + 9)),
        lambda task: called_back(task, None, now=LATE + 9),
        lambda task: called_back(task, CLAIMED_FAILURE, now=LATE + 9),
        lambda task: register(task, label="mine", now=at(LATE + 9), rules=RULES),
        lambda task: request_poll(task, now=at(LATE + 9)),
    ],
    ids=["duplicate", "unreadable", "nothing new", "registration", "request"],
)
def test_what_changes_nothing_brings_a_seen_problem_not_back(step):
    assert step(acknowledge(CONFLICTING)).problem is None


def test_a_seen_problem_comes_back_with_the_next_change():
    observation = acknowledge(CONFLICTING)
    assert answered(observation, PENDING).problem is None, "no change"
    assert called_back(observation, callback("SUCCESS", ready("b"))).problem is Problem.CONFLICT
    assert (
        called_back(acknowledge(given_up()), callback("PENDING"), now=LATE + 9).problem is Problem.UNRESOLVED
    )


def test_what_was_seen_while_all_was_well_does_not_hide_what_goes_wrong_later():
    observation = acknowledge(registered())
    assert observation.acknowledged_version == 0
    assert answered(observation, None, now=LATE).problem is Problem.UNRESOLVED


@LAWS
@given(STORIES)
def test_a_problem_neither_comes_nor_goes_without_a_change_of_version(story):
    for before, after in steps_of(story):
        assert before.problem is after.problem or before.version != after.version


# Learned at last


def test_what_is_learned_late_is_joined_and_judged_and_not_counted_again():
    task = called_back(registered(), None, now=9)
    after = reprocessed(task, CLAIMED_SUCCESS)
    assert (after.settlement.outcome, after.settled_at, after.next_poll_at) == (
        Outcome.SUCCEEDED,
        at(500),
        None,
    )
    assert (after.callbacks, after.last_callback_at, after.polls, after.attempt) == (1, at(9), 0, 0)
    assert after.version == task.version + 1


def test_learning_what_is_known_changes_neither_state_nor_version_nor_settling():
    task = called_back(registered(), CLAIMED_SUCCESS, now=40)
    assert reprocessed(task, CLAIMED_SUCCESS) == task


def test_a_claim_learned_late_that_must_be_confirmed_is_asked_about_at_once():
    assert reprocessed(registered(), CLAIMED_FAILURE).next_poll_at == at(90)  # due already: kept
    assert reprocessed(registered(), CLAIMED_FAILURE, now=30).next_poll_at == at(30)


def test_after_giving_up_record_info_is_asked_once_more_where_there_is_a_key():
    assert reprocessed(given_up(), CLAIMED_SUCCESS, now=LATE + 50).next_poll_at == at(LATE + 50)
    without = reprocessed(given_up(), CLAIMED_SUCCESS, now=LATE + 50, policy=WITHOUT_KEY)
    assert (without.settlement.outcome, without.next_poll_at) == (Outcome.SUCCEEDED, None)


def test_learning_does_not_put_off_what_a_person_asked_for():
    task = reprocessed(request_poll(registered(), now=at(60)), callback("TEXT_SUCCESS", started("a")), now=61)
    assert (task.poll_requested, task.next_poll_at) == (True, at(60))


def test_an_answer_learned_late_confirms_as_it_would_have_then():
    task = reprocessed(called_back(FRESH, CLAIMED_SUCCESS), poll("SUCCESS", ready("a")))
    assert task.settlement.outcome is Outcome.SUCCEEDED
    assert task.state.status.confirmed


@LAWS
@given(STORIES)
def test_learning_a_story_ends_in_the_state_and_verdict_of_hearing_it(story):
    after, last = registered(), registered()
    for _, last in steps_of(story):  # noqa: B007  the last one is meant
        pass
    for observation in reversed(story):
        after = after if observation is None else reprocessed(after, observation)
        assert after.settlement.settled or after.next_poll_at is not None
    assert (after.state, after.settlement) == (last.state, last.settlement)
