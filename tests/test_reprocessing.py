"""Reading quarantined deliveries again: first shown, then done, once."""

import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from receiver import reprocessing
from receiver.core.observation import Source
from receiver.core.payloads import ParseOutcome
from receiver.core.results import DeliveryResult
from receiver.core.settlement import Outcome
from receiver.intake import callback_delivery
from receiver.operations import register_task
from receiver.polling.giving_up import give_up_late_tasks
from receiver.reprocessing import BATCH_SIZE, Summary
from receiver.runtime import Runtime
from receiver.store import audit_log, deliveries, hourly_counts, new_deliveries, quarantine, tasks
from receiver.store.deliveries import StoredDelivery
from receiver.store.quarantine import QuarantineFilter
from receiver.store.schema import delivery
from tests.conftest import BOTH_STORES, T0
from tests.world import SOMEBODY

pytestmark = BOTH_STORES

NOW = T0 + timedelta(days=1)
EVERY_ONE = QuarantineFilter()
ROW = {"id": "a", "audio_url": "https://example.org/a.mp3", "title": "Tides"}


def stage(task_id: str, kind: str = "complete", row: Any = ROW) -> bytes:
    return json.dumps(
        {"code": 200, "data": {"callbackType": kind, "task_id": task_id, "data": [row]}}
    ).encode()


def unread(
    body: bytes | None,
    task_id: str | None = None,
    cause: ParseOutcome = ParseOutcome.NO_TASK_ID,
    **more: Any,
) -> StoredDelivery:
    """A delivery as an earlier version left it, which could not read it."""
    values: dict[str, Any] = {
        "source": Source.CALLBACK,
        "received_at": T0,
        "result": DeliveryResult.QUARANTINED,
        "errors": {"data": ["Odd."]},
    }
    return StoredDelivery(
        **values | {"digest": b"old", "body": body, "task_id": task_id, "cause": cause} | more
    )


def store(runtime: Runtime, stored: Iterable[StoredDelivery]) -> None:
    stored = list(stored)
    with runtime.database.write() as connection:
        new_deliveries.add(connection, stored)
        hourly_counts.add(connection, hourly_counts.in_hour(T0, {("callback", "quarantined"): len(stored)}))


def in_quarantine(runtime: Runtime) -> list[StoredDelivery]:
    with runtime.database.read() as connection:
        return list(quarantine.find(connection, EVERY_ONE, limit=1000))


def totals(runtime: Runtime) -> Any:
    with runtime.database.read() as connection:
        return {
            name: count
            for name, count in hourly_counts.totals(connection, "callback").get("callback", {}).items()
            if count
        }


def everything(runtime: Runtime) -> list[Any]:
    with runtime.database.read() as connection:
        return [connection.exec_driver_sql(f"SELECT * FROM {name} ORDER BY 1, 2").all() for name in ("task", "delivery", "tally", "action")]  # fmt: skip


def read_again(runtime: Runtime, filters: QuarantineFilter = EVERY_ONE, before: int | None = None) -> Summary:
    done, _ = reprocessing.reprocess(runtime, filters, now=NOW, actor=SOMEBODY, before=before)
    return done


def task(runtime: Runtime, task_id: str) -> Any:
    with runtime.database.read() as connection:
        return tasks.load(connection, task_id)


def test_a_preview_tells_what_would_change_and_changes_nothing(runtime: Runtime) -> None:
    register_task(runtime, "t", label=None, now=T0, actor=SOMEBODY)
    store(
        runtime,
        [unread(stage("t"), "t", ParseOutcome.UNREADABLE), unread(b"<html>", cause=ParseOutcome.NOT_JSON)],
    )
    before = everything(runtime)
    planned = reprocessing.preview(runtime, in_quarantine(runtime), now=NOW)
    assert everything(runtime) == before
    assert [entry.readable for entry in planned] == [False, True]
    assert planned[1].after.change["outcome"] == ("in_progress", "succeeded")
    assert planned[1].after.change["ready"] == ("0/0", "1/1")
    assert reprocessing.summarize(planned) == Summary(total=2, readable=1, changing=1)


