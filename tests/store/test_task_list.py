"""Lists of tasks: every filter right, every page fast."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from sqlalchemy import Connection

from receiver.core.observation import Observation, Source, Track
from receiver.core.task import Task
from receiver.core.task_events import acknowledge, on_callback, register
from receiver.runtime import Runtime
from receiver.store import task_list, tasks
from receiver.store.changes import find_changes
from receiver.store.task_list import MAX_PAGE_CHARS, SCAN_LIMIT, Flag, TaskFilter
from tests.conftest import BOTH_STORES, T0

pytestmark = BOTH_STORES

DUE_BEFORE = T0 + timedelta(hours=2)


def a_task(number: int, runtime: Runtime) -> Task:
    """One of many sorts, by its number."""
    rules, now = runtime.settings.rules, T0 + timedelta(seconds=number)
    statuses = ("PENDING", "FIRST_SUCCESS", "SUCCESS", "GENERATE_AUDIO_FAILED", "ODD")
    fields = {"id": "a", "title": f"Song {number % 3}"} | (
        {"audioUrl": "https://x.org/a"} if number % 2 else {}
    )
    track = Track(key="id:a", fields=fields)
    task = Task(task_id=f"task-{number:05}", first_seen_at=now)
    if number % 7:
        task = register(task, label=f"order {number % 4}", now=now, rules=rules)
    for status in {statuses[number % 5], statuses[number % 11 % 5]}:
        source = Source.POLL if number % 3 else Source.CALLBACK
        observation = Observation(task_id=task.task_id, source=source, status=status, tracks=(track,))
        task = on_callback(task, observation, now=now, rules=rules)
    return acknowledge(task) if number % 13 == 0 else task


def store(runtime: Runtime, stored_tasks: list[Task]) -> None:
    for first in range(0, len(stored_tasks), 100):  # no transaction may last long
        some = stored_tasks[first : first + 100]
        with runtime.database.write() as connection:
            fresh = tasks.load_or_create(connection, {task.task_id: task.first_seen_at for task in some})
            tasks.save(connection, [(fresh[task.task_id], task) for task in some])


def pages(connection: Connection, filters: TaskFilter, *, limit: int) -> Iterator[list[str]]:
    """The ids page by page; fails when the pages have no end."""
    for _ in range(1000):
        page = task_list.find(connection, filters, limit=limit)
        yield [task.task_id for task in page.tasks]
        if page.next is None:
            return
        filters = replace(filters, before=page.next)
    pytest.fail("no end")


def fits(task: Task, filters: TaskFilter) -> bool:
    late = task.settlement.outcome == "in_progress" and task.next_poll_at and task.next_poll_at <= DUE_BEFORE
    flags = {
        None: True,
        Flag.PROBLEM: task.problem is not None,
        Flag.OVERDUE: bool(late),
        Flag.CONFLICT: task.state.conflict,
        Flag.UNACKNOWLEDGED_CONFLICT: task.problem == "conflict",
        Flag.RECOVERED: task.settlement.recovered,
        Flag.LOST_CALLBACK: task.settlement.lost_callback,
        Flag.ORPHAN: task.registered_at is None,
    }
    title = "".join(str(claims["title"].value) for claims in task.tracks.values())
    said = f"{title} {task.label or ''}".lower().split()
    return (
        flags[filters.flag]
        and filters.outcome in (None, task.settlement.outcome)
        and filters.status in (None, task.state.status.word)
        and filters.label in (None, task.label)
        and filters.settled in (None, task.settlement.settled)
        and all(any(term.startswith(word) for term in said) for word in (filters.text or "").split())
    )


def at_most_three_of(*filters: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
    """Every choice of filters with three of them set at most, and one with all."""
    choices = list(product(*filters))
    few = [chosen for chosen in choices if sum(value is not None for value in chosen) <= 3]
    yield from [*few, choices[-1]]


@pytest.mark.slow
def test_any_filters_find_what_fits_newest_first_page_by_page(runtime: Runtime) -> None:
    stored_tasks = [a_task(number, runtime) for number in range(150)]
    store(runtime, stored_tasks)
    outcomes = (None, "in_progress", "succeeded", "failed")
    statuses = (None, "SUCCESS", "ODD", "GENERATE_AUDIO_FAILED", "none such")
    labels = (None, "order 2")
    sizes = set()
    with runtime.database.read() as connection:
        for outcome, status, flag, text, label, settled in at_most_three_of(
            outcomes, statuses, (None, *Flag), (None, "song 2", "order 1"), labels, (None, True, False)
        ):
            filters = TaskFilter(
                outcome=outcome, status=status, flag=flag, text=text, label=label, settled=settled,
                due_before=DUE_BEFORE,
            )  # fmt: skip
            expected = [task.task_id for task in reversed(stored_tasks) if fits(task, filters)]
            assert [key for page in pages(connection, filters, limit=40) for key in page] == expected
            sizes.add(len(expected))
    assert len(sizes) > 20, "the filters really tell tasks apart"


@pytest.mark.slow
def test_a_page_looks_at_so_many_tasks_at_most_and_the_pages_still_reach_the_end(runtime: Runtime) -> None:
    stored_tasks = [a_task(number, runtime) for number in (11, 22, 33)]
    ended = [replace(a_task(0, runtime), task_id=f"many-{n:05}", first_seen_at=T0 + timedelta(hours=1, seconds=n))
             for n in range(SCAN_LIMIT + 10)]  # fmt: skip
    store(runtime, stored_tasks + ended)
    sought = stored_tasks[1]
    filters = TaskFilter(
        status=ended[0].state.status.word,
        outcome=sought.settlement.outcome.value,
        flag=Flag.ORPHAN,
    )
    with runtime.database.read() as connection:
        assert [len(page) for page in pages(connection, replace(filters, outcome="failed"), limit=5)] == [
            0,
            0,
        ]


@pytest.mark.parametrize(
    ("sought", "found"),
    [
        ("tides", ["a", "b"]), ("TID", ["a", "b"]), ("whisp tides", ["a"]), ("ides", []), ("cafe", ["b"]),
        ("CAFÉ", ["b"]), ("север", ["a"]), ("order", ["a"]), ("17", ["a"]), ("no such", []), ("b", ["b"]),
        ("tides no", []), ('"', []), ("*", []), ("tides*", ["a", "b"]), ("a:b", []), ("NEAR(tides, 1)", []), ("%", []),
        ("tides' OR '9", []),
    ],
)  # fmt: skip
def test_words_are_found_by_their_beginnings_and_ids_by_theirs(
    runtime: Runtime, sought: str, found: list[str]
) -> None:
    titles = {"a": "Whispering Tides / Северный ветер", "b": "Café Tides"}
    stored_tasks = [
        replace(_titled(key, title), label="order 17" if key == "a" else None, registered_at=T0)
        for key, title in titles.items()
    ]
    store(runtime, stored_tasks)
    with runtime.database.read() as connection:
        page = task_list.find(connection, TaskFilter(text=sought), limit=9)
    assert sorted(task.task_id for task in page.tasks) == found


def _titled(key: str, title: str) -> Task:
    track = Track(key="id:x", fields={"id": "x", "title": title})
    observation = Observation(task_id=key, source=Source.POLL, status="PENDING", tracks=(track,))
    return replace(
        Task(task_id=key, first_seen_at=T0), state=Task(task_id=key, first_seen_at=T0).state.of(observation)
    )


def test_a_task_is_no_more_found_by_words_it_has_lost(runtime: Runtime) -> None:
    store(runtime, [replace(_titled("a", "Tides"), label="before", registered_at=T0)])
    with runtime.database.write() as connection:
        task = tasks.load(connection, "a")
        assert task
        tasks.save(connection, [(task, replace(task, label="after"))])
    with runtime.database.read() as connection:
        found = [
            len(task_list.find(connection, TaskFilter(text=word), limit=9).tasks)
            for word in ("before", "after", "tides")
        ]
        assert found == [0, 1, 1]
        if runtime.database.is_sqlite:
            connection.exec_driver_sql(
                "INSERT INTO task_words(task_words, rank) VALUES ('integrity-check', 1)"
            )


@pytest.mark.slow
def test_a_search_reaches_every_match_however_many_there_are(runtime: Runtime) -> None:
    many = [
        replace(_titled(f"love-{n:04}", "Love song"), first_seen_at=T0 + timedelta(seconds=n))
        for n in range(1100)
    ]
    store(
        runtime,
        [replace(task, registered_at=T0, label="rare" if n == 3 else None) for n, task in enumerate(many)],
    )
    with runtime.database.write() as connection:
        rare = tasks.load(connection, "love-0003")
        assert rare
        tasks.save(connection, [(rare, replace(rare, acknowledged_version=7))])
    with runtime.database.read() as connection:
        for sought in ("love", "song lov"):
            found = [key for page in pages(connection, TaskFilter(text=sought), limit=90) for key in page]
            assert found == [task.task_id for task in reversed(many)]
        assert [
            key
            for page in pages(connection, TaskFilter(text="love", outcome="failed"), limit=9)
            for key in page
        ] == []
        assert [key for page in pages(connection, TaskFilter(text="love rare"), limit=9) for key in page] == [
            "love-0003"
        ]


@pytest.mark.slow
def test_the_longest_overdue_are_found_among_any_number_in_progress(runtime: Runtime) -> None:
    fresh = [replace(_titled(f"t{n:04}", "x"), registered_at=T0, next_poll_at=T0 + timedelta(hours=9),
                     first_seen_at=T0 + timedelta(seconds=n)) for n in range(SCAN_LIMIT + 50)]  # fmt: skip
    late = replace(_titled("late", "x"), registered_at=T0, next_poll_at=T0 - timedelta(days=9))
    store(runtime, [late, *fresh])
    with runtime.database.read() as connection:
        filters = TaskFilter(flag=Flag.OVERDUE, due_before=T0)
        assert list(pages(connection, filters, limit=5)) == [["late"]]
        assert list(pages(connection, replace(filters, due_before=None), limit=5)) == [[]]


@pytest.mark.slow
def test_the_settled_ones_are_found_behind_any_number_in_progress(runtime: Runtime) -> None:
    waiting = [
        replace(_titled(f"t{n:04}", "x"), first_seen_at=T0 + timedelta(seconds=n))
        for n in range(SCAN_LIMIT + 5)
    ]
    ended = replace(a_task(7, runtime), task_id="ended", first_seen_at=T0 - timedelta(days=1))
    assert ended.settlement.settled
    store(runtime, [ended, *waiting])
    with runtime.database.read() as connection:
        assert list(pages(connection, TaskFilter(settled=True), limit=5)) == [[], ["ended"]]
        assert list(pages(connection, TaskFilter(settled=True, outcome="in_progress"), limit=5)) == [[]]
        assert len(list(pages(connection, TaskFilter(settled=False), limit=5000))) == 1


def test_a_page_has_so_many_bytes_of_states_and_goes_on_behind_them(runtime: Runtime) -> None:
    sizes = (0.4, 0.4, 0.4, 1.5, 0.1, 0.4)

    def large(number: int) -> Task:
        text = "x" * int(sizes[number] * MAX_PAGE_CHARS)
        observation = Observation(task_id="", source=Source.POLL, details={"param": text})
        task, now = Task(task_id=f"{number}", first_seen_at=T0 + timedelta(seconds=number)), T0
        return on_callback(task, observation, now=now, rules=runtime.settings.rules)

    store(runtime, [large(number) for number in range(len(sizes))])
    with runtime.database.read() as connection:
        found = list(pages(connection, TaskFilter(), limit=200))
        changed = find_changes(connection, TaskFilter(), since=T0, after=None, limit=200)
    assert found == [["5", "4"], ["3"], ["2", "1"], ["0"]]
    assert ([task.task_id for task in changed.tasks], bool(changed.next)) == (["0", "1"], True)
