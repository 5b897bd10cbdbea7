"""A registered task that a callback says is another product's: only a task that is given up ends as one."""

from datetime import datetime, timedelta
from itertools import permutations

import pytest

from receiver.core.cadence import Cadence
from receiver.core.observation import Observation, Source, UnsupportedEnd
from receiver.core.settlement import Confirm, Outcome, Policy
from receiver.core.state_json import dump_state, load_state
from receiver.core.task import Rules, Task
from receiver.core.task_events import give_up, on_callback, on_poll_response, register, request_poll
from tests.conftest import T0

from .builders import (
    ALWAYS,
    NEVER,
    SUSPECT,
    TASK_ID,
    WITHOUT_KEY,
    callback,
    poll,
    ready,
    settlement_of,
    state_after,
)

DONE = Observation(task_id=TASK_ID, source=Source.CALLBACK, unsupported_end=UnsupportedEnd.SUCCEEDED)
BROKEN = Observation(task_id=TASK_ID, source=Source.CALLBACK, unsupported_end=UnsupportedEnd.FAILED)
NOT_KNOWN = Observation(task_id=TASK_ID, source=Source.POLL, known=False)
MUSIC = poll("SUCCESS", ready("a"))

IN_PROGRESS, SUCCEEDED, FAILED, UNRESOLVED = Outcome
# The observations, the outcome in whatever order it came, and that once the task is given up: under `suspect` and `always`.
ENDS = [
    ((DONE,), IN_PROGRESS, UNRESOLVED, UNRESOLVED),
    ((NOT_KNOWN,), IN_PROGRESS, UNRESOLVED, UNRESOLVED),
    ((DONE, NOT_KNOWN), IN_PROGRESS, SUCCEEDED, UNRESOLVED),
    ((BROKEN, NOT_KNOWN), IN_PROGRESS, UNRESOLVED, UNRESOLVED),
    ((DONE, BROKEN, NOT_KNOWN), IN_PROGRESS, SUCCEEDED, UNRESOLVED),
    ((DONE, poll("PENDING")), IN_PROGRESS, UNRESOLVED, UNRESOLVED),
    ((DONE, NOT_KNOWN, poll("PENDING")), IN_PROGRESS, UNRESOLVED, UNRESOLVED),
    ((DONE, NOT_KNOWN, callback("TEXT_SUCCESS")), IN_PROGRESS, UNRESOLVED, UNRESOLVED),
    ((BROKEN, NOT_KNOWN, callback("", ready("a"))), IN_PROGRESS, SUCCEEDED, UNRESOLVED),
    ((DONE, NOT_KNOWN, MUSIC), SUCCEEDED, SUCCEEDED, SUCCEEDED),
    ((BROKEN, NOT_KNOWN, MUSIC), SUCCEEDED, SUCCEEDED, SUCCEEDED),
    ((DONE, NOT_KNOWN, poll("SENSITIVE_WORD_ERROR")), FAILED, FAILED, FAILED),
]


@pytest.mark.parametrize(("observations", "outcome", "suspect", "always"), ENDS)
def test_in_any_order_only_a_task_that_is_given_up_ends_as_another_products(
    observations, outcome, suspect, always
):
    for order in permutations(observations):
        for policy, given_up in ((SUSPECT, suspect), (ALWAYS, always)):
            assert settlement_of(*order, policy=policy).outcome is outcome
            assert settlement_of(*order, policy=policy, gave_up=True).outcome is given_up
        assert dump_state(state_after(*order)) == dump_state(state_after(*observations))
        assert load_state(dump_state(state_after(*order))) == state_after(*observations)


def test_what_nobody_registered_never_ends_as_another_products():
    settlement = settlement_of(DONE, NOT_KNOWN, registered=False, gave_up=True)
    assert (settlement.outcome, settlement.lost_callback) == (UNRESOLVED, False)


def test_its_end_is_no_lost_callback_and_no_recovered_music():
    settlement = settlement_of(DONE, NOT_KNOWN, gave_up=True)
    assert (settlement.lost_callback, settlement.recovered) == (False, False)
    assert settlement_of(DONE, NOT_KNOWN, MUSIC).lost_callback, "music that no callback named"


def test_where_nobody_can_be_asked_the_callback_is_believed():
    for policy in (NEVER, WITHOUT_KEY):
        assert settlement_of(DONE, policy=policy).outcome is SUCCEEDED
        assert settlement_of(BROKEN, policy=policy).outcome is FAILED


