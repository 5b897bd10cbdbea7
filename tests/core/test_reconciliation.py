"""Reconciliation: what a state knows after callbacks and polls."""

import pytest

from receiver.core.observation import Status, Track
from receiver.core.reconciliation import TaskState, reconcile

from .builders import FAILURES, callback, poll, ready, started, state_after


def shown(state):
    """The tracks of a state as plain values, by key."""
    return {
        key: {name: claim.value for name, claim in claims.items()}
        for key, claims in state.visible_tracks.items()
    }


def value(state, name):
    return state.details[name].value


# Status


def test_nothing_known_is_no_status_and_nothing_to_play():
    state = TaskState()
    assert (state.status.word, state.status.confirmed) == ("", False)
    assert not state.playable and not state.count_playable() and not state.conflict


@pytest.mark.parametrize(
    ("word", "meaning"),
    [("GENERATING", "PENDING"), ("FAILED", "GENERATE_AUDIO_FAILED"), ("SUCCESS", "SUCCESS")],
)
def test_a_word_out_of_sample_code_reads_as_the_documented_status(word, meaning):
    assert state_after(poll(word)).status.word == meaning


def test_an_unknown_word_is_kept_and_shown():
    assert state_after(poll("MYSTERY")).status.word == "MYSTERY"


def test_an_unknown_word_is_replaced_by_any_documented_status():
    assert state_after(callback("PENDING"), poll("MYSTERY")).status.word == "PENDING"


def test_of_two_unknown_words_the_same_one_is_shown_whichever_came_first():
    a, b = poll("MYSTERY"), poll("ALIEN")
    assert state_after(a, b).status == state_after(b, a).status


def test_a_callback_without_a_claim_about_the_status_leaves_it():
    assert state_after(callback("PENDING"), callback("", ready("a"))).status.word == "PENDING"


def test_a_late_pending_poll_does_not_take_back_a_claimed_success():
    state = state_after(callback("SUCCESS", ready("a")), poll("PENDING"))
    assert state.status.word == "SUCCESS"
    assert not state.status.confirmed


def test_a_named_cause_is_shown_over_a_vague_failure():
    words = [poll(failure) for failure in FAILURES]
    assert state_after(*words).status.word == "SENSITIVE_WORD_ERROR"
    assert state_after(*words[:2]).status.word == "CREATE_TASK_FAILED"


def test_a_confirmed_vague_failure_is_shown_over_a_claimed_named_one():
    state = state_after(callback("SENSITIVE_WORD_ERROR"), poll("GENERATE_AUDIO_FAILED"))
    assert state.status.word == "GENERATE_AUDIO_FAILED"
    assert state.status.confirmed


# CALLBACK_EXCEPTION


def test_callback_exception_with_every_track_playable_is_success():
    status = state_after(poll("CALLBACK_EXCEPTION", ready("a"), ready("b"))).status
    assert (status.word, status.confirmed) == (Status.SUCCESS, True)


@pytest.mark.parametrize("tracks", [(), (started("a"),), (ready("a"), started("b"))])
def test_callback_exception_without_every_track_playable_stays_what_it_is(tracks):
    assert state_after(poll("CALLBACK_EXCEPTION", *tracks)).status.word == "CALLBACK_EXCEPTION"


def test_callback_exception_is_success_with_tracks_that_callbacks_reported_but_unconfirmed():
    observations = callback("FIRST_SUCCESS", ready("a")), poll("CALLBACK_EXCEPTION", started("a"))
    status = state_after(*observations).status
    assert (status.word, status.confirmed) == (Status.SUCCESS, False)


def test_callback_exception_is_not_success_while_one_track_reported_elsewhere_is_missing():
    observations = (
        callback("TEXT_SUCCESS", started("b")),
        callback("", ready("a")),
        poll("CALLBACK_EXCEPTION"),
    )
    assert state_after(*observations).status.word == "CALLBACK_EXCEPTION"


def test_callback_exception_with_tracks_wins_over_a_claimed_failure():
    status = state_after(callback("FAILED"), poll("CALLBACK_EXCEPTION", ready("a"))).status
    assert (status.word, status.confirmed) == (Status.SUCCESS, True)


# Tracks


