"""Measures the admin page on a seeded database: `python -m benchmarks.admin_views FILE`."""

import logging
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from flask.testing import FlaskClient
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sqlalchemy import event

from benchmarks.site import open_site, sign_in
from benchmarks.views import View, admin_views, api_views
from receiver.store.database import Database
from tests.servers.processes import API_TOKEN

SLOW_MS = 30.0
WARM_UP = 3
TIMES = 5
MAX_SHOWN = 300
BEARER = {"Authorization": f"Bearer {API_TOKEN}"}

Query = tuple[str, Any]
"""A statement and its parameters."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A view's times over all runs, and the queries of one run, slowest first, with what each takes by itself."""

    name: str
    status: int
    kb: float
    times_ms: Sequence[float]
    queries: Sequence[tuple[float, Query]]

    @property
    def median_ms(self) -> float:
        return statistics.median(self.times_ms)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True))
@click.option("--runs", default=30, show_default=True)
@click.option("--api", is_flag=True, help="Measure the API too.")
@click.option("--plans", is_flag=True, help="Print the plan of each view's slowest query.")
@click.option("--only", default="", help="Only addresses that contain this.")
def main(file: Path, runs: int, api: bool, plans: bool, only: str) -> None:
    """Measure the views of the database FILE."""
    logging.disable(logging.WARNING)
    console = Console(width=150, soft_wrap=True)
    runtime, client = open_site(file)
    sign_in(client)
    with runtime.database.read() as connection:
        views = [*admin_views(client, connection), *(api_views() if api else ())]
    selected = [view for view in views if only in (view.name or view.address)]
    measured = [measure(runtime.database, client, view, runs=runs) for view in track(selected, "Views")]
    console.print(table_of(measured))
    slow = [f"{view.name} ({view.median_ms:.0f} ms)" for view in measured if view.median_ms > SLOW_MS]
    console.print(
        f"slower than {SLOW_MS:.0f} ms: {', '.join(slow) or 'nothing'}", highlight=False, markup=False
    )
    for view in measured if plans else ():
        console.print(explained(runtime.database, view), highlight=False, markup=False)


def measure(database: Database, client: FlaskClient, view: View, *, runs: int) -> Measured:
    def get() -> Any:
        return client.get(view.address, headers=BEARER if view.address.startswith("/api/") else {})

    with _recorded(database) as queries:
        response = get()
    for _ in range(WARM_UP):
        get()
    reading = (query for query in queries if query[0].lstrip().upper().startswith(("SELECT", "WITH")))
    timed = [(_query_ms(database, query), query) for query in reading]
    return Measured(
        name=view.name or view.address,
        status=response.status_code,
        kb=len(response.data) / 1000,
        times_ms=[_timed_ms(get) for _ in range(runs)],
        queries=sorted(timed, key=lambda each: -each[0]),
    )


def table_of(measured: Sequence[Measured]) -> Table:
    table = Table(box=box.SIMPLE)
    table.add_column("view", no_wrap=True)
    for name in ("status", "queries", "median ms", "p95 ms", "slowest query ms", "KB"):
        table.add_column(name, justify="right")
    for view in measured:
        p95_ms = sorted(view.times_ms)[max(round(0.95 * len(view.times_ms)) - 1, 0)]
        times = (f"{value:.1f}" for value in (view.median_ms, p95_ms, view.queries[0][0]))
        figures = (str(view.status), str(len(view.queries)), *times, f"{view.kb:.0f}")
        table.add_row(view.name, *figures, style="red" if view.median_ms > SLOW_MS else None)
    return table


def explained(database: Database, view: Measured) -> str:
    """The view's slowest query, and SQLite's plan of it."""
    took_ms, (statement, parameters) = view.queries[0]
    with closing(database.engine.raw_connection()) as connection:
        plan = connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
    head = (
        f"\n{took_ms:.1f} ms in {view.name}",
        " ".join(statement.split()),
        f"with {str(parameters)[:MAX_SHOWN]}",
    )
    return "\n".join([*head, *(f"  {step[-1]}" for step in plan)])


@contextmanager
def _recorded(database: Database) -> Iterator[list[Query]]:
    queries: list[Query] = []

    def record(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        queries.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", record)
    yield queries
    event.remove(database.engine, "before_cursor_execute", record)


def _query_ms(database: Database, query: Query) -> float:
    """By itself and to its last row: SQLite finds most rows only when they are fetched."""
    with closing(database.engine.raw_connection()) as connection:
        cursor = connection.cursor()
        return statistics.median(_timed_ms(lambda: cursor.execute(*query).fetchall()) for _ in range(TIMES))


def _timed_ms(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    main()
