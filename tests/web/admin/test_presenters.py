"""Tasks, tracks and deliveries as a page shows them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.core.observation import Observation, Scalar, Source
from receiver.core.results import DeliveryResult
from receiver.core.task import Task
from receiver.store.deliveries import StoredDelivery
from receiver.web.admin.presenters import (
    TaskRow,
    delivery_row,
    details_of,
    error_rows,
    task_row,
    web_address,
)
from receiver.web.admin.track_cards import TrackCard, track_cards
from tests.core.builders import callback, poll, ready, started, state_after

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
SEEN = NOW - timedelta(days=1)
FRESH = Task(task_id="task-1", first_seen_at=SEEN)


def knowing_task(*observations: Observation, **fields: Any) -> Task:
    return replace(FRESH, state=state_after(*observations), **fields)


def card(now: datetime = NOW, /, **fields: Scalar) -> TrackCard:
    (only,) = track_cards(knowing_task(poll("SUCCESS", ready("a", **fields))), now)
    return only


def row_of(task: Task, overdue_before: datetime | None = NOW - timedelta(minutes=1)) -> TaskRow:
    return task_row(task, NOW, overdue_before=overdue_before)


# When the files expire


def test_files_vanish_fourteen_days_after_they_were_made_to_the_second() -> None:
    made = "2026-03-06T12:00:00.000Z"
    before = card(NOW - timedelta(seconds=1), createTime=made)
    assert (before.expires.is_past, before.expires.iso) == (False, "2026-03-20T12:00:00Z")
    assert card(NOW, createTime=made).expires.is_past
    assert card(createTime="2026-03-06T14:00:00+02:00").expires == card(createTime=made).expires


@pytest.mark.parametrize(
    "claimed",
    [
        None,
        "2026-03-06 12:00:00",
        "2026-03-06",
        "yesterday",
        "٢٠٢٦-03-06T00:00:00Z",
        "",
        20260306,
        1.5,
        "\x00",
    ],
)
def test_where_it_is_not_known_when_they_were_made_first_sight_counts(claimed: Scalar | None) -> None:
    shown = card() if claimed is None else card(createTime=claimed)
    assert shown.expires.iso == "2026-04-02T12:00:00Z"


@pytest.mark.parametrize(
    "claimed",
    [
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-14:00",
        "9998-12-31T23:59:59-14:00",
        "9998-12-31T23:59:59.999999Z",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00-14:00",
        "0001-01-01T00:00:00+14:00",  # in UTC it is before the year 1
        "10000-01-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-03-06T24:00:00Z",
        "2026-03-06T00:00:00+23:59:59.999999",
    ],
)
def test_no_time_anybody_may_claim_breaks_the_page(claimed: str) -> None:
    card(createTime=claimed)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(max_size=30) | st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat()))
def test_no_text_in_the_place_of_a_time_breaks_the_page(claimed: str) -> None:
    card(createTime=claimed)


# Addresses


@pytest.mark.parametrize(
    "address", ["https://cdn.example/a.mp3?x=1&y=%20#z", "HTTP://EXAMPLE.ORG:8080/ä.mp3", "https://[::1]/a"]
)
def test_a_plain_web_address_is_linked_to(address: str) -> None:
    assert web_address(address) == address


@pytest.mark.parametrize(
    "address",
    # Schemes that run, or are none.
    "javascript:alert(1) JaVaScRiPt:alert(1)//https://a.b data:text/html,<script> vbscript:x file:///etc/passwd"
    " //a.b/c /admin/sign-out https:a.b https:/a.b https:// ftp://a.b blob:https://a.b \ufeffhttps://a.b".split(
        " "
    )
    # Signs that a browser drops, takes for another, or ends an address at.
    + [f"https://a{sign}b" for sign in " \t\n\r\0\x1f\x7f\x85\\\u2028\u3000"]
    + [
        " https://a.b",
        "https://a.b ",
        "https://a.b\n",
        "java\nscript:alert(1)",
        "",
        17,
        None,
        b"https://a.b",
    ],
)
def test_anything_else_is_not(address: object) -> None:
    assert web_address(address) is None


def test_an_address_that_is_not_linked_to_is_still_shown_as_text() -> None:
    row = started("a", audioUrl="javascript:alert(1)", imageUrl="https://cdn.example/a.jpeg")
    (shown,) = track_cards(knowing_task(callback("", row)), NOW)
    assert shown.links == (("imageUrl", "https://cdn.example/a.jpeg"),)
    assert "javascript:alert(1)" in [field.value for field in shown.fields]
    assert (shown.image, shown.audio) == ("https://cdn.example/a.jpeg", None)


def test_a_web_address_in_another_field_is_no_link() -> None:
    assert [name for name, _ in card(title="https://a.b", prompt="https://a.b").links] == ["audioUrl"]


def test_the_stream_is_played_while_there_is_no_file_yet() -> None:
    stream = "https://cdn.example/live"
    assert (
        track_cards(knowing_task(callback("", started("a", streamAudioUrl=stream))), NOW)[0].audio == stream
    )


# Rows


def test_a_row_counts_the_tracks_that_are_ready_and_names_each_title_once() -> None:
    observation = callback(
        "", ready("a", title="Tides"), started("b", title="Tides"), started("c", title="Ebb")
    )
    row = row_of(knowing_task(observation, callbacks=1))
    assert (row.ready, row.tracks, row.sources) == (1, 3, "callback")
    assert sorted(row.title.split(" / ")) == ["Ebb", "Tides"]


def test_a_row_names_its_sources() -> None:
    counts = {(0, 0): "none", (2, 0): "callback", (0, 1): "poll", (1, 1): "callback + poll"}
    for (callbacks, polls), words in counts.items():
        assert row_of(replace(FRESH, callbacks=callbacks, polls=polls)).sources == words


def test_a_poll_in_the_past_is_due_or_overdue_and_without_polling_there_is_none() -> None:
    for seconds, words in ((-120, "overdue by 2 min"), (-30, "due now"), (120, "in 2 min"), (0, "due now")):
        shown = row_of(replace(FRESH, next_poll_at=NOW + timedelta(seconds=seconds))).next_poll
        assert shown is not None
        assert shown.relative == words
    overdue = replace(FRESH, next_poll_at=NOW - timedelta(minutes=2))
    assert row_of(overdue).badge.word == "overdue"
    assert (
        row_of(overdue, overdue_before=None).next_poll,
        row_of(overdue, overdue_before=None).badge.word,
    ) == (None, "pending")


def test_details_say_who_vouches_for_them() -> None:
    claimed = callback("", type="t", param="{}")
    known = details_of(knowing_task(claimed, poll("PENDING", type="u")))
    assert [(field.name, field.value, field.confirmed) for field in known] == [
        ("type", "u", True),
        ("param", "{}", False),
    ]
    known = details_of(knowing_task(claimed, poll("FAILED", type="u", errorCode=0)))
    assert [(field.name, field.value, field.confirmed) for field in known] == [
        ("type", "u", True),
        ("errorCode", "0", True),
    ]


@pytest.mark.parametrize("source", Source)
@pytest.mark.parametrize("result", DeliveryResult)
def test_every_result_has_a_badge_and_a_poll_without_news_is_no_duplicate(
    result: DeliveryResult, source: Source
) -> None:
    delivery = StoredDelivery(source=source, received_at=NOW, result=result, digest=b"", body=None)
    row = delivery_row(delivery, NOW)
    assert (row.body, row.task_id, row.errors, row.cause) == (None, None, (), None)
    unchanged = (result, source) == (DeliveryResult.DUPLICATE, Source.POLL)
    assert row.badge.word and (row.badge.word == "no change") is unchanged


def test_errors_stand_by_their_place_and_those_of_the_whole_by_the_body() -> None:
    assert error_rows({"": ["Not JSON."], "data.0.id": ["Bad.", "Worse."]}) == (
        ("body", "Not JSON."),
        ("data.0.id", "Bad. Worse."),
    )
    assert error_rows(None) == ()
