"""How SQLite finds what is asked for: by an index, whatever the filters."""

from datetime import timedelta
from itertools import product
from typing import Any

from sqlalchemy import event

from receiver.runtime import Runtime
from receiver.store import listing
from receiver.store.listing import Filter, Flag
from tests.conftest import T0

DUE_BEFORE = T0 + timedelta(hours=2)


def test_no_list_walks_over_the_whole_table_or_sorts_it(runtime: Runtime) -> None:
    said: list[tuple[str, Any]] = []

    @event.listens_for(runtime.database.engine, "before_cursor_execute")
    def _listen(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: Any) -> None:
        said.append((statement, parameters))

    filters = [
        Filter(outcome=outcome, status=status, flag=flag, before=before, due_before=DUE_BEFORE)
        for outcome, status, flag, before in product(
            (None, "failed"), (None, "SUCCESS"), (None, *Flag), (None, (T0, "a"))
        )
    ]
    with runtime.database.read() as connection:
        for wanted in [
            *filters,
            Filter(text="tides"),
            Filter(text="tides", outcome="failed", status="SUCCESS"),
        ]:
            listing.find(connection, wanted, limit=50)
        queries = [one for one in said if one[0].startswith("SELECT")]
        assert len(queries) > len(filters)
        for statement, parameters in queries:
            plan = [
                row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            ]
            walks = [step for step in plan if step.startswith("SCAN task") and "INDEX" not in step]
            assert not [step for step in walks if "VIRTUAL TABLE" not in step], (statement, plan)
            sorts = "TEMP B-TREE FOR ORDER BY" in " ".join(plan)
            bounded = "number IN" in statement or "task_id BETWEEN" in statement
            assert not sorts or bounded, (statement, plan)