def test_tracks_are_joined_by_id_and_field_by_field():
    state = state_after(
        callback("TEXT_SUCCESS", started("a", title="Song"), started("b", prompt="Words")),
        callback("FIRST_SUCCESS", ready("a", duration=12.5)),
    )
    assert shown(state) == {
        "id:a": {"id": "a", "title": "Song", "audioUrl": "https://cdn.example/a.mp3", "duration": 12.5},
        "id:b": {"id": "b", "prompt": "Words"},
    }


def test_a_track_named_twice_in_one_list_is_one_track():
    assert shown(state_after(callback("SUCCESS", ready("a", title="Song"), ready("a", tags="jazz")))) == {
        "id:a": {"id": "a", "title": "Song", "tags": "jazz", "audioUrl": "https://cdn.example/a.mp3"}
    }


def test_a_value_beats_none_even_when_none_was_confirmed_later():
    state = state_after(
        callback("FIRST_SUCCESS", ready("a", title="Song")), poll("FIRST_SUCCESS", started("a"))
    )
    assert shown(state)["id:a"]["audioUrl"] == "https://cdn.example/a.mp3"
    listed = reconcile(state, poll("SUCCESS", started("a")))
    assert shown(listed)["id:a"] == {"id": "a", "title": "Song"}


def test_a_title_that_record_info_never_reported_is_shown_and_a_url_that_it_never_reported_is_not():
    claim = callback("SUCCESS", ready("a", title="Song", imageUrl="https://elsewhere.example/x.jpeg"))
    state = state_after(claim, poll("SUCCESS", ready("a")))
    assert shown(state)["id:a"] == {"id": "a", "title": "Song", "audioUrl": "https://cdn.example/a.mp3"}


def test_a_confirmed_value_beats_a_claimed_one_of_a_later_stage():
    observations = (
        poll("FIRST_SUCCESS", started("a", title="True")),
        callback("SUCCESS", started("a", title="Zzz")),
    )
    assert shown(state_after(*observations))["id:a"]["title"] == "True"


def test_a_later_stage_beats_an_earlier_one():
    observations = poll("SUCCESS", started("a", title="Aaa")), poll("TEXT_SUCCESS", started("a", title="Zzz"))
    assert shown(state_after(*observations))["id:a"]["title"] == "Aaa"


def test_within_one_stage_the_value_itself_decides():
    first, other = (poll("SUCCESS", started("a", title=title)) for title in ("Aaa", "Zzz"))
    assert (
        shown(state_after(first, other))
        == shown(state_after(other, first))
        == {"id:a": {"id": "a", "title": "Zzz"}}
    )


def test_rows_without_an_id_stand_in_until_a_row_with_one_is_known():
    claimed = state_after(callback("SUCCESS", ready("#0"), ready("#1")))
    assert set(shown(claimed)) == {"#0", "#1"}
    assert set(shown(reconcile(claimed, poll("SUCCESS", ready("a"), ready("b"))))) == {"id:a", "id:b"}


def test_a_row_without_an_id_and_without_audio_does_not_keep_known_tracks_from_being_playable():
    assert state_after(callback("TEXT_SUCCESS", started("#0")), callback("SUCCESS", ready("a"))).playable


def test_every_track_must_have_audio_to_be_playable_and_one_suffices_for_some():
    state = state_after(poll("SUCCESS", ready("a"), started("b")))
    assert not state.playable
    assert state.count_playable() == 1


SOURCES = {
    "https://cdn1.suno.ai/x.mp3": True,
    "https://cdn1.suno.ai/x.M4A?e=1#t": True,
    "https://cdn1.suno.ai/x.mp4": True,
    "https://audiopipe.suno.ai/?item_id=x.mp3": False,
    "https://musicfile.example/MzY": False,
    "https://cdn1.suno.ai/mp3": False,
    "https://cdn1.suno.ai/x.jpeg": False,
    "https://[": False,
}


@pytest.mark.parametrize(("url", "plays"), SOURCES.items())
def test_a_source_url_is_played_only_where_it_leads_to_a_file_and_a_stream_never(url, plays):
    row = Track(key="id:a", fields={"id": "a", "streamAudioUrl": "https://s/x.mp3", "sourceAudioUrl": url})
    state = state_after(poll("SUCCESS", row))
    assert state.playable is plays
    assert state.count_playable() == plays


