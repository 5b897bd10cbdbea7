"""Tasks in order of change: complete, in order, and nothing lost to those who write at the same time."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection, select

from receiver.core.task import Task
from receiver.intake import callback_delivery
from receiver.operations import delete_task, register_task
from receiver.runtime import Runtime
from receiver.store import tasks
from receiver.store.changes import find_changes
from receiver.store.schema import change_clock, task
from receiver.store.task_list import SCAN_LIMIT, Flag, TaskFilter
from tests.conftest import BOTH_STORES, T0
from tests.store.test_task_list import DUE_BEFORE, a_task, at_most_three_of, fits, store
from tests.world import SOMEBODY

pytestmark = BOTH_STORES

LONG_AGO = T0 - timedelta(days=9)
EVERY_TASK = TaskFilter()


def callback(task_id: str, stage: str) -> bytes:
    return f'{{"code": 200, "data": {{"callbackType": "{stage}", "task_id": "{task_id}"}}}}'.encode()


def accept(runtime: Runtime, task_id: str, stage: str, *, now: datetime) -> None:
    runtime.intake.accept([callback_delivery(callback(task_id, stage), now=now, secrets=())])


def changes(
    connection: Connection, filters: TaskFilter = EVERY_TASK, *, since: datetime = LONG_AGO, limit: int = 7
) -> Iterator[Task]:
    """All of them, page by page; fails when the pages have no end."""
    after = None
    for _ in range(1000):
        page = find_changes(connection, filters, since=since, after=after, limit=limit)
        assert len(page.tasks) <= limit
        yield from page.tasks
        if page.next is None:
            return
        after = page.next
    pytest.fail("no end")


@pytest.mark.slow
def test_any_filters_find_what_fits_in_order_of_change(runtime: Runtime) -> None:
    stored_tasks = [a_task(number, runtime) for number in range(120)]
    for stored_task in reversed(stored_tasks):
        store(runtime, [stored_task])
    filters = at_most_three_of(
        (None, "in_progress", "failed"),
        (None, "SUCCESS"),
        [flag for flag in (None, *Flag) if flag is not Flag.OVERDUE],
        (None, "song 2", "task-0001", "order", "no such", ""),
        (None, "order 2"),
        (None, True, False),
    )
    sizes = set()
    with runtime.database.read() as connection:
        for outcome, status, flag, text, label, settled in filters:
            chosen = TaskFilter(
                outcome=outcome, status=status, flag=flag, text=text, label=label, settled=settled
            )
            plain = replace(chosen, text=None, due_before=DUE_BEFORE)
            expected = [
                stored_task.task_id
                for stored_task in reversed(stored_tasks)
                if fits(stored_task, plain) and found_by(stored_task, text)
            ]
            assert [
                stored_task.task_id for stored_task in changes(connection, chosen, limit=40)
            ] == expected, chosen
            sizes.add(len(expected))
    assert len(sizes) > 15, "the filters really tell tasks apart"


def found_by(stored_task: Task, text: str | None) -> bool:
    if text is None:
        return True
    begins_id = bool(text) and stored_task.task_id.startswith(text)
    return begins_id or (bool(text) and fits(stored_task, TaskFilter(text=text)))


def test_a_task_moves_to_the_end_when_it_changes_and_only_then(runtime: Runtime) -> None:
    for name in ("a", "b", "c"):
        register_task(runtime, name, label=None, now=T0, actor=SOMEBODY)
    accept(runtime, "a", "text", now=T0)
    accept(runtime, "a", "text", now=T0)  # a repetition
    accept(runtime, "b", "first", now=T0)
    accept(runtime, "b", "text", now=T0)  # brings nothing new to show, but is news to the state
    with runtime.database.read() as connection:
        found = list(changes(connection))
    assert [stored_task.task_id for stored_task in found] == ["c", "a", "b"]
    assert [stored_task.changed_at for stored_task in found] == sorted(
        {stored_task.changed_at for stored_task in found if stored_task.changed_at}
    )


@pytest.mark.parametrize(
    "step", [timedelta(0), timedelta(seconds=-1), timedelta(days=-400), timedelta(hours=1)]
)
def test_the_times_of_changes_grow_whatever_the_clocks_say(runtime: Runtime, step: timedelta) -> None:
    for number in range(5):
        accept(runtime, f"t{4 - number}", "text", now=T0 + number * step)
    with runtime.database.read() as connection:
        found = list(changes(connection, since=T0 - timedelta(days=9999)))
    assert [stored_task.task_id for stored_task in found] == ["t4", "t3", "t2", "t1", "t0"]
    assert len({stored_task.changed_at for stored_task in found}) == 5


def test_since_a_time_means_at_that_time_or_later(runtime: Runtime) -> None:
    for number in range(3):
        accept(runtime, f"t{number}", "text", now=T0 + timedelta(seconds=number))
    with runtime.database.read() as connection:
        middle = tasks.load(connection, "t1")
        assert middle and middle.changed_at
        assert [stored_task.task_id for stored_task in changes(connection, since=middle.changed_at)] == [
            "t1",
            "t2",
        ]


def test_the_times_still_grow_when_the_last_changed_task_was_deleted(runtime: Runtime) -> None:
    accept(runtime, "ahead", "text", now=T0 + timedelta(hours=1))
    delete_task(runtime, "ahead", now=T0, actor=SOMEBODY)
    accept(runtime, "later", "text", now=T0)
    with runtime.database.read() as connection:
        later = tasks.load(connection, "later")
    assert later and later.changed_at and later.changed_at > T0 + timedelta(hours=1)


@pytest.mark.slow
def test_a_page_of_changes_looks_at_so_many_at_most_and_the_pages_still_reach_the_end(
    runtime: Runtime,
) -> None:
    many = [replace(a_task(0, runtime), task_id=f"m{n:05}", label="many") for n in range(SCAN_LIMIT + 10)]
    store(runtime, many)
    store(runtime, [replace(a_task(1, runtime), task_id="rare", label="rare")])
    with runtime.database.read() as connection:
        first = find_changes(connection, TaskFilter(label="rare"), since=LONG_AGO, after=None, limit=5)
        assert (list(first.tasks), first.next is None) == ([], False)
        assert [stored_task.task_id for stored_task in changes(connection, TaskFilter(label="rare"))] == [
            "rare"
        ]


@pytest.mark.slow
def test_a_reader_loses_nothing_to_writers_on_machines_whose_clocks_differ(
    new_runtime: Callable[..., Runtime],
) -> None:
    """Each writer raises its tasks through three stages; the reader must in the end know every last version."""
    nodes = [new_runtime() for _ in range(4)]
    skews = [timedelta(seconds=seconds) for seconds in (0, -3, 2, -0.001)]
    done = threading.Event()

    def write(number: int) -> None:
        for turn in range(12):
            for stage in ("text", "first", "complete"):
                now = T0 + timedelta(milliseconds=turn) + skews[number]
                shared, own = callback(f"shared-{turn}", stage), callback(f"own-{number}-{turn}", stage)
                some = [shared.replace(b"}}", f'}}, "n": {number}}}'.encode()), own]
                nodes[number].intake.accept([callback_delivery(body, now=now, secrets=()) for body in some])

    def read(by_time: bool) -> dict[str, int]:
        """By cursor within a run, and by the last task's time from run to run; or by the cursor alone."""
        stored_tasks: dict[str, int] = {}
        since, after = LONG_AGO, None
        while True:
            last = done.is_set()
            with nodes[0].database.read() as connection:
                page = find_changes(connection, EVERY_TASK, since=since, after=after, limit=5)
            for changed_task in page.tasks:
                assert changed_task.changed_at
                stored_tasks[changed_task.task_id] = changed_task.version
                since = changed_task.changed_at
                after = None if by_time else (changed_task.changed_at, changed_task.task_id)
            after = page.next if by_time else after
            if last and page.next is None:
                return stored_tasks

    with ThreadPoolExecutor(6) as pool:
        readers = [pool.submit(read, by_time) for by_time in (True, False)]
        for writer in [pool.submit(write, number) for number in range(4)]:
            writer.result()
        done.set()
        results = [reader.result(timeout=60) for reader in readers]
    with nodes[0].database.read() as connection:
        truth = {
            row.task_id: row.version for row in connection.execute(select(task.c.task_id, task.c.version))
        }
        assert connection.execute(select(change_clock)).all()
    assert len(truth) == 12 * 5
    assert results == [truth, truth]
