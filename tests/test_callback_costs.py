"""What a callback costs is counted, not timed: whatever came before it, and however many tasks are stored."""

import itertools
import json
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select

from benchmarks.bulk import insert_tasks
from receiver.intake import Delivery, callback_delivery, poll_delivery
from receiver.operations import register_task
from receiver.runtime import Runtime
from receiver.store.schema import task
from tests.conftest import T0
from tests.world import SOMEBODY

AT_MOST_TIMES = 1.5
FULL_AT_MOST_TIMES = 3  # a state that is as full as it may be is read and written whole
PAGE = 4096


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Function calls of Python, steps of SQLite's virtual machine, and bytes that were written ahead."""

    calls: int
    steps: int
    written: int

    def is_about(self, other: "Cost", *, times: float, more_written: int = 0) -> bool:
        """Where a page splits, a few more are written."""
        written = times * other.written + 8 * PAGE + more_written
        return (
            self.calls <= times * other.calls
            and self.steps <= times * other.steps
            and self.written <= written
        )


class Meter:
    """Counts what the callbacks cost that it sends, one at a time, on a SQLite file."""

    def __init__(self, runtime: Runtime) -> None:
        self._intake, engine = runtime.intake, runtime.database.engine
        self._log = Path(f"{engine.url.database}-wal")
        self._steps = self._calls = 0
        engine.dispose()  # each connection from now on counts
        event.listen(engine, "connect", self._count_on)

    def least(self, *bodies: bytes) -> Cost:
        """By each measure the least of them: the first of a kind also fills caches, and some merge an index."""
        costs = [astuple(self._cost(callback(body))) for body in bodies]
        calls, steps, written = map(min, zip(*costs, strict=True))
        return Cost(calls=calls, steps=steps, written=written)

    def _cost(self, sent: Delivery) -> Cost:
        size, self._steps, self._calls = self._log_size(), 0, 0
        with self._counting_calls():
            self._intake.submit(sent)
        return Cost(calls=self._calls, steps=self._steps, written=self._log_size() - size)

    def _log_size(self) -> int:
        return self._log.stat().st_size if self._log.exists() else 0

    def _count_on(self, driver: sqlite3.Connection, _: object) -> None:
        driver.execute("PRAGMA wal_autocheckpoint = 0")  # the log only grows
        driver.set_progress_handler(self._count_step, 1)

    def _count_step(self) -> int:
        self._steps += 1
        return 0

    @contextmanager
    def _counting_calls(self) -> Iterator[None]:
        def count(_frame: object, happened: str, _argument: object) -> None:
            self._calls += happened in ("call", "c_call")

        before = sys.getprofile()
        sys.setprofile(count)
        try:
            yield
        finally:
            sys.setprofile(before)


def callback(body: bytes) -> Delivery:
    return callback_delivery(body, now=T0, secrets=())


def stage(task_id: str, *rows: Mapping[str, Any], kind: str = "text", code: int = 200, **more: Any) -> bytes:
    data = {"callbackType": kind, "task_id": task_id, "data": rows, **more}
    return json.dumps({"code": code, "msg": "said", "data": data}).encode()


def answer(number: int) -> Delivery:
    data = {"taskId": "t", "status": "PENDING", "number": number, "response": {"sunoData": [{"id": "a"}]}}
    return poll_delivery(json.dumps({"code": 200, "data": data}).encode(), "t", now=T0, secrets=())


def url(number: int) -> str:
    return f"https://example.org/{number}.mp3"