def test_what_the_preview_showed_is_what_happens(runtime: Runtime) -> None:
    register_task(runtime, "t", label=None, now=T0, actor=SOMEBODY)
    store(
        runtime,
        [unread(stage("t"), "t", ParseOutcome.UNREADABLE), unread(b"<html>", cause=ParseOutcome.NOT_JSON)],
    )
    planned = reprocessing.preview(runtime, in_quarantine(runtime), now=NOW)
    assert read_again(runtime) == Summary(total=2, readable=1, changing=1)
    after = task(runtime, "t")
    assert after == planned[1].task_after
    assert after.settlement.outcome is Outcome.SUCCEEDED
    (stored,) = deliveries_of(runtime, "t")
    assert (stored.result, stored.cause, stored.errors, stored.status) == ("accepted", None, {}, "SUCCESS")
    assert stored.received_at == T0
    assert [entry.cause for entry in in_quarantine(runtime)] == ["not_json"]
    assert totals(runtime) == {"accepted": 1, "quarantined": 1}
    with runtime.database.read() as connection:  # what /metrics gives back to a counter that must not fall
        assert hourly_counts.totals(connection, "reread") == {"reread": {"callback": 1}}


def deliveries_of(runtime: Runtime, task_id: str) -> list[StoredDelivery]:
    with runtime.database.read() as connection:
        return list(deliveries.of_task(connection, task_id))


def test_a_second_time_changes_nothing_more(runtime: Runtime) -> None:
    store(runtime, [unread(stage("t")), unread(b"{}")])
    read_again(runtime)
    before = everything(runtime)[:3]
    assert read_again(runtime) == Summary(total=1)
    assert everything(runtime)[:3] == before


def test_a_task_that_is_named_only_now_is_made_counted_and_asked_about(runtime: Runtime) -> None:
    store(runtime, [unread(stage("t", "text"))])
    read_again(runtime)
    after = task(runtime, "t")
    assert (after.first_seen_at, after.last_callback_at, after.callbacks) == (T0, T0, 1)
    assert after.state.highest_claim.word == "TEXT_SUCCESS"
    assert after.next_poll_at is not None
    with runtime.database.read() as connection:
        assert hourly_counts.totals(connection, "task") == {"task": {"in_progress": 1}}


def test_a_callback_that_was_counted_when_it_came_is_not_counted_again(runtime: Runtime) -> None:
    body = json.dumps({"code": 200, "data": {"callbackType": "text", "task_id": "t", "data": 7}}).encode()
    runtime.intake.accept([callback_delivery(body, now=T0, secrets=())])
    with runtime.database.write() as connection:
        connection.execute(update(delivery).values(body=stage("t", "text")))
    read_again(runtime)
    after = task(runtime, "t")
    assert (after.callbacks, after.state.highest_claim.word) == (1, "TEXT_SUCCESS")
    assert after.next_poll_at == T0, "it was due and still is"


def test_a_sister_products_callback_becomes_unsupported_and_makes_no_task(runtime: Runtime) -> None:
    body = json.dumps(
        {"code": 200, "data": {"task_id": "w", "audioWavUrl": "https://example.org/a.wav"}}
    ).encode()
    store(runtime, [unread(body)])
    assert read_again(runtime) == Summary(total=1, readable=1)
    (stored,) = deliveries_of(runtime, "w")
    assert (stored.result, stored.product) == ("unsupported", "wav")
    assert task(runtime, "w") is None


def test_an_answer_to_a_poll_is_read_as_one_and_believed(runtime: Runtime) -> None:
    register_task(runtime, "t", label=None, now=T0, actor=SOMEBODY)
    data = {"taskId": "t", "status": "SENSITIVE_WORD_ERROR", "errorCode": 400}
    body = json.dumps({"code": 200, "data": data}).encode()
    store(runtime, [unread(body, "t", ParseOutcome.UNREADABLE, source=Source.POLL)])
    read_again(runtime)
    assert task(runtime, "t").settlement.outcome is Outcome.FAILED


