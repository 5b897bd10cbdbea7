"""Measures the admin page on a seeded database: `python -m benchmarks.admin_views FILE`."""

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
from flask.testing import FlaskClient
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.measuring import Measured, Query, explain, measure
from benchmarks.processes import API_TOKEN
from benchmarks.site import open_site, sign_in
from benchmarks.views import View, admin_views, api_views
from receiver.store.database import Database

SLOW_MS = 30.0
MAX_SHOWN = 300
MANY = re.compile(r"\(\?(, \?){7,}\)")
BEARER = {"Authorization": f"Bearer {API_TOKEN}"}

console = Console(width=150, soft_wrap=True)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True))
@click.option("--runs", default=30, show_default=True)
@click.option("--api", is_flag=True, help="Measure the API too.")
@click.option("--plans", is_flag=True, help="Print the plan of every distinct query.")
@click.option("--only", default="", help="Only addresses that contain this.")
def main(file: Path, runs: int, api: bool, plans: bool, only: str) -> None:
    """Measure the views of the database FILE."""
    logging.disable(logging.WARNING)
    runtime, client = open_site(file)
    sign_in(client)
    with runtime.database.read() as connection:
        views = [*admin_views(client, connection), *(api_views() if api else ())]
    selected = [view for view in views if only in (view.name or view.address)]
    measured = [
        measure_view(runtime.database, client, view, runs=runs)
        for view in track(selected, description="views", console=Console(stderr=True))
    ]
    console.print(table_of(measured))
    console.print(slow_of(measured), highlight=False, markup=False)
    if plans:
        print_plans(runtime.database, measured)


def measure_view(database: Database, client: FlaskClient, view: View, *, runs: int) -> Measured:
    def get() -> tuple[int, int]:
        response = client.get(view.address, headers=BEARER if view.address.startswith("/api/") else {})
        return response.status_code, len(response.data)

    return measure(database, view.name or view.address, get, runs=runs)


def table_of(measured: Iterable[Measured]) -> Table:
    table = Table(box=box.SIMPLE)
    table.add_column("view", no_wrap=True)
    for name in ("status", "queries", "median ms", "p95 ms", "slowest query ms", "KB"):
        table.add_column(name, justify="right")
    for view in measured:
        style = "red" if view.median_ms > SLOW_MS else None
        times = (f"{value:.1f}" for value in (view.median_ms, view.p95_ms, view.slowest_query_ms))
        figures = (str(view.status), str(len(view.queries)), *times, f"{view.size / 1000:.0f}")
        table.add_row(view.name, *figures, style=style)
    return table


def slow_of(measured: Sequence[Measured]) -> str:
    slow = [f"{view.name} ({view.median_ms:.0f} ms)" for view in measured if view.median_ms > SLOW_MS]
    return f"slower than {SLOW_MS:.0f} ms: {', '.join(slow) or 'nothing'}"


def print_plans(database: Database, measured: Iterable[Measured]) -> None:
    """The slowest first, each with the view that took longest with it."""
    found: dict[str, tuple[float, str, Query]] = {}
    for view in measured:
        for query, took_ms in view.queries:
            alike = MANY.sub("(?, …)", query[0])
            if alike not in found or took_ms > found[alike][0]:
                found[alike] = (took_ms, view.name, query)
    for text, (took_ms, name, query) in sorted(found.items(), key=lambda each: -each[1][0]):
        parameters = str(query[1])[:MAX_SHOWN]
        lines = [f"\n{took_ms:.1f} ms in {name}", " ".join(text.split()), f"with {parameters}"]
        lines += explain(database, query)
        console.print("\n".join(lines), highlight=False, markup=False)


if __name__ == "__main__":
    main()