DAY_S = 86400
MUSIC_IS_KNOWN_S = 600


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def rules(policy: Policy = SUSPECT, give_up_after_s: float = DAY_S) -> Rules:
    return Rules(policy=policy, cadence=Cadence(give_up_after_s=give_up_after_s))


RULES = rules()


def registered(*observations: Observation, now_s: float = 60, by: Rules = RULES) -> Task:
    """A task of which these callbacks came a minute after it was registered."""
    task = register(Task(task_id=TASK_ID, first_seen_at=T0), label=None, now=T0, rules=by)
    for observation in observations:
        task = on_callback(task, observation, now=at(now_s), rules=by)
    return task


def ask(
    task: Task, observation: Observation | None, *, now_s: float | None = None, by: Rules = RULES
) -> Task:
    now = at(now_s) if now_s is not None else task.next_poll_at
    assert now is not None
    return on_poll_response(task, observation, now=now, jitter=0.0, rules=by)


def poll_on(task: Task, *, known_from_s: float | None = None, until_s: float = 3 * DAY_S, by=RULES) -> Task:
    """Polled whenever its time comes; record-info knows it as finished music only from then on."""
    while task.next_poll_at is not None and task.next_poll_at <= at(until_s):
        known = known_from_s is not None and task.next_poll_at >= at(known_from_s)
        task = ask(task, MUSIC if known else NOT_KNOWN, by=by)
    return task


@pytest.mark.parametrize("observations", [(DONE,), (BROKEN,), (DONE, BROKEN)], ids=["done", "broken", "both"])
@pytest.mark.parametrize("policy", [SUSPECT, ALWAYS], ids=["suspect", "always"])
@pytest.mark.parametrize("known_from_s", [61, 300, 599, 601, 3600, DAY_S])
def test_music_is_found_whenever_record_info_comes_to_know_it(observations, policy, known_from_s):
    by = rules(policy)
    task = poll_on(registered(*observations, by=by), known_from_s=known_from_s, by=by)
    assert (task.settlement.outcome, task.state.confirmed, task.gave_up_at) == (SUCCEEDED, True, None)
    assert task.next_poll_at is None


def test_it_is_counted_and_asked_about_at_once_and_then_as_any_task_that_record_info_does_not_know():
    task = registered(DONE)
    assert (task.callbacks, task.next_poll_at) == (1, at(60))
    times = []
    while not task.settlement.settled:
        times.append(task.next_poll_at)
        task = ask(task, NOT_KNOWN)
    assert times == [at(s) for s in (60, 90, 150, 270, 510, MUSIC_IS_KNOWN_S)]


def test_a_success_ends_when_record_info_would_know_its_own_and_is_asked_about_once_more_at_last():
    task = poll_on(registered(DONE), until_s=MUSIC_IS_KNOWN_S)
    assert (task.settlement.outcome, task.state.confirmed, task.problem) == (SUCCEEDED, False, None)
    assert (task.settled_at, task.next_poll_at) == (at(MUSIC_IS_KNOWN_S), at(DAY_S))
    over = ask(task, NOT_KNOWN)
    assert (over.settlement, over.settled_at, over.version) == (
        task.settlement,
        task.settled_at,
        task.version,
    )
    assert over.next_poll_at is None


@pytest.mark.parametrize(
    ("observations", "policy"),
    [((DONE,), ALWAYS), ((BROKEN,), ALWAYS), ((BROKEN,), SUSPECT)],
    ids=["a success under always", "a failure under always", "a failure"],
)
def test_what_must_be_confirmed_and_cannot_be_waits_for_the_deadline_and_ends_unresolved_in_silence(
    observations, policy
):
    by = rules(policy)
    waiting = poll_on(registered(*observations, by=by), until_s=DAY_S - 1, by=by)
    assert not waiting.settlement.settled
    task = poll_on(waiting, by=by)
    assert (task.settlement.outcome, task.settled_at, task.next_poll_at) == (UNRESOLVED, at(DAY_S), None)
    assert (task.problem, task.state.confirmed, task.settlement.lost_callback) == (None, False, False)


def test_an_answer_that_says_nothing_ends_nothing_early():
    task = registered(DONE)
    for _ in range(9):
        task = ask(task, None)
    assert task.last_polled_at
    assert task.last_polled_at > at(MUSIC_IS_KNOWN_S)
    assert not ask(task, NOT_KNOWN).settlement.settled, "the first word that it is not known"
    given_up = ask(task, None, now_s=DAY_S)
    assert (given_up.settlement.outcome, given_up.problem) == (UNRESOLVED, "unresolved")