def test_a_task_that_was_given_up_is_asked_about_once_more(runtime: Runtime) -> None:
    register_task(runtime, "t", label=None, now=T0, actor=SOMEBODY)
    give_up_late_tasks(runtime.database, runtime.settings.rules, first_seen_before=T0, now=T0)
    assert task(runtime, "t").next_poll_at is None
    store(runtime, [unread(stage("t", "text"), "t", ParseOutcome.UNREADABLE)])
    read_again(runtime)
    assert task(runtime, "t").next_poll_at == NOW


@pytest.mark.parametrize("order", [1, -1])
def test_many_about_one_task_end_the_same_in_any_order(runtime: Runtime, order: int) -> None:
    stored = [
        unread(stage("t", "text", {"id": "a"})),
        unread(stage("t")),
        unread(b'{"task_id": "t", "data": 7}'),
    ]
    store(runtime, stored[::order])
    read_again(runtime)
    after = task(runtime, "t")
    assert (after.callbacks, after.state.status.word, after.state.playable) == (3, "SUCCESS", True)


def test_more_than_fit_in_a_transaction_are_all_read(runtime: Runtime) -> None:
    number = 2 * BATCH_SIZE + 50
    store(runtime, [unread(stage(f"t{n}", "text")) if n % 2 else unread(b"no") for n in range(number)])
    half = number // 2
    assert read_again(runtime) == Summary(total=number, readable=half, changing=half)
    assert totals(runtime) == {"accepted": half, "quarantined": half}
    assert len(in_quarantine(runtime)) == half


def test_only_what_matches_is_read(runtime: Runtime) -> None:
    store(runtime, [unread(stage("a")), unread(stage("b"), cause=ParseOutcome.NOT_JSON), unread(stage("c"))])
    newest = in_quarantine(runtime)[0]
    assert read_again(runtime, QuarantineFilter(cause=ParseOutcome.NOT_JSON)).total == 1
    assert read_again(runtime, QuarantineFilter(delivery_id=newest.id)).total == 1
    assert [task(runtime, key) is not None for key in "abc"] == [False, True, True]


def test_what_a_person_has_seen_is_left_alone_unless_he_asks_for_it(runtime: Runtime) -> None:
    store(runtime, [unread(stage("a"))])
    with runtime.database.write() as connection:
        assert quarantine.acknowledge(connection, [1], now=NOW) == 1
        assert quarantine.acknowledge(connection, [1], now=NOW) == 0
    assert read_again(runtime).total == 0
    assert read_again(runtime, QuarantineFilter(include_acknowledged=True)).readable == 1


def test_who_read_again_and_what_came_of_it_is_written_down(runtime: Runtime) -> None:
    store(runtime, [unread(stage("a")), unread(b"no")])
    read_again(runtime)
    with runtime.database.read() as connection:
        done = audit_log.newest(connection, limit=9)
    assert [(action.kind, action.task_id, action.actor) for action in done] == [
        (audit_log.ActionKind.READ_AGAIN, None, SOMEBODY),
        (audit_log.ActionKind.READ_AGAIN, "a", SOMEBODY),
    ]
    assert done[0].detail == {"lookedAt": 2, "readable": 1, "changing": 1}


def test_what_has_no_body_any_more_is_left_as_it_is(runtime: Runtime) -> None:
    register_task(runtime, "t", label=None, now=T0, actor=SOMEBODY)
    store(
        runtime,
        [
            unread(None, "t", ParseOutcome.UNREADABLE),
            unread(None, "t", ParseOutcome.UNREADABLE, source=Source.POLL),
        ],
    )
    before = everything(runtime)[:3]
    assert read_again(runtime) == Summary(total=2, bodiless=2)
    assert everything(runtime)[:3] == before


def test_what_turns_out_to_be_about_another_task_is_counted_there(runtime: Runtime) -> None:
    store(runtime, [unread(stage("real", "text"), "mistaken", ParseOutcome.UNREADABLE)])
    read_again(runtime)
    assert task(runtime, "real").callbacks == 1
    with runtime.database.read() as connection:
        assert hourly_counts.totals(connection, "task") == {"task": {"in_progress": 1}}
