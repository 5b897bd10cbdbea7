"""A task that a callback says is another product's: it ends when record-info does not know it, and never else."""

from datetime import timedelta
from itertools import permutations

import pytest

from receiver.core.cadence import Cadence
from receiver.core.observation import Observation, OtherJob, Source
from receiver.core.settlement import Outcome
from receiver.core.state_document import dump_state, load_state
from receiver.core.task import Rules, Task, answer, give_up, hear, register
from tests.conftest import T0

from .told import ALWAYS, NEVER, SUSPECT, TASK_ID, WITHOUT_KEY, callback, knowing, poll, ready, verdict_on

DONE = Observation(task_id=TASK_ID, source=Source.CALLBACK, other_job=OtherJob.SUCCEEDED)
BROKEN = Observation(task_id=TASK_ID, source=Source.CALLBACK, other_job=OtherJob.FAILED)
NOT_KNOWN = Observation(task_id=TASK_ID, source=Source.POLL, known=False)
MUSIC = poll("SUCCESS", ready("a"))

IN_PROGRESS, SUCCEEDED, FAILED, UNRESOLVED = Outcome
# What was told, and the outcome in whatever order it came.
ENDS = [
    ((DONE,), IN_PROGRESS),
    ((NOT_KNOWN,), IN_PROGRESS),
    ((DONE, NOT_KNOWN), SUCCEEDED),
    ((BROKEN, NOT_KNOWN), FAILED),
    ((DONE, BROKEN, NOT_KNOWN), SUCCEEDED),
    ((DONE, poll("PENDING")), IN_PROGRESS),
    ((DONE, NOT_KNOWN, poll("PENDING")), IN_PROGRESS),
    ((DONE, NOT_KNOWN, callback("TEXT_SUCCESS")), IN_PROGRESS),
    ((BROKEN, NOT_KNOWN, callback("", ready("a"))), IN_PROGRESS),
    ((DONE, NOT_KNOWN, MUSIC), SUCCEEDED),
    ((BROKEN, NOT_KNOWN, MUSIC), SUCCEEDED),
    ((DONE, NOT_KNOWN, poll("SENSITIVE_WORD_ERROR")), FAILED),
]


@pytest.mark.parametrize(("told", "outcome"), ENDS)
def test_in_any_order_it_ends_only_when_record_info_does_not_know_it(told, outcome):
    for order in permutations(told):
        for policy in (SUSPECT, ALWAYS):
            assert verdict_on(*order, policy=policy).outcome is outcome
        assert dump_state(knowing(*order)) == dump_state(knowing(*told))
        assert load_state(dump_state(knowing(*order))) == knowing(*told)


def test_its_end_is_no_lost_callback_and_no_recovered_music():
    verdict = verdict_on(DONE, NOT_KNOWN)
    assert (verdict.lost_callback, verdict.recovered, verdict.urgent) == (False, False, False)
    assert verdict_on(DONE, NOT_KNOWN, MUSIC).lost_callback, "music that no callback told of"


def test_where_nobody_can_be_asked_the_callback_is_believed():
    for policy in (NEVER, WITHOUT_KEY):
        assert verdict_on(DONE, policy=policy).outcome is SUCCEEDED
        assert verdict_on(BROKEN, policy=policy).outcome is FAILED


RULES = Rules(policy=SUSPECT, cadence=Cadence())
LATER = T0 + timedelta(seconds=1)


def registered() -> Task:
    return register(Task(task_id=TASK_ID, first_seen_at=T0), label=None, now=T0, rules=RULES)


def ask(task: Task, seen: Observation) -> Task:
    return answer(task, seen, now=LATER, spread=0.0, rules=RULES)


def test_it_is_counted_and_asked_about_once_at_once():
    heard = hear(registered(), DONE, now=LATER, rules=RULES)
    assert (heard.callbacks, heard.next_poll_at) == (1, LATER)
    ended = ask(heard, NOT_KNOWN)
    assert (ended.verdict.outcome, ended.next_poll_at, ended.polls, ended.problem) == (
        SUCCEEDED,
        None,
        1,
        None,
    )
    again = hear(ended, BROKEN, now=LATER, rules=RULES)
    assert (again.verdict.settled, again.next_poll_at) == (True, None)


def test_what_record_info_knows_as_music_is_polled_on_as_music():
    heard = hear(registered(), DONE, now=LATER, rules=RULES)
    asked = ask(heard, poll("PENDING"))
    assert (asked.verdict.settled, asked.verdict.urgent) == (False, False)
    assert asked.next_poll_at > LATER
    assert ask(asked, MUSIC).verdict.outcome is SUCCEEDED


def test_music_that_is_told_of_after_it_ended_is_asked_about_again():
    ended = ask(hear(registered(), BROKEN, now=LATER, rules=RULES), NOT_KNOWN)
    told = hear(ended, callback("FIRST_SUCCESS", ready("a")), now=LATER, rules=RULES)
    assert (told.verdict.outcome, told.next_poll_at is not None) == (IN_PROGRESS, True)


def orphan(*told: Observation) -> Task:
    task = Task(task_id=TASK_ID, first_seen_at=T0)
    for seen in told:
        task = hear(task, seen, now=T0, rules=RULES)
    return give_up(task, now=LATER, rules=RULES)


def test_a_failure_of_what_nobody_registered_and_record_info_never_knew_ends_quietly():
    ended = orphan(callback("GENERATE_AUDIO_FAILED", errorCode=501))
    assert (ended.verdict.outcome, ended.problem, ended.verdict.lost_callback) == (UNRESOLVED, None, False)


def test_any_other_unresolved_task_is_still_a_problem():
    assert orphan(callback("SUCCESS", ready("a"))).problem
    assert orphan(callback("FIRST_SUCCESS")).problem
    assert orphan().problem
    failed = hear(registered(), callback("GENERATE_AUDIO_FAILED"), now=LATER, rules=RULES)
    assert give_up(failed, now=LATER, rules=RULES).problem
