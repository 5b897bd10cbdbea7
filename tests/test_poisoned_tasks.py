"""Whatever the upstream answers about one task harms that task alone: each kind among good ones."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from receiver.core.cadence import PollRank
from receiver.core.task import Task
from receiver.core.task_events import register, request_poll
from receiver.simulator import POISONS
from receiver.store import call_quota, tasks
from receiver.store.due_tasks import Choice
from tests.conftest import BOTH_STORES, T0
from tests.world import World

GRACE_S = 90
STEP_S = 2
GOOD = 20  # one at each step: together longer than a poisoned task takes to be polled again
SETTLED_LATE_S = 5.0
DONE = {"id": "a", "audioUrl": "https://example.org/a.mp3"}
HANGING = {
    "every",
    *(
        kind
        for kind in POISONS
        if kind == "poison-hang" or kind.startswith(("poison-slow", "poison-continue"))
    ),
}
FAILING = sorted(set(POISONS) - {"poison-param"})


@pytest.fixture
def world(new_world: Callable[..., World], request: pytest.FixtureRequest) -> World:
    """Its timeout is waited for in real time, so it is short only where a call hangs.

    And never so short that a busy machine is taken for a failing upstream.
    """
    callspec = getattr(request.node, "callspec", None)
    kind = callspec.params.get("kind", "every") if callspec else "every"
    return new_world(POLL_LIMIT="1000/second", POLL_TIMEOUT="1.5" if kind in HANGING else "20")


@dataclass(frozen=True, kw_only=True)
class Figures:
    """How it went with the good tasks: polls of them, and seconds that one and all of them took too long."""

    polls: int
    latest_s: float
    all_s: float


def run_among_good_ones(world: World, poisoned: Sequence[str], *, a_step: int = 1) -> Figures:
    """`a_step` good tasks at every step, the poisoned ones early among them; all callbacks are lost."""
    good = [f"good-{number}" for number in range(GOOD * a_step)]
    for step in range(GOOD):
        if step == 2:
            world.register(*poisoned)
        world.register(*good[step * a_step : (step + 1) * a_step])
        world.clock.advance(STEP_S)
    for name in good:
        world.answers(name, "SUCCESS", DONE)
    start = T0 + timedelta(seconds=GRACE_S)
    world.clock.now = start
    left = set(good)
    while left and world.clock.now < start + timedelta(seconds=200):
        world.run(after_s=STEP_S)
        left = unsettled(world, left)
    assert not left, world.health()
    with world.runtime.database.read() as connection:
        settled = list(tasks.load_many(connection, good).values())
    spans = [
        (task.registered_at, task.settled_at) for task in settled if task.registered_at and task.settled_at
    ]
    assert len(spans) == len(settled)
    return Figures(
        polls=sum(task.polls for task in settled),
        latest_s=max((end - begin).total_seconds() for begin, end in spans) - GRACE_S,
        all_s=(max(end for _, end in spans) - start).total_seconds(),
    )


def unsettled(world: World, names: Iterable[str]) -> set[str]:
    with world.runtime.database.read() as connection:
        known = tasks.load_many(connection, list(names))
    return {name for name, task in known.items() if not task.settlement.settled}


# What `run_among_good_ones` gives without a poisoned task.
ALONE = Figures(polls=GOOD, latest_s=STEP_S, all_s=STEP_S * (GOOD - 1))


def test_without_a_poisoned_task_each_good_one_settles_at_its_first_poll(world: World) -> None:
    assert run_among_good_ones(world, []) == ALONE


AMONG_200 = {"poison-http-401", "poison-hang", "poison-html"}
"""A refusal, a timeout and an unreadable response; the other kinds take one of these ways, among 20 good tasks."""


QUICK = {"poison-http-500", "poison-code-401", "poison-other-task"}


@pytest.mark.parametrize(
    "kind", [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in POISONS]
)
def test_one_poisoned_task_keeps_no_good_one_waiting(world: World, kind: str) -> None:
    (name,) = world.poison(kind)
    a_step = 10 if kind in AMONG_200 else 1
    figures = run_among_good_ones(world, [name], a_step=a_step)
    assert figures.polls == a_step * ALONE.polls
    assert figures.latest_s <= SETTLED_LATE_S
    assert figures.all_s <= 1.5 * ALONE.all_s
    calls = world.upstream.calls_about(name)
    assert 1 <= calls <= 4, "it backs off"
    assert not world.health().paused(world.clock.now)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAILING)
def test_two_poisoned_tasks_at_once_keep_no_good_one_waiting_for_long(world: World, kind: str) -> None:
    figures = run_among_good_ones(world, world.poison(kind, kind))
    assert figures.polls == ALONE.polls
    assert figures.latest_s <= SETTLED_LATE_S
    assert figures.all_s <= 1.5 * ALONE.all_s


def test_a_poisoned_task_of_every_kind_at_once_keeps_no_good_one_waiting_for_long(world: World) -> None:
    poisoned = world.poison(*POISONS)
    figures = run_among_good_ones(world, poisoned)
    assert figures.polls == ALONE.polls
    assert figures.all_s <= 1.5 * ALONE.all_s
    assert all(world.upstream.calls_about(name) <= 4 for name in poisoned)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["poison-http-500", "poison-http-401", "poison-html"])
def test_twenty_poisoned_tasks_at_the_head_of_the_queue_keep_no_good_one_waiting_for_long(
    world: World, kind: str
) -> None:
    world.register(*world.poison(*[kind] * 20))
    figures = run_among_good_ones(world, [])
    assert figures.polls == ALONE.polls
    assert figures.all_s <= 1.5 * ALONE.all_s


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAILING)
def test_the_only_due_task_backs_off_and_the_next_good_one_is_asked_at_once(world: World, kind: str) -> None:
    (name,) = world.poison(kind)
    world.register(name)
    world.clock.advance(GRACE_S)
    for _ in range(40):
        world.run(after_s=5)
    assert 3 <= world.upstream.calls_about(name) <= (9 if kind == "poison-http-429" else 4)
    world.register("good")
    world.answers("good", "SUCCESS", DONE)
    world.run(after_s=GRACE_S)
    world.run(after_s=10)
    if (
        kind != "poison-code-401"
    ):  # the only task's 401 is a refused key, until a person or a quarter of an hour
        assert world.task("good").settlement.settled
        assert world.task("good").polls == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["poison-http-500", "poison-hang", "poison-html", "poison-code-401"])
def test_an_upstream_that_is_really_down_is_paused_probed_and_found_again(world: World, kind: str) -> None:
    down = {"poison-http-500": "server-error", "poison-hang": "timeout", "poison-html": "html"}
    names = [f"t{number}" for number in range(30)]
    world.upstream.set_faults({down.get(kind, "refused"): 1.0})
    world.register(*names)
    world.clock.advance(GRACE_S)
    for _ in range(60):
        world.run(after_s=2)
    assert world.health().in_trouble
    assert world.health().paused_since is not None
    assert world.calls <= 8 + 3 + 8  # those under way, and probes after 1, 2, 4 … seconds
    world.upstream.set_faults({})
    for name in names:
        world.answers(name, "SUCCESS", DONE)
    for _ in range(140 if kind == "poison-code-401" else 40):
        world.run(after_s=10)
        if not unsettled(world, names):
            break
    assert not unsettled(world, names)
    assert not world.health().in_trouble


SLOWING = {
    "HTTP 429": ({"code": 429, "msg": "slow down"}, 429),
    "HTTP 405": ("slow down", 405),
    "code 430": ({"code": 430, "msg": "too often"}, 200),
    "code 455 as text": ({"code": "455", "msg": "closed", "data": None}, 200),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", SLOWING)
@pytest.mark.parametrize("after_s", ["15", "40"])
def test_a_task_that_is_always_asked_to_slow_down_pauses_the_others_once(
    new_world: Callable[..., World],
    kind: str,
    after_s: str,
) -> None:
    world = new_world(POLL_LIMIT="1000/second", POLL_INTERVAL="1", POLL_MAX_INTERVAL="4")
    world.upstream.put("bad", *SLOWING[kind], {"Retry-After": after_s})
    good = [f"good-{number}" for number in range(20)]
    for name in good:
        world.answers(name, "SUCCESS", DONE)
    for name in ("bad", *good):
        world.register(name)
        world.clock.advance(1)
    world.clock.advance(GRACE_S - 21)
    paused = 0
    for _ in range(100):
        world.run(after_s=1)
        paused += world.health().paused(world.clock.now)
    assert paused <= int(after_s)
    assert not unsettled(world, good)
    assert world.upstream.stats()["calls"] >= 20 + 10, "it is still polled"


@pytest.mark.parametrize(
    ("http_status", "retry_after"),
    [(status, "86400") for status in (500, 502, 503, 403, 302, 404, 200)]
    + [(503, "3600"), (503, "Fri, 31 Dec 9999 23:59:59 GMT")],
)
def test_two_failing_tasks_that_say_retry_after_keep_no_good_one_waiting_for_long(
    world: World, http_status: int, retry_after: str
) -> None:
    for name, body in (("bad-1", "<html>oops</html>"), ("bad-2", "<html>busy</html>")):
        world.upstream.put(name, body, http_status, {"Retry-After": retry_after, "Location": "/x"})
    world.register("bad-1", "bad-2", "good")
    world.answers("good", "SUCCESS", DONE)
    world.clock.advance(GRACE_S)
    for _ in range(5):
        world.run(after_s=1)
    assert not unsettled(world, ["good"])


# Who goes first


@pytest.mark.slow
@BOTH_STORES
@pytest.mark.parametrize("late", [register, request_poll], ids=["registered", "requested"])
def test_hundreds_of_orphans_keep_no_registered_task_waiting_and_get_on(
    world: World, late: Callable[..., Task]
) -> None:
    orphans = {f"orphan-{number}": T0 for number in range(300)}
    database, rules = world.runtime.database, world.runtime.settings.rules
    with database.write() as connection:
        call_quota.resize_slots(connection, 2)
        made = tasks.load_or_create(connection, {**orphans, "honest": T0})
        due = [(task, _due(task, T0)) for name, task in made.items() if name != "honest"]
        honest = made["honest"]
        known = register(honest, label=None, now=T0, rules=rules)
        known = request_poll(known, now=T0) if late is request_poll else known
        tasks.save(connection, [*due, (honest, _due(known, T0 + timedelta(seconds=10)))])
    calls = reserved_calls(world, seconds=40)
    assert next(at for at, name in calls if name == "honest") <= 11.1
    about_orphans = [at for at, name in calls if name != "honest"]
    assert len([at for at in about_orphans if at < 10]) >= 15, "alone they may have every call"
    assert len(about_orphans) >= 60


def test_orphans_have_a_third_of_the_calls_while_registered_tasks_wait(world: World) -> None:
    database, rules = world.runtime.database, world.runtime.settings.rules
    with database.write() as connection:
        call_quota.resize_slots(connection, 3)
        made = tasks.load_or_create(connection, {f"{kind}-{n}": T0 for kind in "or" for n in range(200)})
        steps = [
            (
                task,
                _due(task if name[0] == "o" else register(task, label=None, now=T0, rules=rules), T0),
            )
            for name, task in made.items()
        ]
        tasks.save(connection, steps)
    calls = [name[0] for _, name in reserved_calls(world, seconds=30)]
    assert len(calls) > 60
    assert 0.25 <= calls.count("o") / len(calls) <= 1 / 3


def _due(task: Task, at: datetime) -> Task:
    return replace(task, next_poll_at=at)


def reserved_calls(world: World, *, seconds: int) -> list[tuple[float, str]]:
    """Every call that may be made, each answered at once and then not due for long."""
    calls: list[tuple[float, str]] = []
    since = 0
    for tick in range(seconds * 10):
        now = T0 + timedelta(seconds=tick / 10)
        with world.runtime.database.write() as connection:
            for call in call_quota.reserve(
                connection, now=now, most=8, period_s=1, reservation_s=30, choice=Choice(since_orphan=since)
            ):
                since = 0 if call.rank is PollRank.ORPHAN else since + 1
                calls.append((tick / 10, call.task_id))
                call_quota.release(connection, [call], ended_at=now, period_s=1)
                known = tasks.load_many(connection, [call.task_id])[call.task_id]
                tasks.save(connection, [(known, _due(known, T0 + timedelta(days=1)))])
    return calls