EARLIER: dict[str, Callable[[int], Delivery]] = {
    "stages": lambda n: callback(stage("t", {"id": "a"}, kind=("text", "first", "complete")[n % 3], n=n)),
    "repetitions": lambda _: callback(stage("t", {"id": "a", "title": "Tides"})),
    "rivals": lambda n: callback(stage("t", {"id": "a", "audio_url": url(n)}, kind="complete")),
    "titles": lambda n: callback(stage("t", {"id": "a", "title": f"{n} of many words " * 20})),
    "rows without ids": lambda n: callback(stage("t", {"title": f"{n}"})),
    "failures": lambda n: callback(stage("t", kind="error", code=500 + n % 99, n=n)),
    "odd stages": lambda n: callback(stage("t", kind=f"kind-{n}")),
    "what cannot be read": lambda n: callback(stage("t").replace(b"[]", b"%d" % n)),
    "another product": lambda n: callback(stage("t", audioWavUrl=url(n)).replace(b'"data": [], ', b"")),
    "answers": answer,
    "tracks": lambda n: callback(stage("t", *[{"id": f"{n}-{row}"} for row in range(32)])),
    "texts": lambda n: callback(stage("t", {"id": f"{n % 30}", "prompt": f"{n}" + "x" * 10_000})),
}
FILLING = {"tracks", "texts"}


def all_kinds(number: int) -> Delivery:
    return [*EARLIER.values()][number % len(EARLIER)](number)


@pytest.mark.parametrize("registered", [True, False], ids=["registered", "orphan"])
@pytest.mark.parametrize("kind", [*EARLIER, "all kinds"])
def test_a_callback_costs_the_same_whatever_its_task_has_received(
    runtime: Runtime, kind: str, registered: bool
) -> None:
    meter, earlier = Meter(runtime), EARLIER.get(kind, all_kinds)
    if registered:
        register_task(runtime, "t", label=None, now=T0, actor=SOMEBODY)
    numbers, received, costs = itertools.count(), 0, []
    again = stage("t", {"id": "a"}, kind="first")
    meter.least(*[stage("other", {"id": "a"}, kind="first", other=n) for n in range(3)], again, again)
    for so_many in (1, 10, 200):
        runtime.intake.accept([earlier(number) for number in range(received, so_many)])
        received = so_many
        news = [stage("t", {"id": "a", "title": f"z{next(numbers):04}"}, kind="first") for _ in range(3)]
        costs.append((meter.least(*news), meter.least(again, again, again)))
    with runtime.database.read() as connection:
        state_size = connection.scalars(select(func.length(task.c.state)).where(task.c.task_id == "t")).one()
    full = kind in FILLING or kind == "all kinds"
    (first_news, first_again), *later = costs
    for news_cost, again_cost in later:
        times = FULL_AT_MOST_TIMES if full else AT_MOST_TIMES
        assert news_cost.is_about(first_news, times=times, more_written=2 * state_size), costs
        assert again_cost.is_about(first_again, times=AT_MOST_TIMES), costs


def test_a_callback_costs_the_same_however_many_tasks_are_stored(runtime: Runtime) -> None:
    meter, stored, costs = Meter(runtime), 0, []
    for so_many in (100, 10_000):
        with runtime.database.write() as connection:
            insert_tasks(connection, so_many - stored, at=T0, first=stored + 1, body="{}")
        stored = so_many
        new = [stage(f"new-{so_many}-{n}", {"id": "a"}) for n in range(4)]
        known = [stage(f"{so_many:032}", {"id": "a"}, n=n) for n in range(4)]
        costs.append((meter.least(*new), meter.least(*known), meter.least(*[known[0]] * 3)))
    for first, later in zip(*costs, strict=True):
        assert later.is_about(first, times=AT_MOST_TIMES), costs


def test_a_cost_that_grows_would_be_found(runtime: Runtime) -> None:
    """As if each callback walked over those that came before it."""
    meter = Meter(runtime)

    @event.listens_for(runtime.database.engine, "begin")
    def _walk(connection: Any) -> None:
        connection.exec_driver_sql("SELECT count(*) FROM delivery WHERE status = 'x'")

    before = meter.least(*[stage("t", n=n) for n in range(3)])
    runtime.intake.accept([callback(stage("t", n=n)) for n in range(3, 1000)])
    assert not meter.least(*[stage("t", later=n) for n in range(3)]).is_about(before, times=AT_MOST_TIMES)