def test_a_single_answer_of_an_upstream_that_was_away_ends_nothing():
    task = ask(registered(DONE), NOT_KNOWN, now_s=MUSIC_IS_KNOWN_S + 100)
    assert not task.settlement.settled
    task = ask(task, NOT_KNOWN)
    assert not task.settlement.settled
    assert ask(task, NOT_KNOWN).settlement.outcome is SUCCEEDED


def test_polls_that_a_person_asks_for_end_nothing_earlier():
    task = registered(DONE)
    for second in range(61, 71):
        task = ask(request_poll(task, now=at(second)), NOT_KNOWN, now_s=second)
    assert not task.settlement.settled


def test_the_age_counts_from_the_registration():
    orphan = on_callback(Task(task_id=TASK_ID, first_seen_at=T0), None, now=T0, rules=RULES)
    task = register(orphan, label=None, now=at(5000), rules=RULES)
    task = poll_on(on_callback(task, DONE, now=at(5060), rules=RULES), until_s=5000 + MUSIC_IS_KNOWN_S - 1)
    assert not task.settlement.settled
    assert poll_on(task, until_s=5000 + MUSIC_IS_KNOWN_S).settlement.outcome is SUCCEEDED


def test_a_shorter_time_until_giving_up_counts():
    by = rules(give_up_after_s=200)
    task = poll_on(registered(DONE, by=by), by=by)
    assert (task.settlement.outcome, task.settled_at, task.next_poll_at) == (SUCCEEDED, at(200), None)


def test_what_record_info_knows_as_music_is_polled_on_as_music():
    polled = ask(registered(DONE), poll("PENDING"))
    assert (polled.settlement.settled, polled.urgent) == (False, False)
    assert polled.next_poll_at
    assert polled.next_poll_at > at(60)
    assert ask(polled, MUSIC).settlement.outcome is SUCCEEDED


@pytest.mark.parametrize("early", [True, False], ids=["early", "at the deadline"])
def test_music_that_is_reported_after_it_ended_is_asked_about_again(early):
    ended = poll_on(registered(DONE), until_s=MUSIC_IS_KNOWN_S if early else DAY_S)
    assert ended.settlement.settled
    later = MUSIC_IS_KNOWN_S + 50 if early else DAY_S + 50
    music = on_callback(ended, callback("FIRST_SUCCESS", ready("a")), now=at(later), rules=RULES)
    assert (music.settlement.outcome, music.gave_up_at) == (IN_PROGRESS, None)
    assert music.next_poll_at is not None
    assert poll_on(music, known_from_s=later).state.confirmed
    assert poll_on(music).settlement.outcome is SUCCEEDED, "by what is believed of it"
    text = on_callback(ended, callback("TEXT_SUCCESS"), now=at(later), rules=RULES)
    assert poll_on(text).problem == "unresolved"


def test_another_claim_about_what_ended_costs_one_poll_and_changes_no_end():
    ended = poll_on(registered(DONE), until_s=MUSIC_IS_KNOWN_S)
    again = on_callback(ended, BROKEN, now=at(700), rules=RULES)
    assert (again.settlement.outcome, again.next_poll_at) == (SUCCEEDED, at(700))
    polled = ask(again, NOT_KNOWN)
    assert (polled.settlement.outcome, polled.next_poll_at) == (SUCCEEDED, at(DAY_S))


@pytest.mark.parametrize("confirm", Confirm)
def test_without_a_claim_a_task_that_record_info_does_not_know_waits_for_the_deadline(confirm):
    by = rules(Policy(confirm=confirm))
    task = poll_on(registered(by=by), by=by)
    assert (task.settlement.outcome, task.settled_at, task.problem) == (UNRESOLVED, at(DAY_S), "unresolved")


def orphan(*observations: Observation) -> Task:
    task = Task(task_id=TASK_ID, first_seen_at=T0)
    for observation in observations:
        task = on_callback(task, observation, now=T0, rules=RULES)
    return give_up(task, now=at(1), rules=RULES)


def test_a_failure_of_what_nobody_registered_and_record_info_never_knew_ends_quietly():
    ended = orphan(callback("GENERATE_AUDIO_FAILED", errorCode=501))
    assert (ended.settlement.outcome, ended.problem, ended.settlement.lost_callback) == (
        UNRESOLVED,
        None,
        False,
    )


def test_any_other_unresolved_task_is_still_a_problem():
    assert orphan(callback("SUCCESS", ready("a"))).problem
    assert orphan(callback("FIRST_SUCCESS")).problem
    assert orphan().problem
    failed = on_callback(registered(), callback("GENERATE_AUDIO_FAILED"), now=at(1), rules=RULES)
    assert give_up(failed, now=at(1), rules=RULES).problem
