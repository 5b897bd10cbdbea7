"""When a task is settled, and how it ended."""

import pytest

from receiver.core.settlement import Confirm, Outcome, Policy

from .builders import (
    ALWAYS,
    FAILURES,
    NEVER,
    POLICIES,
    SUSPECT,
    WITHOUT_KEY,
    callback,
    is_urgent_after,
    outcome_of,
    poll,
    ready,
    settlement_of,
    started,
    state_after,
)

IN_PROGRESS, SUCCEEDED, FAILED, UNRESOLVED = Outcome

CLAIMED_SUCCESS = callback("SUCCESS", ready("a"), ready("b"))
CLAIMED_FAILURE = callback("FAILED", errorCode=501)
CONFIRMED_SUCCESS = poll("SUCCESS", ready("a"), ready("b"))
CONFIRMED_FAILURE = poll("SENSITIVE_WORD_ERROR")


def test_without_word_from_anybody_a_policy_asks_for_suspects_and_has_a_key():
    assert Policy() == SUSPECT == Policy(confirm=Confirm.SUSPECT, can_confirm=True)


# One row for each end that can be reported: the outcome under never, suspect, always, and without a key.
ENDS = {
    "nothing": ((), IN_PROGRESS, IN_PROGRESS, IN_PROGRESS, IN_PROGRESS),
    "claimed success": ((CLAIMED_SUCCESS,), SUCCEEDED, SUCCEEDED, IN_PROGRESS, SUCCEEDED),
    "claimed failure": ((CLAIMED_FAILURE,), FAILED, IN_PROGRESS, IN_PROGRESS, FAILED),
    "confirmed success": ((CONFIRMED_SUCCESS,), SUCCEEDED, SUCCEEDED, SUCCEEDED, SUCCEEDED),
    "confirmed failure": ((CONFIRMED_FAILURE,), FAILED, FAILED, FAILED, FAILED),
    "claims that contradict": (
        (CLAIMED_SUCCESS, CLAIMED_FAILURE),
        SUCCEEDED,
        IN_PROGRESS,
        IN_PROGRESS,
        SUCCEEDED,
    ),
    "success against a confirmed failure": (
        (CLAIMED_SUCCESS, CONFIRMED_FAILURE),
        FAILED,
        FAILED,
        FAILED,
        FAILED,
    ),
    "failure against a confirmed success": (
        (CLAIMED_FAILURE, CONFIRMED_SUCCESS),
        SUCCEEDED,
        SUCCEEDED,
        SUCCEEDED,
        SUCCEEDED,
    ),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("place", range(4), ids=["never", "suspect", "always", "without a key"])
def test_an_end_settles_a_registered_task_as_the_policy_asks(end, place):
    observations, *outcomes = ENDS[end]
    assert outcome_of(*observations, policy=(NEVER, SUSPECT, ALWAYS, WITHOUT_KEY)[place]) is outcomes[place]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("word", ["", "MYSTERY", "PENDING", "TEXT_SUCCESS", "FIRST_SUCCESS"])
def test_a_stage_before_the_end_never_settles_even_with_every_track_playable(policy, word):
    assert outcome_of(callback(word, ready("a")), poll(word, ready("a")), policy=policy) is IN_PROGRESS


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("tracks", [(), (started("a"),), (ready("a"), started("b"))])
def test_success_without_every_track_playable_is_not_settled(policy, tracks):
    settlement = settlement_of(poll("SUCCESS", *tracks), policy=policy)
    assert settlement.outcome is IN_PROGRESS
    assert is_urgent_after(poll("SUCCESS", *tracks), policy=policy)


@pytest.mark.parametrize("failure", FAILURES)
def test_every_confirmed_failure_settles_the_task_as_failed(failure):
    assert outcome_of(poll(failure)) is FAILED


def test_a_confirmed_failure_stays_failed_though_tracks_can_be_played():
    assert outcome_of(poll("FIRST_SUCCESS", ready("a")), poll("FAILED")) is FAILED


def test_callback_exception_with_every_track_playable_is_success_at_once_under_every_policy():
    for policy in POLICIES:
        settlement = settlement_of(poll("CALLBACK_EXCEPTION", ready("a"), ready("b")), policy=policy)
        assert settlement.outcome is SUCCEEDED
        assert settlement.recovered
        assert settlement.lost_callback


def test_callback_exception_without_tracks_is_neither_a_failure_nor_settled():
    settlement = settlement_of(poll("CALLBACK_EXCEPTION"))
    assert settlement.outcome is IN_PROGRESS
    assert is_urgent_after(poll("CALLBACK_EXCEPTION"))


# Orphans


@pytest.mark.parametrize("end", [CLAIMED_SUCCESS, CLAIMED_FAILURE])
def test_an_orphan_is_confirmed_before_it_settles(end):
    for policy in (SUSPECT, ALWAYS):
        settlement = settlement_of(end, policy=policy, registered=False)
        assert settlement.outcome is IN_PROGRESS
        assert is_urgent_after(end, policy=policy, registered=False)


def test_an_orphan_settles_on_its_claims_under_never_and_without_a_key():
    for policy in (NEVER, WITHOUT_KEY):
        assert outcome_of(CLAIMED_SUCCESS, policy=policy, registered=False) is SUCCEEDED
        assert outcome_of(CLAIMED_FAILURE, policy=policy, registered=False) is FAILED


def test_a_confirmed_orphan_settles():
    assert outcome_of(CLAIMED_SUCCESS, CONFIRMED_SUCCESS, registered=False) is SUCCEEDED
    assert outcome_of(CONFIRMED_FAILURE, registered=False) is FAILED


# Recovered, and lost callbacks


def test_a_success_that_no_callback_ever_claimed_is_recovered_and_its_callback_lost():
    settlement = settlement_of(callback("FIRST_SUCCESS", ready("a")), CONFIRMED_SUCCESS)
    assert settlement.recovered
    assert settlement.lost_callback


def test_a_success_after_a_false_failure_is_recovered_though_no_callback_was_lost():
    settlement = settlement_of(CLAIMED_FAILURE, CONFIRMED_SUCCESS)
    assert settlement.recovered
    assert not settlement.lost_callback


def test_a_success_that_a_callback_claimed_is_not_recovered_whoever_spoke_first():
    for observations in ((CLAIMED_SUCCESS, CONFIRMED_SUCCESS), (CONFIRMED_SUCCESS, CLAIMED_SUCCESS)):
        settlement = settlement_of(*observations)
        assert not settlement.recovered
        assert not settlement.lost_callback


def test_a_failure_is_never_recovered_but_its_callback_can_be_lost():
    assert not settlement_of(CONFIRMED_FAILURE).recovered
    assert settlement_of(CONFIRMED_FAILURE).lost_callback
    assert not settlement_of(CONFIRMED_FAILURE, CLAIMED_FAILURE).lost_callback


def test_an_unsettled_task_has_lost_no_callback_yet():
    assert not settlement_of(callback("PENDING")).lost_callback
    assert not settlement_of(callback("PENDING")).recovered


# Giving up


@pytest.mark.parametrize(
    ("observations", "outcome"),
    [
        ((), UNRESOLVED),
        ((callback("PENDING"),), UNRESOLVED),
        ((poll("MYSTERY"),), UNRESOLVED),
        ((poll("SUCCESS"),), UNRESOLVED),
        ((poll("CALLBACK_EXCEPTION"),), UNRESOLVED),
        ((poll("CALLBACK_EXCEPTION", ready("a"), started("b")),), SUCCEEDED),
        ((poll("FIRST_SUCCESS", ready("a"), started("b")),), SUCCEEDED),
        ((poll("FAILED"), poll("SUCCESS")), FAILED),
    ],
)
def test_a_task_given_up_settles_by_what_record_info_reported(observations, outcome):
    for policy in POLICIES:
        for registered in (True, False):
            assert outcome_of(*observations, policy=policy, registered=registered, gave_up=True) is outcome


OTHER_URL = callback("FIRST_SUCCESS", started("a", audioUrl="https://elsewhere.example/a.mp3"))
# How a task ends that is given up with nothing but claims: registered under never, suspect, always, without a
# key; then an orphan under the same.
CLAIMED_ENDS = {
    "a success": (
        (CLAIMED_SUCCESS,),
        (SUCCEEDED, SUCCEEDED, UNRESOLVED, SUCCEEDED),
        (SUCCEEDED, UNRESOLVED, UNRESOLVED, SUCCEEDED),
    ),
    "a failure": (
        (CLAIMED_FAILURE,),
        (FAILED, UNRESOLVED, UNRESOLVED, FAILED),
        (FAILED, UNRESOLVED, UNRESOLVED, FAILED),
    ),
    "a track": (
        (callback("FIRST_SUCCESS", ready("a")),),
        (SUCCEEDED, SUCCEEDED, UNRESOLVED, SUCCEEDED),
        (SUCCEEDED, UNRESOLVED, UNRESOLVED, SUCCEEDED),
    ),
    "a track beside a pending answer": (
        (callback("TEXT_SUCCESS", ready("a")), poll("PENDING")),
        (SUCCEEDED, SUCCEEDED, UNRESOLVED, SUCCEEDED),
        (SUCCEEDED, UNRESOLVED, UNRESOLVED, SUCCEEDED),
    ),
    "a track and a failure": (
        (CLAIMED_FAILURE, callback("FIRST_SUCCESS", ready("a"))),
        (FAILED, SUCCEEDED, UNRESOLVED, FAILED),
        (FAILED, UNRESOLVED, UNRESOLVED, FAILED),
    ),
    "a success and a failure": (
        (CLAIMED_FAILURE, CLAIMED_SUCCESS),
        (SUCCEEDED, UNRESOLVED, UNRESOLVED, SUCCEEDED),
        (SUCCEEDED, UNRESOLVED, UNRESOLVED, SUCCEEDED),
    ),
    "a success without tracks after a failure": (
        (CLAIMED_FAILURE, callback("SUCCESS")),
        (FAILED, UNRESOLVED, UNRESOLVED, FAILED),
        (FAILED, UNRESOLVED, UNRESOLVED, FAILED),
    ),
    "a disputed track": (
        (callback("FIRST_SUCCESS", ready("a")), OTHER_URL),
        (SUCCEEDED, UNRESOLVED, UNRESOLVED, SUCCEEDED),
        (SUCCEEDED, UNRESOLVED, UNRESOLVED, SUCCEEDED),
    ),
}


@pytest.mark.parametrize("case", CLAIMED_ENDS)
@pytest.mark.parametrize("place", range(4), ids=["never", "suspect", "always", "without a key"])
def test_giving_up_turns_no_claim_into_an_end_that_had_to_be_confirmed(case, place):
    observations, registered, orphan = CLAIMED_ENDS[case]
    policy = (NEVER, SUSPECT, ALWAYS, WITHOUT_KEY)[place]
    assert outcome_of(*observations, policy=policy, gave_up=True) is registered[place]
    assert outcome_of(*observations, policy=policy, registered=False, gave_up=True) is orphan[place]


def test_music_that_is_only_claimed_is_not_recovered():
    claim = callback("TEXT_SUCCESS", ready("a"))
    assert settlement_of(claim, gave_up=True).outcome is SUCCEEDED
    assert not settlement_of(claim, gave_up=True).recovered
    assert settlement_of(claim, poll("FIRST_SUCCESS", ready("a")), gave_up=True).recovered


# Contradictions between callbacks

DISPUTES = {
    "another audio": callback("SUCCESS", started("a", audioUrl="https://z.example/a.mp3"), ready("b")),
    "another audio, claimed earlier": callback(
        "TEXT_SUCCESS", started("a", audioUrl="https://z.example/a.mp3")
    ),
    "another lesser audio": callback("SUCCESS", started("a", audioUrl="http://0.example/a.mp3"), ready("b")),
    "another title": callback("SUCCESS", ready("a", title="Zzz"), ready("b")),
    "one more link": callback("SUCCESS", ready("a", sourceImageUrl="https://z.example/1"), ready("b")),
    "one more track": callback("SUCCESS", ready("a"), ready("b"), ready("c")),
    "one more track, claimed earlier": callback("FIRST_SUCCESS", ready("c")),
    "one track less": callback("SUCCESS", ready("a")),
    "a failure": CLAIMED_FAILURE,
}


@pytest.mark.parametrize("case", DISPUTES)
def test_claims_that_contradict_a_claimed_success_unsettle_it_until_record_info_decides(case):
    for observations in ((CLAIMED_SUCCESS, DISPUTES[case]), (DISPUTES[case], CLAIMED_SUCCESS)):
        settlement = settlement_of(*observations)
        assert (settlement.outcome, is_urgent_after(*observations)) == (IN_PROGRESS, True)
        assert settlement_of(*observations, CONFIRMED_SUCCESS).outcome is SUCCEEDED
        for policy in (NEVER, WITHOUT_KEY):
            assert outcome_of(*observations, policy=policy) is SUCCEEDED


@pytest.mark.parametrize(
    "observations",
    [
        (callback("TEXT_SUCCESS", started("a"), started("b")), CLAIMED_SUCCESS),
        (callback("FIRST_SUCCESS", ready("a", title="T"), started("b")), CLAIMED_SUCCESS),
        (CLAIMED_SUCCESS, CLAIMED_SUCCESS),
        (callback("FIRST_SUCCESS", ready("#0")), CLAIMED_SUCCESS),
        (poll("FIRST_SUCCESS", ready("a", title="T"), started("c")), callback("SUCCESS", ready("a"))),
    ],
)
def test_stages_that_add_to_each_other_do_not_contradict(observations):
    assert not state_after(*observations).disputed


@pytest.mark.parametrize(
    ("news", "outcome"),
    [
        (CONFIRMED_SUCCESS, SUCCEEDED),
        (CLAIMED_SUCCESS, SUCCEEDED),
        (CONFIRMED_FAILURE, FAILED),
        (CLAIMED_FAILURE, UNRESOLVED),
        (callback("FIRST_SUCCESS", ready("a")), SUCCEEDED),
        (poll("PENDING"), UNRESOLVED),
    ],
)
def test_unresolved_can_become_anything(news, outcome):
    assert outcome_of(poll("PENDING"), gave_up=True) is UNRESOLVED
    assert outcome_of(poll("PENDING"), news, gave_up=True) is outcome


def test_failed_becomes_succeeded_by_a_confirmed_success():
    for policy in POLICIES:
        assert outcome_of(CONFIRMED_FAILURE, CONFIRMED_SUCCESS, policy=policy) is SUCCEEDED


@pytest.mark.parametrize("gave_up", [False, True])
def test_a_claimed_success_does_not_beat_a_confirmed_failure(gave_up):
    for policy in POLICIES:
        settlement = settlement_of(CONFIRMED_FAILURE, CLAIMED_SUCCESS, policy=policy, gave_up=gave_up)
        assert settlement.outcome is FAILED


# Urgency


@pytest.mark.parametrize(
    "observations",
    [
        (CLAIMED_FAILURE,),
        (callback("SUCCESS"),),
        (callback("SUCCESS", started("a")),),
        (callback("CALLBACK_EXCEPTION"),),
        (CLAIMED_SUCCESS, CLAIMED_FAILURE),
    ],
)
def test_a_reason_to_ask_record_info_at_once_is_urgent(observations):
    assert is_urgent_after(*observations)


@pytest.mark.parametrize("word", ["", "MYSTERY", "PENDING", "TEXT_SUCCESS", "FIRST_SUCCESS"])
def test_a_stage_before_the_end_is_not_urgent(word):
    assert not is_urgent_after(callback(word, ready("a")))


def test_a_claimed_success_is_urgent_where_it_must_be_confirmed():
    assert is_urgent_after(CLAIMED_SUCCESS, policy=ALWAYS)


def test_no_claim_takes_a_recovered_task_apart_again():
    recovered = (poll("FIRST_SUCCESS", ready("a")), poll("CALLBACK_EXCEPTION"))
    assert outcome_of(*recovered) is Outcome.SUCCEEDED
    for claim in (callback("GENERATE_AUDIO_FAILED"), callback("TEXT_SUCCESS", started("b"))):
        for policy in POLICIES:
            assert outcome_of(*recovered, claim, policy=policy) is Outcome.SUCCEEDED


def test_no_claim_takes_a_confirmed_success_apart_that_listed_no_rows():
    confirmed = (poll("SUCCESS"), poll("FIRST_SUCCESS", ready("a")))
    assert outcome_of(*confirmed, callback("", started("b"))) is Outcome.SUCCEEDED


def test_a_callback_exception_reported_by_a_callback_is_no_success_it_claimed():
    assert settlement_of(callback("CALLBACK_EXCEPTION", ready("a"))).recovered
