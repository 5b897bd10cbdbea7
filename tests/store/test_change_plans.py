"""How both databases find what changed, what has a label, and what is to be deleted: by an index, in its order."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from sqlalchemy import event, text

from benchmarks.bulk import insert_tasks
from receiver.operations import delete_task
from receiver.runtime import Runtime
from receiver.store import task_list, tasks
from receiver.store.changes import find_changes
from receiver.store.task_list import Flag, TaskFilter
from tests.conftest import BOTH_STORES, T0
from tests.world import SOMEBODY

pytestmark = BOTH_STORES

MANY = 20_000
VARIETY = """
    UPDATE task SET changed_at = first_seen_at,
    label = CASE WHEN number % 2 = 1 THEN 'label ' || (number % 50) END,
    outcome = CASE WHEN number % 10 = 0 THEN 'in_progress' ELSE 'succeeded' END
"""


@pytest.fixture
def filled(runtime: Runtime) -> Runtime:
    """So many tasks and deliveries that a plan that reads them all costs more than one that looks a few up."""
    for second in range(20):
        first, at = 1 + second * MANY // 20, T0 + timedelta(seconds=second)
        with runtime.database.write() as connection:
            insert_tasks(connection, MANY // 20, at=at, first=first, body="{}")
    with runtime.database.write() as connection:
        connection.execute(text(VARIETY))
    with runtime.database.write() as connection:
        connection.execute(text("ANALYZE"))
    return runtime


@contextmanager
def statements(runtime: Runtime) -> Iterator[list[tuple[str, Any]]]:
    executed: list[tuple[str, Any]] = []

    def listen(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: Any) -> None:
        executed.append((statement, parameters[0] if many else parameters))

    event.listen(runtime.database.engine, "before_cursor_execute", listen)
    yield executed
    event.remove(runtime.database.engine, "before_cursor_execute", listen)


def walks(runtime: Runtime, statement: str, parameters: Any) -> list[str]:
    """The steps of its plan that read a whole table that grows, or sort what no limit bounds."""
    is_sqlite = runtime.database.is_sqlite
    with runtime.database.read() as connection:
        explain = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
        rows = connection.exec_driver_sql(f"{explain} {statement}", parameters).all()
    plan = [str(row[3] if is_sqlite else row[0]).strip() for row in rows]
    names = ("SCAN task", "SCAN delivery") if is_sqlite else ("Seq Scan on task", "Seq Scan on delivery")
    whole = [step for step in plan if any(name in step for name in names) and "INDEX" not in step]
    bounded = " IN (" in statement
    sorts = [
        step for step in plan if "ORDER BY" in step or step.removeprefix("->").strip().startswith("Sort")
    ]
    return whole + ([] if bounded else sorts)


@pytest.mark.slow
def test_no_list_of_changes_walks_over_the_whole_table_or_sorts_it(filled: Runtime) -> None:
    filters = product(
        (None, "failed"), (None, "SUCCESS"), (None, Flag.CONFLICT), (None, "label 7"), (None, True, False),
        (None, "tides"), (None, (T0 + timedelta(seconds=3), f"{3_500:032}")),
    )  # fmt: skip
    with statements(filled) as executed, filled.database.read() as connection:
        for outcome, status, flag, label, settled, words, after in filters:
            chosen = TaskFilter(
                outcome=outcome, status=status, flag=flag, label=label, settled=settled, text=words
            )
            find_changes(connection, chosen, since=T0 + timedelta(seconds=2), after=after, limit=50)
    queries = {statement: parameters for statement, parameters in executed if statement.startswith("SELECT")}
    assert len(queries) > 50
    for statement, parameters in queries.items():
        assert not walks(filled, statement, parameters), statement


def test_no_list_by_label_or_settled_walks_over_the_whole_table_or_sorts_it(filled: Runtime) -> None:
    filters = product(
        (None, "failed"), (None, "SUCCESS"), (None, Flag.CONFLICT), ("label 7", "no such", None), (None, True, False),
        (None, (T0 + timedelta(seconds=19), f"{19_500:032}")),
    )  # fmt: skip
    with statements(filled) as executed, filled.database.read() as connection:
        for outcome, status, flag, label, settled, before in filters:
            chosen = TaskFilter(
                outcome=outcome, status=status, flag=flag, label=label, settled=settled, before=before
            )
            task_list.find(connection, chosen, limit=50)
    queries = {statement: parameters for statement, parameters in executed if statement.startswith("SELECT")}
    for statement, parameters in queries.items():
        assert not walks(filled, statement, parameters), statement


def change(runtime: Runtime) -> None:
    with runtime.database.write() as connection:
        found = tasks.load_or_create(connection, {"new": T0, f"{78:032}": T0})
        tasks.save(
            connection, [(task, replace(task, registered_at=T0, version=9)) for task in found.values()]
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    "do",
    [change, lambda runtime: delete_task(runtime, f"{77:032}", now=T0, actor=SOMEBODY)],
    ids=["change", "delete"],
)
def test_no_statement_of_a_change_or_a_deletion_reads_a_whole_table(
    filled: Runtime, do: Callable[[Runtime], object]
) -> None:
    with statements(filled) as executed:
        do(filled)
    kinds = ("SELECT", "UPDATE", "DELETE")
    mine = [
        statement
        for statement in executed
        if statement[0].startswith(kinds) and "set_config" not in statement[0]
    ]
    assert len(mine) >= 3
    for statement, parameters in mine:
        assert not walks(filled, statement, parameters), statement