def test_a_stray_row_does_not_take_apart_what_record_info_listed_as_complete():
    assert state_after(poll("SUCCESS", ready("a")), callback("TEXT_SUCCESS", started("stray"))).playable


def test_a_stray_playable_row_does_not_make_an_incomplete_answer_complete():
    assert not state_after(poll("SUCCESS", started("a")), callback("SUCCESS", ready("stray"))).playable


def test_what_record_info_listed_does_not_become_playable_by_a_url_that_a_callback_claimed():
    assert not state_after(poll("SUCCESS", started("a")), callback("FIRST_SUCCESS", ready("a"))).playable


# Error, param, type, operationType, parentMusicId


def test_details_follow_the_rule_of_tracks():
    state = state_after(
        callback("FAILED", errorCode=501, errorMessage="claimed"),
        poll("PENDING", type="chirp-v4", operationType="underpainting", errorMessage="no failure"),
        poll("FAILED", errorCode=413, errorMessage="late", parentMusicId="p", param="{}"),
    )
    expected = {
        "type": "chirp-v4",
        "operationType": "underpainting",
        "parentMusicId": "p",
        "param": "{}",
        "errorCode": 413,
        "errorMessage": "late",
    }
    assert {name: claim.value for name, claim in state.details.items()} == expected


ERRORS = {
    "a claimed failure shows its own": ((callback("FAILED", errorCode=531),), 531),
    "a confirmed failure shows its own": (
        (callback("FAILED", errorCode=531), poll("FAILED", errorCode=413)),
        413,
    ),
    "a confirmed failure shows no claimed one": ((callback("FAILED", errorCode=531), poll("FAILED")), None),
    "a success shows none": ((callback("FAILED", errorCode=531), poll("SUCCESS", ready("a"))), None),
    "a claimed success shows none": (
        (callback("FAILED", errorCode=531), callback("SUCCESS", ready("a"))),
        None,
    ),
    "what is under way shows none": ((poll("PENDING", errorCode=531),), None),
    "a callback exception shows none": ((poll("CALLBACK_EXCEPTION", errorCode=531),), None),
    "a named failure shows its own": (
        (poll("FAILED", errorCode=999), poll("SENSITIVE_WORD_ERROR", errorCode=400)),
        400,
    ),
    "a named failure shows none of a vague one": (
        (poll("FAILED", errorCode=999), poll("SENSITIVE_WORD_ERROR")),
        None,
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_is_shown_only_with_the_status_that_it_came_with(case):
    observations, expected = ERRORS[case]
    for order in (observations, observations[::-1]):
        claim = state_after(*order).visible_details.get("errorCode")
        assert (claim and claim.value) == expected


def test_an_error_that_is_not_shown_is_known_all_the_same():
    assert (
        value(state_after(callback("FAILED", errorCode=531), poll("SUCCESS", ready("a"))), "errorCode") == 531
    )


def test_a_detail_that_is_a_word_and_one_that_is_a_number_can_be_reported_of_one_task():
    first, other = poll("FAILED", errorCode="sensitive"), poll("FAILED", errorCode=400)
    assert state_after(first, other) == state_after(other, first)


# Conflict


@pytest.mark.parametrize(
    "observations",
    [
        (callback("FAILED"), callback("SUCCESS", ready("a"))),
        (callback("FAILED"), poll("SUCCESS", ready("a"))),
        (callback("SUCCESS", ready("a")), poll("SENSITIVE_WORD_ERROR")),
        (callback("FAILED"), poll("CALLBACK_EXCEPTION", ready("a"))),
    ],
)
def test_a_failure_and_a_success_both_reported_are_a_conflict_that_stays(observations):
    for state in (
        state_after(*observations),
        state_after(*reversed(observations)),
        state_after(*observations, poll("SUCCESS", ready("a"))),
    ):
        assert state.conflict


@pytest.mark.parametrize(
    "observations",
    [
        (callback("FAILED"), poll("SENSITIVE_WORD_ERROR")),
        (callback("FIRST_SUCCESS", ready("a")), poll("FAILED")),
        (callback("SUCCESS", ready("a")), poll("SUCCESS", ready("a"))),
        (poll("CALLBACK_EXCEPTION"), poll("FAILED")),
    ],
)
def test_two_ends_of_one_kind_or_an_unfinished_stage_are_no_conflict(observations):
    assert not state_after(*observations).conflict
