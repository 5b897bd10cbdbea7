"""A call that does not end holds up neither the pass, nor the other tasks, nor the end of the process."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from receiver.core.cadence import PollRank
from receiver.polling.call_results import FinishedCall
from receiver.polling.calls import CallsUnderWay
from receiver.simulator.poison import TRICKLES
from receiver.store.call_quota import Call
from receiver.upstream.client import PollFailure, PollResponse, UpstreamClient
from tests.conftest import T0, eventually
from tests.world import World

DONE = {"id": "a", "audioUrl": "https://example.org/a.mp3"}
GOOD = [f"good-{number}" for number in range(20)]


class HangingClient(UpstreamClient):
    """Its calls about "bad" hang until the gate opens, as where a name is looked up; the deadline is out of reach."""

    gate: threading.Event
    before: Callable[[], object]

    def fetch(self, task_id: str, *, now: datetime) -> PollResponse | PollFailure:
        if task_id == "bad":
            self.before()
            self.gate.wait(60)
        return super().fetch(task_id, now=now)


@pytest.fixture
def gate() -> threading.Event:
    return threading.Event()


def hang(world: World, gate: threading.Event, before: Callable[[], object] = lambda: None) -> None:
    settings = world.runtime.settings
    client = HangingClient(
        url=settings.upstream_url, api_key=settings.upstream_api_key, timeout_s=10, concurrency=8
    )
    client.gate, client.before = gate, before
    world.client.close()
    world.client = world.poller._client = client


def with_good_ones(world: World) -> World:
    world.register("bad", *GOOD)
    for name in ("bad", *GOOD):
        world.answers(name, "SUCCESS", DONE)
    world.clock.advance(90)
    return world


def with_a_slow_one(new_world: Callable[..., World], gate: threading.Event) -> World:
    """One task, whose call lasts longer than a pass, and then until the gate opens."""
    world = new_world(POLL_TIMEOUT="60")
    world.register("bad")
    world.answers("bad", "SUCCESS", DONE)
    hang(world, gate, before=lambda: world.clock.advance(31))
    return world


def settled(world: World, *names: str) -> bool:
    return all(world.task(name).settlement.settled for name in names)


@pytest.mark.parametrize("kind", TRICKLES)
@pytest.mark.parametrize("concurrency", ["2", "8"])
def test_all_good_tasks_settle_while_one_trickles(
    new_world: Callable[..., World],
    kind: str,
    concurrency: str,
) -> None:
    world = new_world(POLL_CONCURRENCY=concurrency, POLL_LIMIT="1000/second", POLL_TIMEOUT="60")
    (trickling,) = world.poison(kind)
    world.register(trickling)
    with_good_ones(world)
    working = threading.Thread(target=world.run)
    working.start()
    eventually(lambda: settled(world, *GOOD))
    assert world.upstream.calls_about(trickling) == 1
    assert working.is_alive(), "the call that trickles is still under way"
    world.upstream.stop()
    working.join()


@pytest.mark.slow
@pytest.mark.parametrize("kind", TRICKLES)
def test_with_one_call_at_a_time_the_good_tasks_wait_for_one_timeout(
    new_world: Callable[..., World],
    kind: str,
) -> None:
    world = new_world(POLL_CONCURRENCY="1", POLL_LIMIT="1000/second", POLL_TIMEOUT="0.4")
    (trickling,) = world.poison(kind)
    world.register(trickling)
    world.clock.advance(1)
    with_good_ones(world)
    world.run()
    assert settled(world, *GOOD)
    assert world.upstream.calls_about(trickling) == 1
    assert world.task(trickling).next_poll_at == world.clock.now + timedelta(seconds=30)


def test_a_call_beyond_its_timeout_is_abandoned_as_its_tasks_failure_and_the_pass_goes_on(
    new_world: Callable[..., World],
    gate: threading.Event,
) -> None:
    world = with_good_ones(new_world(POLL_CONCURRENCY="2", POLL_LIMIT="1000/second", POLL_TIMEOUT="0.05"))
    hang(world, gate)
    counts = world.run()
    assert (counts.answered, counts.failed) == (len(GOOD), 1)
    assert settled(world, *GOOD)
    bad = world.task("bad")
    assert (bad.next_poll_at, bad.polls) == (world.clock.now + timedelta(seconds=30), 0)
    assert not world.health().in_trouble
    gate.set()


def test_a_pass_that_has_lasted_long_enough_leaves_a_slow_call_to_the_next_one(
    new_world: Callable[..., World],
    gate: threading.Event,
) -> None:
    world = with_a_slow_one(new_world, gate)
    assert world.run(after_s=90).holder
    world.register("later")
    world.answers("later", "SUCCESS", DONE)
    hung = threading.Thread(target=world.run, args=(90,))
    hung.start()
    eventually(lambda: settled(world, "later"))
    assert not settled(world, "bad")
    gate.set()
    hung.join()
    assert settled(world, "bad")
    assert world.calls == 2


def test_a_stop_takes_in_what_is_under_way(
    new_world: Callable[..., World],
    gate: threading.Event,
) -> None:
    world = with_a_slow_one(new_world, gate)
    world.run(after_s=90)
    gate.set()
    world.poller.give_back()
    assert settled(world, "bad")


def test_a_stop_waits_for_a_hanging_call_no_longer_than_its_timeout_and_a_little(
    new_world: Callable[..., World],
    gate: threading.Event,
) -> None:
    world = with_good_ones(new_world(POLL_TIMEOUT="0.05"))
    stop = threading.Event()
    hang(world, gate, before=stop.set)
    began = time.monotonic()
    world.poller.run_once(stop)
    world.poller.give_back()
    assert time.monotonic() - began < 10, "it hangs for a minute"
    assert not settled(world, "bad")
    gate.set()


# The calls themselves


def call(task_id: str) -> Call:
    return Call(
        task_id=task_id,
        slot=0,
        started_at=T0,
        slot_busy_until=T0,
        reserved_until=T0,
        rank=PollRank.REGISTERED,
    )


def test_what_an_abandoned_call_brings_in_the_end_is_dropped(gate: threading.Event) -> None:
    ended = threading.Event()

    def asking(call: Call) -> FinishedCall:
        gate.wait(60)
        ended.set()
        return FinishedCall(call=call, response=PollResponse(body=b"{}"))

    calls = CallsUnderWay(asking, timeout_s=0.05)
    calls.start(call("t"))
    replies: list[FinishedCall] = []

    def finished() -> list[FinishedCall]:
        replies.extend(calls.take_finished(wait_s=0.01))
        return replies

    eventually(finished)
    assert [(reply.call.task_id, type(reply.response)) for reply in replies] == [("t", PollFailure)]
    assert len(calls) == 0
    gate.set()
    assert ended.wait(20)
    assert not calls.take_finished(wait_s=0.05)


def test_calls_that_hang_do_not_keep_the_process_from_ending() -> None:
    program = (
        "import threading\n"
        "from tests.test_hanging_calls import CallsUnderWay, call\n"
        "CallsUnderWay(lambda _: threading.Event().wait(), timeout_s=60).start(call('t'))\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=50)
