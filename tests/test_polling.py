"""Polling: passes against a real HTTP upstream, with a clock that the test sets."""

import json
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from receiver.core.task_events import request_poll
from receiver.intake import Delivery, Intake, Result, callback_delivery
from receiver.operations import delete_task, request_task_poll
from receiver.runtime import Runtime
from receiver.store import call_quota, deliveries, lease, quarantine, tasks
from receiver.store.database import StoreUnavailableError
from receiver.store.quarantine import QuarantineFilter
from receiver.upstream.client import PollFailure, PollResponse, UpstreamClient
from tests.conftest import BOTH_STORES, CALLBACK_TOKEN, T0, eventually
from tests.world import SOMEBODY, World

pytestmark = BOTH_STORES

DONE = {"id": "a", "audioUrl": "https://example.org/a.mp3"}


def test_a_registered_task_is_asked_about_once_its_callback_counts_as_missing(world: World) -> None:
    world.register("t")
    world.answers("t", "SUCCESS", DONE)
    assert world.run(after_s=89).answered == 0
    assert world.run(after_s=1).answered == 1
    task = world.task("t")
    assert (task.settlement.outcome.value, task.settlement.recovered, task.settlement.lost_callback) == (
        "succeeded",
        True,
        True,
    )


def test_an_unsettled_task_is_asked_again_in_doubling_steps(world: World) -> None:
    world.register("t")
    world.answers("t")
    world.run(after_s=90)
    for span in (30, 60, 120, 240, 480, 900, 900):
        task = world.task("t")
        assert task.next_poll_at == world.clock.now + timedelta(seconds=span)
        assert world.run(after_s=span - 1).answered == 0
        assert world.run(after_s=1).answered == 1


def test_a_callback_exception_with_tracks_is_recovered(world: World) -> None:
    world.register("t")
    world.answers("t", "CALLBACK_EXCEPTION", DONE, errorMessage="the callback could not be reached")
    world.run(after_s=90)
    assert world.task("t").settlement.recovered


def test_what_a_poll_brings_is_a_delivery_without_our_token(world: World) -> None:
    world.register("t")
    url = f"https://me.example.org/callbacks/{CALLBACK_TOKEN}"
    world.answers("t", param=json.dumps({"callBackUrl": url}))
    world.run(after_s=90)
    with world.runtime.database.read() as connection:
        (stored,) = deliveries.of_task(connection, "t")
    assert (stored.source, stored.result, stored.status) == ("poll", "accepted", "PENDING")
    assert CALLBACK_TOKEN.encode() not in (stored.body or b"")
    assert CALLBACK_TOKEN not in str(world.task("t").state)


@pytest.mark.parametrize(
    ("body", "http_status"),
    [
        ({"code": 200, "msg": "success", "data": None}, 200),
        ({"code": 404, "msg": "not found"}, 404),
        ({"code": 422, "msg": "recordInfo is null", "data": None}, 200),
    ],
)
def test_a_task_unknown_there_is_not_yet_and_then_unresolved(
    world: World, body: Any, http_status: int
) -> None:
    world.register("t")
    world.upstream.put("t", body, http_status)
    world.run(after_s=90)
    assert world.task("t").settlement.outcome.value == "in_progress"
    assert world.health().failures == 0
    world.run(after_s=86400)
    assert world.task("t").settlement.outcome.value == "unresolved"


def test_an_answer_about_another_task_is_refused_and_kept(world: World) -> None:
    world.register("t")
    world.upstream.put("t", {"code": 200, "data": {"taskId": "other", "status": "SUCCESS", "response": None}})
    world.run(after_s=90)
    with world.runtime.database.read() as connection:
        assert quarantine.find(connection, QuarantineFilter(), limit=5)[0].task_id == "t"
        assert tasks.load(connection, "other") is None
    assert world.task("t").state.highest_claim.word == ""


@pytest.mark.parametrize(
    ("body", "http_status", "trouble"),
    [
        ({"code": 429, "msg": "slow down"}, 429, "limited"),
        ({"code": 430, "msg": "too often"}, 200, "limited"),
        ({"code": 405, "msg": "rate"}, 200, "limited"),
        ({"code": 455, "msg": "maintenance"}, 200, "maintenance"),
    ],
)
def test_an_upstream_that_asks_to_slow_down_is_paused_and_the_task_keeps_its_place(
    world: World, body: Any, http_status: int, trouble: str
) -> None:
    world.register("t")
    planned = world.task("t").next_poll_at
    world.upstream.put("t", body, http_status)
    assert world.run(after_s=90).failed == 1
    task, health = world.task("t"), world.health()
    assert (task.next_poll_at, task.polls, task.attempt) == (planned, 0, 0)
    assert (health.trouble, health.failures) == (trouble, 1)
    assert health.paused_until is not None
    assert health.paused_until > world.clock.now


