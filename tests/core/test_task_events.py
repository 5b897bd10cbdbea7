"""A task's life, step by step: each step is a pure function to the next `Task`."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.core.cadence import Cadence
from receiver.core.settlement import Outcome
from receiver.core.task import Rules, Task
from receiver.core.task_events import (
    give_up,
    on_callback,
    on_duplicate,
    on_poll_failure,
    on_poll_response,
    register,
    request_poll,
    resettle,
)

from .builders import ALWAYS, NEVER, SUSPECT, TASK_ID, WITHOUT_KEY, callback, poll, ready, started

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
RULES = Rules(policy=SUSPECT, cadence=Cadence())
FRESH = Task(task_id=TASK_ID, first_seen_at=START)

CLAIMED_SUCCESS = callback("SUCCESS", ready("a"))
CLAIMED_FAILURE = callback("FAILED", errorCode=501)
CONFIRMED_SUCCESS = poll("SUCCESS", ready("a"))
CONFIRMED_FAILURE = poll("FAILED")
PENDING = poll("PENDING")


def at(seconds):
    return START + timedelta(seconds=seconds)


LATE = 86400 + 5


def rules(policy):
    return replace(RULES, policy=policy)


def registered(*, now=0, policy=SUSPECT):
    return register(FRESH, label=None, now=at(now), rules=rules(policy))


def called_back(task, observation, *, now=1, policy=SUSPECT):
    return on_callback(task, observation, now=at(now), rules=rules(policy))


def answered(task, observation, *, now=100, jitter=0.0, policy=SUSPECT):
    return on_poll_response(task, observation, now=at(now), jitter=jitter, rules=rules(policy))


def given_up(*history):
    task = registered()
    for observation in history:
        task = called_back(task, observation)
    return answered(task, None, now=LATE)


# Registering


def test_a_registered_task_waits_for_its_callback_for_the_grace():
    task = registered()
    assert task.registered_at == START
    assert task.next_poll_at == at(90)
    assert not task.settlement.settled


def test_registering_again_keeps_the_first_time_and_the_label():
    task = register(FRESH, label="mine", now=at(0), rules=RULES)
    again = register(task, label=None, now=at(0), rules=RULES)
    assert again == task
    assert register(task, label="ours", now=at(7), rules=RULES).label == "ours"
    assert register(task, label="ours", now=at(7), rules=RULES).registered_at == START


def test_registering_is_no_news_about_the_state():
    task = called_back(FRESH, callback("PENDING"))
    assert register(task, label="mine", now=at(5), rules=RULES).version == task.version


def test_an_orphan_with_a_claimed_success_settles_when_its_owner_names_it():
    orphan = called_back(FRESH, CLAIMED_SUCCESS)
    assert not orphan.settlement.settled
    task = register(orphan, label=None, now=at(5), rules=RULES)
    assert task.settlement.outcome is Outcome.SUCCEEDED
    assert (task.settled_at, task.next_poll_at, task.version) == (at(5), None, orphan.version + 1)


def test_registering_a_settled_task_leaves_it_settled_and_unpolled():
    settled = answered(FRESH, CONFIRMED_SUCCESS, now=5)
    task = register(settled, label="mine", now=at(9), rules=RULES)
    assert (task.settlement, task.settled_at, task.next_poll_at) == (settled.settlement, at(5), None)


# Callbacks


@pytest.mark.parametrize("word", ["PENDING", "TEXT_SUCCESS", "FIRST_SUCCESS"])
def test_a_callback_that_raises_the_status_before_the_end_starts_the_grace(word):
    assert called_back(registered(), callback(word, ready("a")), now=40).next_poll_at == at(130)


@pytest.mark.parametrize("word", ["", "MYSTERY"])
def test_a_callback_without_a_known_status_puts_no_poll_off(word):
    assert called_back(registered(), callback(word, ready("a")), now=40).next_poll_at == at(90)
    assert called_back(FRESH, callback(word), now=40).next_poll_at == at(130)


@pytest.mark.parametrize(
    "observation",
    [
        CLAIMED_FAILURE,
        callback("SUCCESS"),
        callback("SUCCESS", ready("a"), started("b")),
        callback("CALLBACK_EXCEPTION"),
        None,
    ],
    ids=["claimed failure", "success without tracks", "half a success", "callback exception", "quarantined"],
)
def test_a_callback_that_needs_record_info_makes_the_task_due_now(observation):
    task = called_back(registered(), observation, now=40)
    assert task.next_poll_at == at(40)
    assert not task.settlement.settled


def test_a_callback_that_must_be_confirmed_makes_the_task_due_now():
    assert called_back(registered(policy=ALWAYS), CLAIMED_SUCCESS, now=40, policy=ALWAYS).next_poll_at == at(
        40
    )
    assert called_back(FRESH, CLAIMED_SUCCESS, now=40).next_poll_at == at(40)


def test_a_callback_is_counted_and_dated_whether_it_can_be_read_or_not():
    task = called_back(called_back(registered(), callback("PENDING"), now=3), None, now=9)
    assert (task.callbacks, task.last_callback_at, task.polls) == (2, at(9), 0)


def test_an_unreadable_callback_does_not_change_the_state_or_its_version():
    task = called_back(registered(), callback("PENDING"))
    assert called_back(task, None).state == task.state
    assert called_back(task, None).version == task.version


def test_an_unreadable_callback_leaves_a_settled_task_alone():
    task = called_back(called_back(registered(), CLAIMED_SUCCESS), None, now=9)
    assert task.next_poll_at is None
    assert task.settlement.outcome is Outcome.SUCCEEDED


def test_the_same_callback_again_is_counted_and_changes_nothing_else():
    task = called_back(registered(), callback("FIRST_SUCCESS", ready("a")))
    again = on_duplicate(task, now=at(30))
    assert again == replace(task, callbacks=2, last_callback_at=at(30))


def test_a_raised_status_starts_the_doubling_of_the_interval_anew_and_nothing_else_does():
    task = answered(answered(registered(), PENDING), PENDING)
    assert task.attempt == 2
    assert called_back(task, callback("TEXT_SUCCESS"), now=200).attempt == 0
    for observation in (callback("PENDING", ready("a")), callback("MYSTERY"), callback(), None):
        assert called_back(task, observation, now=200).attempt == 2


# Whoever calls back can neither put a poll off nor bring it forward again and again

LEVELS = 3  # PENDING, TEXT_SUCCESS, FIRST_SUCCESS: what a callback can claim before the end
CLAIMS = st.one_of(
    st.none(),
    st.builds(
        lambda word, name, title: callback(word, started(name, title=title)),
        st.sampled_from(
            ["", "MYSTERY", "A1", "A2", "PENDING", "GENERATING", "TEXT_SUCCESS", "FIRST_SUCCESS"]
        ),
        st.sampled_from("abcdef"),
        st.text(max_size=3),
    ),
    st.sampled_from([CLAIMED_SUCCESS, CLAIMED_FAILURE, callback("SUCCESS"), callback("CALLBACK_EXCEPTION")]),
)
FLOODS = st.lists(st.tuples(st.floats(min_value=0, max_value=80), CLAIMS, st.booleans()), max_size=25)


@pytest.mark.slow
@settings(max_examples=500, deadline=None, derandomize=True)
@given(FLOODS, st.sampled_from([0, 1, 3]))
def test_no_sequence_of_callbacks_puts_a_poll_off_for_longer_than_the_statuses_allow(flood, polls):
    task, now = registered(), 90
    for _ in range(polls):
        task = answered(task, None, now=now)
        now = int((task.next_poll_at - START).total_seconds())
    first = task.next_poll_at
    moment = (task.last_polled_at or START) + timedelta(seconds=1)
    for wait, observation, lossy in flood:
        moment += timedelta(seconds=wait)
        if task.next_poll_at is not None and moment >= task.next_poll_at:
            break
        task = on_callback(task, observation, now=moment, rules=RULES, lossy=lossy)
        assert task.next_poll_at is None or task.next_poll_at <= first + timedelta(seconds=LEVELS * 90)


def flooded(task, claims, *, over_s, every_s):
    """Polls of a task that is called back again and again, while record-info does not know it."""
    moment, polls = START + timedelta(seconds=1), []
    claims = iter(claims)
    while moment < START + timedelta(seconds=over_s):
        if task.next_poll_at is not None and task.next_poll_at <= moment:
            task = on_poll_response(task, None, now=moment, jitter=0.0, rules=RULES)
            polls.append(moment)
        task = on_callback(task, next(claims), now=moment, rules=RULES)
        moment += timedelta(seconds=every_s)
    return len(polls)


KINDS = {
    "quarantined": lambda number: None,
    "failures": lambda number: callback("FAILED", errorCode=number),
    "exceptions": lambda number: callback("CALLBACK_EXCEPTION", started(f"t{number}")),
    "successes": lambda number: callback("SUCCESS", started(f"t{number}")),
    "stages": lambda number: callback("TEXT_SUCCESS", started("a", title=str(number))),
    "unknown words": lambda number: callback(f"W{number}", started("a")),
    "in turn": lambda number: (None, callback("FAILED", errorCode=number), callback("SUCCESS"))[number % 3],
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", [registered(), FRESH], ids=["registered", "orphan"])
def test_hundreds_of_forged_callbacks_about_a_task_cost_a_few_polls(kind, task):
    claims = (KINDS[kind](number) for number in range(500))
    # In its own time it is polled 90, 120, 180, 300, 540 and 1020 seconds after it was registered.
    assert flooded(task, claims, over_s=1000, every_s=5) <= 12


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_burst_of_forged_callbacks_costs_one_poll_and_one_more_for_each_other_end_that_is_claimed(kind):
    claims = (KINDS[kind](number) for number in range(500))
    assert flooded(registered(), claims, over_s=21, every_s=0.1) <= (3 if kind == "in turn" else 1)


@pytest.mark.slow
def test_a_task_given_up_is_not_polled_as_often_as_it_is_called_back():
    task, polls = given_up(), 0
    for second in range(0, 1000, 3):
        moment = at(LATE + second)
        if task.next_poll_at is not None and task.next_poll_at <= moment:
            task, polls = on_poll_response(task, None, now=moment, jitter=0.0, rules=RULES), polls + 1
        task = on_callback(task, callback("", started(f"t{second}")), now=moment, rules=RULES)
    assert polls <= 12


def test_after_a_poll_in_its_own_time_news_bring_the_next_one_forward_again():
    task = called_back(registered(), None, now=10)
    assert task.next_poll_at == at(10)
    task = answered(task, PENDING, now=11)
    assert called_back(task, None, now=12).next_poll_at == at(41)
    task = answered(task, PENDING, now=41)
    assert called_back(task, None, now=50).next_poll_at == at(50)


def test_a_claimed_end_is_looked_into_at_once_though_something_else_was_a_moment_before():
    task = answered(called_back(registered(), None, now=10), PENDING, now=11)
    assert called_back(task, callback("CALLBACK_EXCEPTION"), now=12).next_poll_at == at(12)
    assert called_back(task, CLAIMED_FAILURE, now=12).next_poll_at == at(12)


def test_a_lossy_callback_is_mended_by_a_poll_that_no_other_callback_calls_off():
    task = on_callback(registered(), CLAIMED_SUCCESS, now=at(40), rules=RULES, lossy=True)
    assert (task.settlement.settled, task.next_poll_at) == (True, at(40))
    assert called_back(task, callback("FIRST_SUCCESS", ready("a")), now=41).next_poll_at == at(40)


@pytest.mark.parametrize(
    "observation", [None, PENDING, poll("ODD")], ids=["unknown", "pending", "an odd status"]
)
def test_lost_values_are_asked_for_until_record_info_has_reported_the_end(observation):
    task = on_callback(registered(), CLAIMED_SUCCESS, now=at(40), rules=RULES, lossy=True)
    task = answered(task, observation, now=41)
    assert (task.settlement.settled, task.next_poll_at) == (True, at(71))
    assert answered(task, CONFIRMED_SUCCESS, now=71).next_poll_at is None
    assert answered(task, observation, now=LATE).next_poll_at is None


def test_a_request_about_a_settled_task_is_met_by_one_answer():
    task = request_poll(called_back(registered(), CLAIMED_SUCCESS), now=at(60))
    assert answered(task, PENDING, now=61).next_poll_at is None


def test_what_record_info_has_reported_needs_no_mending():
    task = answered(registered(), CONFIRMED_SUCCESS)
    assert on_callback(task, CLAIMED_SUCCESS, now=at(140), rules=RULES, lossy=True).next_poll_at is None


# Calls that brought no answer


def missed(task, *, now):
    return on_poll_failure(task, now=at(now), jitter=0.0, rules=RULES)


def test_a_task_whose_calls_fail_backs_off_as_after_polls_that_brought_nothing():
    task, now, waits = registered(), 100, []
    for _ in range(7):
        task = missed(task, now=now)
        waits.append((task.next_poll_at - at(now)).total_seconds())
        now += int(waits[-1])
    assert waits == [30, 60, 120, 240, 480, 900, 900]
    assert (task.polls, task.last_polled_at, task.version) == (0, None, 0)


def test_a_request_whose_call_fails_is_tried_again_in_its_time_and_a_settled_task_not_for_ever():
    settled = answered(registered(), CONFIRMED_SUCCESS)
    task = missed(request_poll(settled, now=at(200)), now=201)
    assert (task.poll_requested, task.next_poll_at) == (False, at(261))
    assert missed(request_poll(settled, now=at(LATE)), now=LATE).next_poll_at is None


def test_a_settling_callback_ends_the_polling():
    task = called_back(registered(), CLAIMED_SUCCESS, now=40)
    assert (task.settlement.outcome, task.settled_at, task.next_poll_at) == (Outcome.SUCCEEDED, at(40), None)


def test_a_contradiction_reopens_a_claimed_success_and_asks_record_info():
    task = called_back(called_back(registered(), CLAIMED_SUCCESS, now=40), CLAIMED_FAILURE, now=50)
    assert (task.settlement.settled, task.settled_at, task.next_poll_at) == (False, None, at(50))


# Answers of record-info


def test_an_answer_that_leaves_the_task_unsettled_is_followed_by_doubling_intervals():
    task, now, waits = registered(), 100, []
    for _ in range(7):
        task = answered(task, PENDING, now=now)
        waits.append((task.next_poll_at - at(now)).total_seconds())
        now += int(waits[-1])
    assert waits == [30, 60, 120, 240, 480, 900, 900]
    assert (task.polls, task.last_polled_at) == (7, at(now - 900))


def test_the_interval_is_spread_within_a_fifth():
    assert answered(registered(), PENDING, jitter=-1).next_poll_at == at(124)
    assert answered(registered(), PENDING, jitter=1).next_poll_at == at(136)


def test_an_answer_that_the_task_is_not_known_there_is_not_yet_and_never_a_failure():
    task = answered(registered(), None)
    assert (task.settlement.outcome, task.next_poll_at) == (Outcome.IN_PROGRESS, at(130))
    assert (task.polls, task.version) == (1, 0)
    assert answered(task, None, now=LATE).settlement.outcome is Outcome.UNRESOLVED


def test_a_settling_answer_ends_the_polling():
    for observation, outcome in ((CONFIRMED_SUCCESS, Outcome.SUCCEEDED), (CONFIRMED_FAILURE, Outcome.FAILED)):
        task = answered(registered(), observation)
        assert (task.settlement.outcome, task.settled_at, task.next_poll_at) == (outcome, at(100), None)


def test_an_answer_to_a_settled_task_leaves_it_unpolled():
    task = answered(answered(registered(), CONFIRMED_SUCCESS), PENDING, now=200)
    assert (task.settlement.outcome, task.settled_at, task.next_poll_at) == (Outcome.SUCCEEDED, at(100), None)


# Giving up


def test_before_the_deadline_no_task_is_given_up():
    task = answered(registered(), None, now=86399)
    assert task.gave_up_at is None
    assert not task.settlement.settled
    assert task.next_poll_at == at(86400)


def test_an_answer_at_the_deadline_that_changes_nothing_gives_the_task_up():
    task = answered(registered(), None, now=86400)
    assert (task.settlement.outcome, task.gave_up_at, task.settled_at) == (
        Outcome.UNRESOLVED,
        at(86400),
        at(86400),
    )
    assert task.next_poll_at is None


def test_an_answer_after_the_deadline_that_changes_something_keeps_the_task_going():
    task = answered(registered(), PENDING, now=LATE)
    assert not task.settlement.settled
    assert task.next_poll_at > at(LATE)
    assert answered(task, PENDING, now=LATE + 30).settlement.outcome is Outcome.UNRESOLVED


def test_a_callback_or_a_registration_after_the_deadline_gives_nothing_up():
    task = called_back(registered(), callback("PENDING"), now=LATE)
    task = register(task, label=None, now=at(LATE + 1), rules=RULES)
    assert task.gave_up_at is None
    assert not task.settlement.settled
    assert task.next_poll_at is not None


@pytest.mark.parametrize(
    ("history", "outcome"),
    [
        ((), Outcome.UNRESOLVED),
        ((callback("FIRST_SUCCESS", ready("a"), started("b")),), Outcome.SUCCEEDED),
        ((CLAIMED_FAILURE,), Outcome.UNRESOLVED),
        ((poll("FIRST_SUCCESS", ready("a"), started("b")),), Outcome.SUCCEEDED),
    ],
)
def test_a_task_given_up_ends_as_far_as_it_is_known(history, outcome):
    assert given_up(*history).settlement.outcome is outcome


def test_giving_up_is_a_change_of_version():
    task = registered()
    assert give_up(task, now=at(LATE), rules=RULES).version == task.version + 1


def test_a_look_is_never_planned_past_the_deadline_before_it():
    polled = answered(registered(), PENDING, now=86400 - 20)
    assert polled.next_poll_at == at(86400)
    assert called_back(polled, callback("TEXT_SUCCESS"), now=86400 - 10).next_poll_at == at(86400)


def test_a_callback_after_giving_up_is_joined_and_record_info_asked_once_more():
    task = called_back(given_up(), callback("FIRST_SUCCESS", ready("a")), now=LATE + 50)
    assert task.settlement.outcome is Outcome.SUCCEEDED
    assert task.next_poll_at == at(LATE + 50)
    assert answered(task, None, now=LATE + 51).next_poll_at is None


def test_without_a_key_nothing_is_asked_after_giving_up():
    task = give_up(registered(policy=WITHOUT_KEY), now=at(LATE), rules=rules(WITHOUT_KEY))
    task = called_back(task, callback("PENDING"), now=LATE + 50, policy=WITHOUT_KEY)
    assert task.next_poll_at is None


def test_unresolved_becomes_failed_or_succeeded_by_a_late_answer():
    for observation, outcome in ((CONFIRMED_SUCCESS, Outcome.SUCCEEDED), (CONFIRMED_FAILURE, Outcome.FAILED)):
        task = answered(given_up(), observation, now=LATE + 50)
        assert (task.settlement.outcome, task.settled_at) == (outcome, at(LATE + 50))


# A person's request


def test_a_person_asks_for_a_poll_now_settled_or_not():
    for task in (registered(), answered(registered(), CONFIRMED_SUCCESS)):
        polled = request_poll(task, now=at(60))
        assert polled.next_poll_at == at(60)
        assert polled.poll_requested
        assert polled.version == task.version


@pytest.mark.parametrize(
    "news",
    [
        lambda task: called_back(task, callback("PENDING"), now=70),
        lambda task: called_back(task, CLAIMED_SUCCESS, now=70),
        lambda task: called_back(task, CLAIMED_FAILURE, now=70),
        lambda task: called_back(task, None, now=70),
        lambda task: on_duplicate(task, now=at(70)),
        lambda task: register(task, label="mine", now=at(70), rules=RULES),
        lambda task: resettle(task, now=at(70), rules=rules(NEVER)),
    ],
    ids=["stage", "success", "failure", "unreadable", "duplicate", "registration", "new rules"],
)
def test_a_persons_request_is_not_put_off_by_whatever_comes_before_the_poll(news):
    task = news(request_poll(registered(), now=at(60)))
    assert task.next_poll_at == at(60)
    assert task.poll_requested


def test_a_persons_request_is_met_by_the_answer():
    task = answered(request_poll(registered(), now=at(60)), PENDING, now=61)
    assert not task.poll_requested
    assert task.next_poll_at == at(91)


# New rules


def test_a_laxer_policy_settles_what_waited_for_a_confirmation():
    task = called_back(registered(), CLAIMED_FAILURE)
    after = resettle(task, now=at(500), rules=rules(NEVER))
    assert (after.settlement.outcome, after.settled_at, after.next_poll_at) == (
        Outcome.FAILED,
        at(500),
        None,
    )


def test_a_stricter_policy_reopens_what_was_never_confirmed():
    task = called_back(registered(policy=NEVER), CLAIMED_FAILURE, policy=NEVER)
    after = resettle(task, now=at(500), rules=RULES)
    assert (after.settlement.settled, after.settled_at, after.next_poll_at) == (False, None, at(500))


def test_the_same_rules_change_nothing():
    for task in (registered(), answered(registered(), PENDING), called_back(registered(), CLAIMED_SUCCESS)):
        assert resettle(task, now=at(500), rules=RULES) == task


# Versions, and the laws over a whole life

STORIES = st.lists(
    st.sampled_from(
        (
            CLAIMED_SUCCESS,
            CLAIMED_FAILURE,
            CONFIRMED_SUCCESS,
            CONFIRMED_FAILURE,
            PENDING,
            poll("CALLBACK_EXCEPTION"),
            callback("TEXT_SUCCESS", started("a"), started("b")),
            callback("FIRST_SUCCESS", ready("a"), started("b")),
            None,
        )
    ),
    max_size=8,
)


def steps_of(story):
    task = registered()
    for number, observation in enumerate(story):
        by_poll = observation is not None and observation.source == "poll"
        following = (
            answered(task, observation, now=number) if by_poll else called_back(task, observation, now=number)
        )
        yield task, following
        task = following


@settings(max_examples=25, deadline=None, derandomize=True)
@given(STORIES)
def test_the_version_grows_by_one_exactly_with_a_change_of_the_state_or_the_verdict(story):
    for before, after in steps_of(story):
        changed = (before.state, before.settlement) != (after.state, after.settlement)
        assert after.version == before.version + changed


@settings(max_examples=25, deadline=None, derandomize=True)
@given(STORIES)
def test_a_task_is_settled_exactly_when_it_has_a_time_of_settling(story):
    for _, task in steps_of(story):
        assert task.settlement.settled == (task.settled_at is not None)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(STORIES)
def test_an_unsettled_task_always_has_a_next_look(story):
    for _, task in steps_of(story):
        assert task.settlement.settled or task.next_poll_at is not None


@settings(max_examples=25, deadline=None, derandomize=True)
@given(STORIES)
def test_the_time_of_settling_stays_while_the_outcome_does(story):
    for before, after in steps_of(story):
        if before.settlement.settled and after.settlement.outcome is before.settlement.outcome:
            assert after.settled_at == before.settled_at


def test_every_order_of_arrival_ends_in_the_same_state_and_verdict():
    story = (
        callback("FIRST_SUCCESS", ready("a"), started("b")),
        callback("SUCCESS", ready("a"), ready("b")),
        CLAIMED_FAILURE,
        None,
        poll("CALLBACK_EXCEPTION", ready("a"), ready("b")),
    )
    ends = [list(steps_of(order))[-1][1] for order in permutations(story)]
    assert all((end.state, end.settlement) == (ends[0].state, ends[0].settlement) for end in ends)
    assert {(end.callbacks, end.polls) for end in ends} == {(4, 1)}


def test_registering_again_and_again_puts_off_no_poll():
    task = registered()
    for second in range(60, 600, 60):
        task = register(task, label=None, now=at(second), rules=RULES)
    assert task.next_poll_at == at(90)
