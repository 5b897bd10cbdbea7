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
LONGEST_SHOWN = 300
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
    chosen = [view for view in views if only in (view.name or view.address)]
    told = Console(stderr=True)
    measured = [
        measure_view(runtime.database, client, view, runs=runs)
        for view in track(chosen, description="views", console=told)
    ]
    console.print(table_of(measured))
    console.print(slow_of(measured), highlight=False, markup=False)
    if plans:
        print_plans(runtime.database, measured)


def measure_view(database: Database, client: FlaskClient, view: View, *, runs: int) -> Measured:
    def ask() -> tuple[int, int]:
        answer = client.get(view.address, headers=BEARER if view.address.startswith("/api/") else {})
        return answer.status_code, len(answer.data)

    return measure(database, view.name or view.address, ask, runs=runs)


def table_of(measured: Iterable[Measured]) -> Table:
    table = Table(box=box.SIMPLE)
    table.add_column("view", no_wrap=True)
    for name in ("status", "queries", "median ms", "p95 ms", "slowest query ms", "KB"):
        table.add_column(name, justify="right")
    for one in measured:
        style = "red" if one.median_ms > SLOW_MS else None
        times = (f"{value:.1f}" for value in (one.median_ms, one.p95_ms, one.slowest_query_ms))
        status = "404: no such page" if one.status == 404 else str(one.status)
        table.add_row(one.name, status, str(len(one.queries)), *times, f"{one.size / 1000:.0f}", style=style)
    return table


def slow_of(measured: Sequence[Measured]) -> str:
    slow = [f"{one.name} ({one.median_ms:.0f} ms)" for one in measured if one.median_ms > SLOW_MS]
    return f"slower than {SLOW_MS:.0f} ms: {', '.join(slow) or 'nothing'}"


def print_plans(database: Database, measured: Iterable[Measured]) -> None:
    """The slowest first, each with the view that took longest with it."""
    found: dict[str, tuple[float, str, Query]] = {}
    for one in measured:
        for query, took_ms in one.queries:
            alike = MANY.sub("(?, …)", query[0])
            if alike not in found or took_ms > found[alike][0]:
                found[alike] = (took_ms, one.name, query)
    for text, (took_ms, name, query) in sorted(found.items(), key=lambda each: -each[1][0]):
        given = str(query[1])[:LONGEST_SHOWN]
        lines = [f"\n{took_ms:.1f} ms in {name}", " ".join(text.split()), f"given {given}"]
        lines += explain(database, query)
        console.print("\n".join(lines), highlight=False, markup=False)


if __name__ == "__main__":
    main()