FAILURES = [
    ({"msg": "outage"}, 500, "server_error"),
    ({"code": 500, "msg": "error", "data": None}, 503, "server_error"),
    ({"code": 401, "msg": "no access", "data": None}, 200, "refused"),
    ("error code: 1010", 403, "denied"),
    ("no", 401, "denied"),
    ({"code": 200, "data": "odd"}, 200, "not_record_info"),
    (["list"], 200, "not_record_info"),
    ({"code": 200, "data": {}}, 302, "not_record_info"),
    ({"detail": "Not Found"}, 404, "not_record_info"),
]


@pytest.mark.parametrize(("body", "http_status", "trouble"), FAILURES)
def test_a_failed_call_is_first_its_tasks_trouble_and_two_tasks_are_the_upstreams(
    world: World, body: Any, http_status: int, trouble: str
) -> None:
    world.register("t")
    world.upstream.put("t", body, http_status)
    assert world.run(after_s=90).failed == 1
    task = world.task("t")
    assert task.next_poll_at == world.clock.now + timedelta(seconds=30)
    assert (task.polls, task.attempt, world.health().in_trouble) == (0, 1, False)
    world.register("u")
    world.upstream.put("u", body, http_status)
    world.clock.advance(-65)  # that `t` is not due again before `u` is
    with world.runtime.database.write() as connection:
        known = tasks.load_many(connection, ["u"])["u"]
        tasks.save(connection, [(known, replace(known, next_poll_at=world.clock.now))])
    assert world.run(after_s=66).failed == 1
    assert (world.health().in_trouble, world.health().trouble) == (True, trouble)


