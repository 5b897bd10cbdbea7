"""How much a task's claims may take, and that what record-info tells always fits."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.core.claim_bounds import (
    MAX_CLAIMED_BYTES,
    MAX_CLAIMED_TRACKS,
    claimed_size,
    claimed_tracks,
    exceeds_claim_limits,
    has_confirmed,
)
from receiver.core.observation import Observation, Source, Track
from receiver.core.reconciliation import TaskState, reconcile
from receiver.core.state_json import dump_state, load_state

LAWS = settings(max_examples=15, deadline=None, derandomize=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TRACKS = st.builds(
    lambda key, title, more: Track(key=key, fields={"id": key, "title": title, **more}),
    TEXTS,
    TEXTS,
    st.dictionaries(st.sampled_from(["tags", "prompt", "duration"]), TEXTS | st.floats(0, 9), max_size=3),
)
TOLD = st.lists(
    st.builds(
        lambda source, tracks: Observation(
            task_id="t", source=source, status="SUCCESS", tracks=tuple(tracks)
        ),
        st.sampled_from(Source),
        st.lists(TRACKS, max_size=4),
    ),
    max_size=5,
)


def observation_of(source: Source, count: int, *, size: int = 5000, first: int = 0) -> Observation:
    tracks = [
        Track(key=f"{n}", fields={"id": f"{n}", "prompt": "ж" * (size // 2)})
        for n in range(first, first + count)
    ]
    return Observation(task_id="t", source=source, status="SUCCESS", tracks=tuple(tracks))


def callback(count: int, **more: int) -> Observation:
    return observation_of(Source.CALLBACK, count, **more)


def poll(count: int, **more: int) -> Observation:
    return observation_of(Source.POLL, count, **more)


FULL = reconcile(TaskState(), callback(50, size=4980))


@pytest.mark.slow
@LAWS
@given(TOLD)
def test_the_size_is_about_what_the_stored_state_is_larger_by(observations):
    claimed = state = TaskState()
    for observation in observations:
        state = reconcile(state, observation)
        if observation.source is Source.CALLBACK:
            claimed = reconcile(claimed, observation)
    assert claimed_size(claimed) <= len(dump_state(claimed).encode()) <= claimed_size(claimed) + 300
    assert claimed_size(state) <= claimed_size(claimed), "what record-info tells too is claimed no more"


@pytest.mark.parametrize("value", ["\x01" * 1000, '"' * 1000, "\\" * 1000, "ж" * 1000, "𝄞" * 1000])
def test_texts_that_are_longer_once_they_are_stored_count_for_that(value):
    observations = Observation(task_id="t", source=Source.CALLBACK, details={"param": value})
    assert claimed_size(TaskState.of(observations)) >= len(json.dumps(value, ensure_ascii=False).encode())


def test_claims_past_the_bound_are_too_much_whichever_way_they_came():
    assert not exceeds_claim_limits(TaskState(), callback(40))
    assert exceeds_claim_limits(TaskState(), callback(60))
    half = reconcile(TaskState(), callback(30))
    assert not exceeds_claim_limits(half, callback(10, first=30))
    assert exceeds_claim_limits(half, callback(30, first=30))


def test_tracks_past_the_bound_are_too_much_however_little_each_tells():
    most = reconcile(TaskState(), callback(MAX_CLAIMED_TRACKS, size=0))
    assert claimed_tracks(most) == MAX_CLAIMED_TRACKS
    assert exceeds_claim_limits(most, callback(1, size=0, first=999))
    assert not exceeds_claim_limits(most, callback(MAX_CLAIMED_TRACKS, size=2)), "more of the same tracks"
    assert not exceeds_claim_limits(most, poll(99, size=0, first=99))


def test_tracks_that_record_info_reported_are_no_claims_and_make_room():
    most = reconcile(TaskState(), callback(MAX_CLAIMED_TRACKS, size=0))
    confirmed = reconcile(most, poll(2, size=0))
    assert claimed_tracks(confirmed) == MAX_CLAIMED_TRACKS - 2
    assert not exceeds_claim_limits(confirmed, callback(2, size=0, first=500))
    assert exceeds_claim_limits(confirmed, callback(3, size=0, first=500))


def test_a_state_of_more_tracks_than_are_taken_now_takes_no_more_of_them():
    stored = load_state(dump_state(reconcile(TaskState(), callback(500, size=0))))
    assert len(stored.visible_tracks) == 500
    assert exceeds_claim_limits(stored, callback(1, size=0, first=500))
    assert not exceeds_claim_limits(stored, callback(32, size=2))


def test_what_adds_nothing_is_never_too_much():
    beyond = reconcile(FULL, callback(5, first=50))
    shown = Observation(task_id="t", source=Source.CALLBACK, status="TEXT_SUCCESS")
    assert claimed_size(beyond) > MAX_CLAIMED_BYTES
    assert not exceeds_claim_limits(beyond, callback(10, size=4980))
    assert not exceeds_claim_limits(beyond, shown)
    assert exceeds_claim_limits(beyond, callback(1, first=999))


def test_what_record_info_tells_always_fits_and_makes_room():
    assert not exceeds_claim_limits(FULL, poll(1000, first=50))
    assert exceeds_claim_limits(FULL, callback(20, first=500))
    confirmed = reconcile(FULL, poll(50, size=4980))
    assert claimed_size(confirmed) == 0
    assert not exceeds_claim_limits(confirmed, callback(20, first=500))


def test_a_task_is_confirmed_by_anything_that_record_info_tells():
    assert not has_confirmed(TaskState())
    assert not has_confirmed(FULL)
    assert has_confirmed(reconcile(FULL, poll(1)))
    pending = Observation(task_id="t", source=Source.POLL, status="PENDING", details={"param": "{}"})
    assert has_confirmed(reconcile(FULL, pending)), "though a claim of SUCCESS stands over its status"
