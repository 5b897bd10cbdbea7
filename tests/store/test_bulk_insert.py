"""Rows inserted many at a time are the rows that were given."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo

import pytest
from sqlalchemy import func, select

from receiver.core.task import Task
from receiver.core.task_events import on_duplicate
from receiver.runtime import Runtime
from receiver.store import tasks
from receiver.store.bulk_insert import SIZES
from receiver.store.schema import task
from tests.conftest import BOTH_STORES, T0


@BOTH_STORES
def test_any_number_of_rows_is_stored(runtime: Runtime) -> None:
    first = 0
    for count in sorted(
        {0, 1, 2, 3, *SIZES, *(size - 1 for size in SIZES), *(3 * size + 2 for size in SIZES)}
    ):
        some = [new_task(f"task-{number:04}") for number in range(first, first + count)]
        store(runtime, *some)
        first += count
        with runtime.database.read() as connection:
            assert connection.scalar(select(func.count()).select_from(task)) == first
            assert sorted(tasks.load_many(connection, [each.task_id for each in some])) == [
                each.task_id for each in some
            ]


@BOTH_STORES
def test_every_column_comes_back_as_it_was(runtime: Runtime) -> None:
    zone = timezone(timedelta(hours=5, minutes=30))
    full = replace(
        new_task("full"),
        label="ä 'quoted' 🎵",
        query="a=1&b=%00",
        attempt=3,
        poll_requested=True,
        last_callback_at=moment(0, UTC),
        settled_at=moment(1, UTC),
        next_poll_at=moment(999_999, zone),
        expedited_at=moment(120_000, zone),
    )
    plain = new_task("plain")
    store(runtime, full, plain)
    with runtime.database.read() as connection:
        found = tasks.load_many(connection, ["full", "plain"])
    for given in (full, plain):
        stored = found[given.task_id]
        assert stored.changed_at is not None
        assert replace(stored, changed_at=given.changed_at) == given


@BOTH_STORES
@pytest.mark.parametrize("count", [1, 5, 70])
def test_a_row_that_holds_a_place_is_replaced(runtime: Runtime, count: int) -> None:
    names = {f"task-{number:02}": T0 for number in range(count)}
    with runtime.database.write() as connection:
        held = tasks.load_or_create(connection, names)
        tasks.save(connection, [(before, on_duplicate(before, now=T0)) for before in held.values()])
    with runtime.database.read() as connection:
        assert {each.callbacks for each in tasks.load_many(connection, names).values()} == {1}
        assert connection.scalar(select(func.count()).select_from(task)) == count


def moment(microsecond: int, zone: tzinfo) -> datetime:
    return datetime(2026, 1, 2, 3, 4, 5, microsecond, tzinfo=zone)


def new_task(task_id: str) -> Task:
    return on_duplicate(Task(task_id=task_id, first_seen_at=T0), now=T0)


def store(runtime: Runtime, *some: Task) -> None:
    with runtime.database.write() as connection:
        tasks.save(
            connection,
            [(Task(task_id=each.task_id, first_seen_at=each.first_seen_at), each) for each in some],
        )