ANSWERS = {
    "code 451": {"code": 451, "msg": "Failed to fetch the image.", "data": None},
    "code 500": {"code": 500, "msg": "Internal Error", "data": None},
    "code 403": {"code": 403, "msg": "not yours", "data": None},
    "code 531 and a record": {"code": 531, "msg": "no", "data": {"taskId": "t", "status": "SUCCESS"}},
    "null": {"code": 200, "msg": "success", "data": None},
    "nothing": {"code": 200, "msg": "success", "data": {}},
    "zero": {"code": 0, "msg": "success", "data": {"taskId": "t", "status": "PENDING", "response": None}},
    "another task": {"code": 200, "msg": "success", "data": {"taskId": "other", "status": "SUCCESS"}},
    "another product": {
        "code": 200,
        "data": {"taskId": "t", "successFlag": "1", "response": {"audioWavUrl": "u"}},
    },
    "another product's other task": {"code": 200, "data": {"taskId": "o", "audioWavUrl": "u"}},
    "keys of another product": {
        "code": 200,
        "data": {"taskId": "t", "status": "PENDING", "response": None, "failCode": None, "resultJson": None},
    },
    "unreadable": {"code": 200, "data": {"taskId": "t", "status": {"odd": 1}, "response": "text"}},
    "a long status": {"code": 200, "data": {"taskId": "t", "status": "x7Q" * 950, "response": None}},
    "deep": {"code": 200, "data": {"taskId": "t", "status": "PENDING", "response": None, "x": [[[[[[]]]]]]}},
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_of_any_kind_counts_as_a_poll_and_is_not_asked_for_again_at_once(
    world: World, kind: str
) -> None:
    world.register("t")
    world.upstream.put("t", ANSWERS[kind])
    world.run(after_s=90)
    for span, polls_made in ((30, 1), (60, 2), (120, 3)):
        task = world.task("t")
        assert (task.polls, world.calls, task.next_poll_at) == (
            polls_made,
            polls_made,
            world.clock.now + timedelta(seconds=span),
        )
        assert (task.settlement.settled, world.health().failed_task) == (False, None)
        world.run(after_s=span)


def test_a_record_of_another_task_leaves_no_trace_there(world: World) -> None:
    world.register("t")
    world.upstream.put("t", ANSWERS["another product's other task"])
    world.run(after_s=90)
    with world.runtime.database.read() as connection:
        assert tasks.load(connection, "o") is None


def test_a_record_with_a_param_that_is_wrongly_escaped_is_read_and_kept_as_it_came(world: World) -> None:
    body = (
        b'{"code":200,"msg":"success","data":{"taskId":"t","param":"{\\"input\\":\\"{\\\\"loop\\\\":true}\\"}",'
        b'"status":"SUCCESS","response":{"sunoData":[{"id":"a","audioUrl":"https://example.org/a.mp3"}]}}}'
    )
    with pytest.raises(ValueError, match="delimiter"):
        json.loads(body)
    world.register("t")
    world.upstream.put_bytes("t", body)
    world.run(after_s=90)
    assert world.task("t").settlement.outcome.value == "succeeded"
    with world.runtime.database.read() as connection:
        (stored,) = deliveries.of_task(connection, "t")
    assert stored.body == body
    assert stored.errors
    assert "data.param" in stored.errors


def test_after_a_pause_one_probe_about_another_task_decides(world: World) -> None:
    names = [f"t{number}" for number in range(20)]
    world.register(*names)
    for name in names:
        world.upstream.put(name, {"code": 500}, 500)
    world.run(after_s=90)
    polled = [name for name in names if world.task(name).attempt]
    # The first failure is its task's own, so that its place may be taken once before the second pauses the upstream.
    assert len(polled) <= world.runtime.settings.poll_concurrency + 1
    first, calls = world.health(), world.calls
    world.run(after_s=1.5)
    assert world.calls == calls + 1
    second = world.health()
    assert second.failures == first.failures + 1
    assert second.failed_task not in polled
    for name in names:
        world.answers(name)
    world.run(after_s=10)
    assert not world.health().in_trouble
    assert world.run(after_s=50).answered + sum(world.task(name).polls for name in names) >= 20


def test_a_persons_request_goes_through_a_pause_as_a_probe(world: World) -> None:
    world.register("t", "requested")
    world.upstream.put("t", {"code": 429}, 429, {"Retry-After": "9" * 30})
    world.answers("requested")
    world.run(after_s=90)
    world.run(after_s=60)
    assert world.health().paused(world.clock.now)
    polls_made = world.task("requested").polls
    request_task_poll(world.runtime, "requested", now=world.clock.now, actor=SOMEBODY)
    world.run(after_s=1)
    assert world.task("requested").polls == polls_made + 1
    assert not world.health().in_trouble


def test_requests_whose_calls_fail_in_a_pause_are_not_repeated_at_once(world: World) -> None:
    world.register("a", "b")
    for name in ("a", "b"):
        world.upstream.put(name, {"code": 500}, 500)
    world.run(after_s=90)
    until = world.health().paused_until
    request_task_poll(world.runtime, "a", now=world.clock.now, actor=SOMEBODY)
    calls = world.calls
    world.run(after_s=0.5)
    assert (world.calls, world.health().paused_until) == (calls + 1, until)


def test_retry_after_is_never_shortened(world: World) -> None:
    world.register("t")
    world.upstream.put("t", {"code": 429}, 429, {"Retry-After": "120"})
    world.run(after_s=90)
    world.answers("t")
    assert world.run(after_s=119).answered == 0
    assert world.run(after_s=2).answered == 1


def test_a_refused_key_pauses_long(new_world: Callable[..., World]) -> None:
    world = new_world(UPSTREAM_API_KEY="wrong-key")
    world.register("t", "u")
    world.run(after_s=90)
    world.run(after_s=30)
    assert world.health().trouble == "refused"
    calls = world.calls
    assert world.run(after_s=600).failed == 0
    assert world.calls == calls <= 4


def test_a_refused_key_is_seen_by_the_only_task_too(new_world: Callable[..., World]) -> None:
    world = new_world(UPSTREAM_API_KEY="wrong-key")
    world.register("t")
    world.run(after_s=90)
    assert not world.health().in_trouble
    world.run(after_s=30)
    assert (world.health().trouble, world.health().in_trouble) == ("refused", True)


def test_a_silent_upstream_costs_one_timeout_and_no_poll(new_world: Callable[..., World]) -> None:
    world = new_world(POLL_TIMEOUT="0.3")
    world.upstream.set_faults({"timeout": 1.0})
    world.register("t")
    world.run(after_s=90)
    assert (world.health().trouble, world.task("t").polls) == ("network", 0)


def test_an_upstream_that_is_not_there_is_named(new_world: Callable[..., World]) -> None:
    world = new_world(UPSTREAM_URL="http://127.0.0.1:9")
    world.register("t")
    world.run(after_s=90)
    assert (world.health().trouble, world.health().detail) == ("network", "no connection")


def test_a_person_goes_before_all_and_a_settled_task_is_asked_too(new_world: Callable[..., World]) -> None:
    world = new_world(POLL_LIMIT="1/hour")
    world.register("early", "requested")
    for name in ("early", "requested"):
        world.answers(name)
    world.clock.advance(600)
    request_task_poll(world.runtime, "requested", now=world.clock.now, actor=SOMEBODY)
    stop = threading.Event()

    def stop_after_a_call() -> None:
        eventually(lambda: world.calls)
        stop.set()

    stopping = threading.Thread(target=stop_after_a_call)
    stopping.start()
    world.poller.run_once(stop)
    stopping.join()
    assert (world.task("requested").polls, world.task("early").polls) == (1, 0)
    assert not world.task("requested").poll_requested


def test_no_task_is_given_up_without_a_last_look(world: World) -> None:
    world.register("t")
    world.answers("t")
    world.run(after_s=90)
    world.answers("t", "SUCCESS", DONE)
    world.run(after_s=86400)
    assert world.task("t").settlement.outcome.value == "succeeded"


def test_a_task_nobody_can_ask_about_ends_all_the_same(new_world: Callable[..., World]) -> None:
    world = new_world(UPSTREAM_URL="http://127.0.0.1:9")
    world.register("t")
    world.run(after_s=86400)
    assert world.task("t").settlement.outcome.value == "in_progress"
    assert world.run(after_s=86400).gave_up == 1
    assert world.task("t").settlement.outcome.value == "unresolved"


def test_without_a_key_nothing_is_called_and_tasks_still_end(new_world: Callable[..., World]) -> None:
    world = new_world(UPSTREAM_API_KEY="")
    world.register("t")
    assert world.run(after_s=86400).gave_up == 1
    assert world.calls == 0


def test_an_unresolved_task_is_asked_once_more_when_a_callback_comes(world: World) -> None:
    world.register("t")
    world.run(after_s=86400)
    assert world.task("t").settlement.outcome.value == "unresolved"
    world.answers("t", "SUCCESS", DONE)
    body = json.dumps({"code": 200, "data": {"task_id": "t", "callbackType": "first", "data": []}}).encode()
    intake = Intake(world.runtime.database, world.runtime.settings.rules)
    intake.accept([callback_delivery(body, now=world.clock.now, secrets=())])
    assert world.run(after_s=1).answered == 1
    assert world.task("t").settlement.outcome.value == "succeeded"


def test_one_poller_at_a_time_and_another_takes_over_when_it_falls_silent(
    new_world: Callable[..., World],
) -> None:
    first, second = new_world("one"), new_world("two")
    assert first.run().holder
    assert not second.run().holder
    assert first.run(after_s=4).holder
    assert not second.run(after_s=9).holder
    assert second.run(after_s=2).holder
    assert not first.run().holder
    with first.runtime.database.read() as connection:
        held = lease.read(connection)
    assert held is not None
    assert (held.holder, held.fence) == ("two", 2)


def test_a_poller_that_stops_gives_the_lease_back_at_once(new_world: Callable[..., World]) -> None:
    first, second = new_world("one"), new_world("two")
    assert first.run().holder
    first.poller.give_back()
    assert second.run(after_s=0.1).holder


@pytest.mark.parametrize("odd", ["1763966000000", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_retry_after_nobody_can_mean_pauses_for_an_hour(world: World, odd: str) -> None:
    world.register("t")
    world.upstream.put("t", {"code": 429}, 429, {"Retry-After": odd})
    world.run(after_s=90)
    calls = world.calls
    world.run(after_s=3599)
    assert world.calls == calls
    world.run(after_s=2)
    assert world.calls == calls + 1


class DeafIntake(Intake):
    """Cannot take in one task's answer, as if there were a fault of ours in it."""

    def accept_answers(self, answers: Sequence[Delivery]) -> Sequence[Result]:
        if any(delivery.parsed.task_id == "poison" for delivery in answers):
            raise ValueError("a fault of ours")
        return super().accept_answers(answers)


class AwayIntake(DeafIntake):
    """The same, as if the database refused the answer."""

    def accept_answers(self, answers: Sequence[Delivery]) -> Sequence[Result]:
        try:
            return super().accept_answers(answers)
        except ValueError as error:
            raise StoreUnavailableError(str(error)) from None


@pytest.mark.parametrize("kind", [DeafIntake, AwayIntake])
def test_one_answer_we_cannot_handle_does_not_take_the_others_with_it_and_counts_as_a_poll(
    new_world: Callable[..., World], kind: type[Intake]
) -> None:
    world = new_world(kind=kind)
    names = ["poison", *(f"t{number}" for number in range(4))]
    world.register(*names)
    for name in names:
        world.answers(name)
    world.run(after_s=90)
    assert [world.task(name).polls for name in names] == [1, 1, 1, 1, 1]
    calls = world.calls
    world.run(after_s=29)
    assert world.calls == calls, "it backs off as after any poll"
    world.run(after_s=1)
    assert world.task("poison").polls == 2


def test_a_clock_set_back_stops_nobody(new_world: Callable[..., World]) -> None:
    first, second = new_world("one"), new_world("two")
    first.clock.advance(3600)
    assert first.run().holder
    first.clock.advance(-3600)
    assert second.run().holder


def test_no_window_holds_more_calls_than_the_limit_however_slow_they_are(runtime: Runtime) -> None:
    starts: list[float] = []
    with runtime.database.write() as connection:
        call_quota.resize_slots(connection, 2)
        tasks.load_or_create(connection, {f"t{number}": T0 for number in range(400)})
        every = [
            (task, request_poll(task, now=T0))
            for task in tasks.load_many(connection, [f"t{n}" for n in range(400)]).values()
        ]
        tasks.save(connection, every)
    under_way: list[tuple[float, call_quota.Call]] = []
    for tick in range(400):
        moment = tick / 10
        now = T0 + timedelta(seconds=moment)
        with runtime.database.write() as connection:
            for ends, call in [entry for entry in under_way if entry[0] <= moment]:
                call_quota.release(connection, [call], ended_at=now, period_s=1)
                under_way.remove((ends, call))
            for call in call_quota.reserve(connection, now=now, most=8, period_s=1, reservation_s=30):
                starts.append(moment)
                under_way.append((moment + (0.1, 1.9, 3.3, 4.6, 7.0)[len(starts) % 5], call))
    busiest = max(sum(start <= other < start + 1 for other in starts) for start in starts)
    assert len(starts) > 20
    assert busiest <= 2


def test_a_trickling_answer_is_cut_off_at_the_timeout(new_world: Callable[..., World]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def trickle() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
                for _ in range(100):
                    connection.sendall(b" ")
                    done.wait(0.1)

        done = threading.Event()
        thread = threading.Thread(target=trickle)
        thread.start()
        world = new_world(UPSTREAM_URL=f"http://127.0.0.1:{listener.getsockname()[1]}", POLL_TIMEOUT="0.5")
        started = time.monotonic()
        failure = world.client.fetch("t", now=T0)
        assert time.monotonic() - started < 5
        assert isinstance(failure, PollFailure)
        done.set()
        thread.join()


def test_an_answer_without_end_is_not_read_to_its_end(world: World) -> None:
    world.register("t")
    world.answers("t", "SUCCESS", {**DONE, "prompt": "x" * (5 * 1024 * 1024)})
    world.run(after_s=90)
    assert (world.health().trouble, world.health().detail) == ("network", "too slow or too large")
    assert world.task("t").polls == 0


def test_a_task_that_is_deleted_while_it_is_asked_about_stays_deleted(world: World) -> None:
    class ClientBesideADeletion(UpstreamClient):
        def fetch(self, task_id: str, *, now: datetime) -> PollResponse | PollFailure:
            response = super().fetch(task_id, now=now)
            if task_id == "gone":
                assert delete_task(world.runtime, "gone", now=now, actor=SOMEBODY)
            return response

    settings = world.runtime.settings
    client = ClientBesideADeletion(
        url=settings.upstream_url, api_key=settings.upstream_api_key, timeout_s=10, concurrency=8
    )
    world.poller._client = client
    world.register("gone", "stays")
    world.answers("gone", "SUCCESS", DONE)
    world.answers("stays", "SUCCESS", DONE)
    world.run(after_s=90)
    client.close()
    assert world.task("stays").settlement.settled
    with world.runtime.database.read() as connection:
        assert tasks.load(connection, "gone") is None
        assert not deliveries.of_task(connection, "gone")
