"""A task's story, the newest first."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from receiver.core.observation import Source
from receiver.core.results import DeliveryResult
from receiver.core.settlement import Outcome, Settlement
from receiver.core.task import Task
from receiver.store.audit_log import Action, ActionKind, Actor
from receiver.store.deliveries import StoredDelivery
from receiver.web.admin.action_words import action_words
from receiver.web.admin.timeline import BODIES_SHOWN, Entry, build_timeline

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PAGE = Actor(via="admin page", address="192.0.2.7")
FRESH = Task(task_id="task-1", first_seen_at=NOW)
ENDED = replace(
    FRESH,
    registered_at=NOW,
    gave_up_at=NOW,
    settled_at=NOW,
    settlement=Settlement(outcome=Outcome.UNRESOLVED),
)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def delivery(number: int, moment: datetime = NOW, body: bytes | None = b"{}") -> StoredDelivery:
    return StoredDelivery(
        id=number,
        task_id="task-1",
        source=Source.CALLBACK,
        received_at=moment,
        result=DeliveryResult.ACCEPTED,
        digest=b"",
        body=body,
    )


def done(
    number: int, moment: datetime = NOW, kind: ActionKind = ActionKind.POLL_REQUESTED, **detail: object
) -> Action:
    return Action(id=number, kind=kind, actor=PAGE, at=moment, task_id="task-1", detail=detail)


def word_of(entry: Entry) -> str:
    return f"delivery {entry.delivery.id}" if entry.delivery else entry.badge.word


def story(task: Task, deliveries: list[StoredDelivery], actions: list[Action]) -> list[str]:
    return [word_of(entry) for entry in build_timeline(task, deliveries, actions, now=at(10_000))]


def test_a_new_task_was_first_seen() -> None:
    assert story(FRESH, [], []) == ["first seen"]


def test_the_newest_comes_first_whatever_it_is() -> None:
    task = replace(
        FRESH, registered_at=at(5), settled_at=at(40), settlement=Settlement(outcome=Outcome.SUCCEEDED)
    )
    entries = build_timeline(task, [delivery(1, at(10)), delivery(2, at(40))], [done(1, at(20))], now=at(100))
    assert [word_of(entry) for entry in entries] == [
        "settled",
        "delivery 2",
        "poll requested",
        "delivery 1",
        "registered",
        "first seen",
    ]
    assert entries[0].words == "succeeded"


def test_events_of_one_time_stand_in_the_order_in_which_they_must_have_happened() -> None:
    expected = [
        "settled",
        "gave up",
        "poll requested",
        "delivery 2",
        "delivery 1",
        "registered",
        "first seen",
    ]
    for deliveries in permutations([delivery(1), delivery(2)]):
        assert story(ENDED, list(deliveries), [done(1)]) == expected


def test_deliveries_and_actions_of_one_time_are_ordered_by_id() -> None:
    numbers = (2, 10, 9, 100)
    assert story(FRESH, [delivery(number) for number in numbers], [])[:-1] == [
        "delivery 100",
        "delivery 10",
        "delivery 9",
        "delivery 2",
    ]
    kinds = [done(10, kind=ActionKind.ACKNOWLEDGED), done(9, kind=ActionKind.LABELLED)]
    assert story(FRESH, [], kinds)[:2] == ["acknowledged", "labelled"]


def test_a_clock_that_was_set_back_shows_by_the_times_and_loses_nothing() -> None:
    entries = build_timeline(FRESH, [delivery(1, at(-60)), delivery(2, at(-120))], [], now=at(-120))
    assert [word_of(entry) for entry in entries] == ["first seen", "delivery 1", "delivery 2"]
    assert [entry.at.relative for entry in entries] == ["in 2 min", "in 1 min", "now"]


def test_a_reopened_task_is_not_shown_as_settled() -> None:
    assert "settled" not in story(replace(FRESH, registered_at=NOW), [delivery(1)], [])


def test_a_delivery_whose_body_was_dropped_is_still_in_the_story() -> None:
    entry = build_timeline(FRESH, [delivery(1, body=None)], [], now=NOW)[0]
    assert entry.delivery is not None
    assert entry.delivery.body is None


def test_of_many_deliveries_only_the_newest_show_their_bodies() -> None:
    entries = build_timeline(FRESH, [delivery(number) for number in range(1, 26)], [], now=NOW)
    rows = [entry.delivery for entry in entries if entry.delivery]
    shown = [row.id for row in rows if row.body and row.body.parts]
    assert shown == list(range(25, 25 - BODIES_SHOWN, -1))
    assert all(row.body and row.body.truncated for row in rows[BODIES_SHOWN:])


@pytest.mark.parametrize("kind", ActionKind)
def test_everything_a_person_can_do_has_a_mark_and_a_word(kind: ActionKind) -> None:
    entry = build_timeline(FRESH, [], [done(1, kind=kind)], now=NOW)[0]
    assert entry.badge.word
    assert entry.words == "by admin page from 192.0.2.7"


def test_an_action_names_its_actor_address_and_detail() -> None:
    assert action_words(done(1, label="order 17")) == "by admin page from 192.0.2.7: label order 17"
    assert action_words(done(1, label=None)) == "by admin page from 192.0.2.7: label removed"
    assert action_words(done(1, lookedAt=1, readable=0, changing=2)).endswith(
        ": 1 delivery, 0 parsed, 2 changed tasks"
    )
    assert action_words(replace(done(1), actor=Actor(via="command"))) == "by command"
