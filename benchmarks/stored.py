"""Whether the receiver gets slower with what is stored: `python -m benchmarks.stored`.

One database for each amount, used by turns, so that what else the machine does hits all alike. Stored are settled tasks
with a callback each, and a few that are due. On SQLite, or with `--postgresql` on one out of a package.
"""

import logging
import random
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from flask.testing import FlaskClient
from rich import box
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from benchmarks.bulk import insert_tasks
from benchmarks.generations import SOMEBODY, complete_callback
from benchmarks.site import sign_in
from receiver.app import build_app
from receiver.intake import callback_delivery
from receiver.operations import register_task
from receiver.runtime import Runtime, open_runtime
from receiver.settings import load_settings
from receiver.store.due_tasks import ANY, choose
from tests.servers.postgres import running_postgres
from tests.servers.processes import API_TOKEN, environment

AT_ONCE = 100_000
A_ROUND = 20
DUE = 10
BODY = "x" * 800


@click.command()
@click.option("--tasks", "amounts", type=int, multiple=True, default=(10_000, 1_000_000), show_default=True)
@click.option("--rounds", default=20, show_default=True)
@click.option("--postgresql", is_flag=True, help="On a PostgreSQL out of a package instead of SQLite.")
def main(amounts: Sequence[int], rounds: int, postgresql: bool) -> None:
    """Compare the databases of these amounts with the first of them."""
    logging.disable(logging.WARNING)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(running_postgres()) if postgresql else None
        urls = [server.new_database() if server else f"sqlite:///{folder}/{amount}.db" for amount in amounts]
        works = [
            works_of(_filled(folder, url, amount), amount) for url, amount in zip(urls, amounts, strict=True)
        ]
        Console(width=110).print(table_of(amounts, measure(works, rounds)))


def works_of(runtime: Runtime, amount: int) -> Mapping[str, Callable[[], object]]:
    """What is timed, by its name."""
    client = build_app(runtime).test_client()
    sign_in(client)
    return {
        "accepting a callback": lambda: _accept(runtime),
        "finding what is due": lambda: _find_due(runtime),
        "the first admin page": lambda: _get(client, "/admin/"),
        "one task": lambda: _get(client, f"/api/tasks/{random.randint(1, amount):032}"),
    }


def _accept(runtime: Runtime) -> None:
    body = complete_callback(secrets.token_hex(16))
    runtime.intake.submit(callback_delivery(body, now=datetime.now(UTC), secrets=()))


def _find_due(runtime: Runtime) -> None:
    with runtime.database.write() as connection:
        found = choose(connection, datetime.now(UTC), DUE, ANY)
    assert len(found) == DUE, "tasks are due"


def _get(client: FlaskClient, address: str) -> None:
    response = client.get(address, headers={"Authorization": f"Bearer {API_TOKEN}"})
    assert response.status_code == 200, f"{address} was answered {response.status_code}"


def measure(
    works: Sequence[Mapping[str, Callable[[], object]]], rounds: int
) -> Sequence[Mapping[str, list[float]]]:
    """Milliseconds of each work in each round; one more round comes first, to warm up."""
    times: list[dict[str, list[float]]] = [{name: [] for name in each} for each in works]
    for turn in range(1 + rounds):
        for each, found in zip(works, times, strict=True):
            for name, work in each.items():
                started = time.perf_counter()
                for _ in range(A_ROUND):
                    work()
                if turn:
                    found[name].append((time.perf_counter() - started) * 1000 / A_ROUND)
    return times


def table_of(amounts: Sequence[int], times: Sequence[Mapping[str, Sequence[float]]]) -> Table:
    """Medians; a ratio is that to the first amount in the same round."""
    table = Table("", *(f"{amount:,} tasks: ms, times" for amount in amounts), box=box.MARKDOWN)
    for name, base in times[0].items():
        ratios = [
            statistics.median(each / first for each, first in zip(found[name], base, strict=True))
            for found in times
        ]
        medians = [statistics.median(found[name]) for found in times]
        table.add_row(name, *(f"{ms:.2f}, {ratio:.2f}" for ms, ratio in zip(medians, ratios, strict=True)))
    return table


def _filled(folder: Path, url: str, amount: int) -> Runtime:
    runtime = open_runtime(load_settings(environment(folder, DATABASE_URL=url)), migrate=True)
    engine = runtime.database.engine  # its transactions may take longer than those of the receiver
    now = datetime.now(UTC)
    for first in range(0, amount, AT_ONCE):
        with engine.connect().execution_options(immediate=True) as connection, connection.begin():
            count = min(AT_ONCE, amount - first)
            insert_tasks(connection, count, at=now - timedelta(days=3), first=first + 1, body=BODY)
    for number in range(DUE):
        register_task(runtime, f"due-{number}", label=None, now=now - timedelta(hours=1), actor=SOMEBODY)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE" if runtime.database.is_sqlite else "VACUUM ANALYZE"))
    return runtime


if __name__ == "__main__":
    main()
