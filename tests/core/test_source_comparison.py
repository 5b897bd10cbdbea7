"""What callbacks said, what record-info said, and what is stored."""

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.core.observation import DETAIL_FIELDS, TRACK_FIELDS
from receiver.core.reconciliation import TaskState, join
from receiver.core.source_comparison import by_track, compare

from .builders import callback, poll, ready, started, state_after

NOTHING = TaskState()
TOLD = st.builds(
    lambda say, word, rows, detail: say(word, *rows, **detail),
    st.sampled_from((callback, poll)),
    st.sampled_from(("", "PENDING", "SUCCESS", "FAILED", "CALLBACK_EXCEPTION", "NEVER_HEARD_OF")),
    st.lists(
        st.builds(
            lambda make, name, title: make(name, title=title),
            st.sampled_from((ready, started)),
            st.sampled_from(("a", "b", "#0", "#1")),
            st.sampled_from(("Tides", "Ebb")),
        ),
        max_size=3,
    ),
    st.dictionaries(
        st.sampled_from(("errorCode", "errorMessage")), st.sampled_from((501, "501", "no")), max_size=2
    ),
)


def compared(*observations):
    callbacks = state_after(
        *(observation for observation in observations if observation.source == "callback")
    )
    polls = state_after(*(observation for observation in observations if observation.source == "poll"))
    return compare(callbacks, polls, state_after(*observations))


def cells(rows):
    return {(row.track, row.name): (row.callback, row.record_info, row.stored) for row in rows}


def test_of_a_task_nobody_reported_there_is_nothing_to_compare():
    assert compared() == []


def test_each_field_shows_what_each_side_said_and_what_is_stored():
    rows = compared(
        callback("FIRST_SUCCESS", ready("a", title="Tides")),
        poll("FAILED", ready("a", title="Ebb"), errorCode=0),
    )
    known = cells(rows)
    assert known[None, "status"] == ("FIRST_SUCCESS", "GENERATE_AUDIO_FAILED", "GENERATE_AUDIO_FAILED")
    assert known["id:a", "title"] == ("Tides", "Ebb", "Ebb")
    assert known[None, "errorCode"] == (None, 0, 0)


def test_a_difference_is_two_values_that_are_not_the_same():
    rows = compared(callback("SUCCESS", ready("a", title="Tides")), poll("SUCCESS", ready("a", title="Ebb")))
    assert [(row.track, row.name) for row in rows if row.differs] == [("id:a", "title")]
    assert not [row for row in rows if row.has_single_source]


def test_what_one_side_never_reported_is_no_difference():
    rows = compared(callback("SUCCESS", ready("a", prompt="la")), poll("SUCCESS", ready("a")))
    assert [row.name for row in rows if row.has_single_source] == ["prompt"]
    assert not [row for row in rows if row.differs]


def test_nought_is_a_value_and_a_whole_number_is_the_same_however_it_is_written():
    rows = compared(
        callback("FAILED", ready("a", duration=0.0), errorCode=0), poll("FAILED", ready("a", duration=0))
    )
    assert cells(rows)["id:a", "duration"][:2] == (0.0, 0)
    assert not [row for row in rows if row.differs]
    assert [row.name for row in rows if row.has_single_source] == ["errorCode"]


def test_a_word_and_the_status_it_stands_for_are_the_same():
    rows = compared(callback("FAILED"), poll("GENERATE_AUDIO_FAILED"))
    assert not [row for row in rows if row.differs]


def test_what_only_the_store_still_knows_is_shown():
    stored = state_after(callback("SUCCESS", ready("a")))
    rows = compare(NOTHING, NOTHING, stored)
    assert cells(rows)[None, "status"] == (None, None, "SUCCESS")
    assert not [row for row in rows if row.differs or row.has_single_source]


def test_the_task_comes_first_then_its_tracks_those_stored_before_those_only_one_side_shows():
    groups = by_track(
        compared(callback("FIRST_SUCCESS", ready("#0")), poll("SUCCESS", ready("b"), ready("a")))
    )
    assert list(groups) == [None, "id:a", "id:b", "#0"]


@pytest.mark.slow
@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(TOLD, max_size=6))
def test_every_row_is_of_a_value_somebody_reported_and_each_place_has_one_row(observations):
    rows = compared(*observations)
    assert len(cells(rows)) == len(rows)
    assert [row for group in by_track(rows).values() for row in group] == rows
    for row in rows:
        assert row.name in ("status", *DETAIL_FIELDS, *TRACK_FIELDS)
        assert not (row.differs and row.has_single_source)
        if row.name != "status":
            assert row.stored in (None, row.callback, row.record_info)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(TOLD, max_size=6))
def test_no_field_that_is_shown_on_a_tasks_page_is_missing(observations):
    state = state_after(*observations)
    rows = cells(compared(*observations))
    for key, claims in state.visible_tracks.items():
        for name, claim in claims.items():
            assert rows[key, name][2] == claim.value


@pytest.mark.slow
@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(TOLD, max_size=5))
def test_exchanging_the_sides_exchanges_the_columns_and_nothing_else(observations):
    first, other = state_after(*observations[::2]), state_after(*observations[1::2])
    there, back = (
        cells(compare(first, other, join(first, other))),
        cells(compare(other, first, join(first, other))),
    )
    assert there == {place: (b, a, stored) for place, (a, b, stored) in back.items()}


@pytest.mark.slow
def test_comparing_takes_as_long_for_each_of_many_tracks_as_for_each_of_few():
    def cost_s(count):
        state = state_after(callback("SUCCESS", *(ready(f"{number}") for number in range(count))))
        started_s = time.process_time()
        compare(state, NOTHING, replace(state))
        return time.process_time() - started_s

    few_s, many_s = (min(cost_s(count) for _ in range(3)) for count in (100, 800))
    assert many_s < 24 * few_s, "eight times as many"
