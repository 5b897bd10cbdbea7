"""What a callback costs with nothing stored, and with a year's deliveries: `python -m benchmarks.stored`.

One database for each amount, used by turns, so that what else the machine does hits all alike. A callback is a new
task's, with one track; a repetition is the same again. On SQLite, or with `--postgresql` on one out of a package.
"""

import json
import logging
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import click
from sqlalchemy import text

from benchmarks.bulk import insert_tasks
from benchmarks.postgres import running_postgres
from receiver.core.cadence import Cadence
from receiver.core.settlement import Policy
from receiver.core.task import Rules
from receiver.intake import Intake, callback_delivery
from receiver.store.database import Database

CALLBACKS_A_ROUND = 20
WARM_UP = 2
AT_ONCE = 100_000
BODY = "x" * 800

Times = list[list[float]]
"""Milliseconds a callback, by database and round."""


@click.command()
@click.option(
    "--amount", "amounts", type=int, multiple=True, default=(0, 300_000, 1_000_000), show_default=True
)
@click.option("--rounds", default=30, show_default=True)
@click.option("--postgresql", is_flag=True, help="On a PostgreSQL out of a package instead of SQLite.")
def main(amounts: tuple[int, ...], rounds: int, postgresql: bool) -> None:
    """Compare the databases of these amounts with the first of them."""
    logging.disable(logging.WARNING)
    with _postgresql() if postgresql else _sqlite() as urls:
        databases = [_filled(next(urls), amount) for amount in amounts]
        new, repeated = measure(databases, rounds)
        for database in databases:
            database.engine.dispose()
    for amount, first, second in zip(amounts, new, repeated, strict=True):
        click.echo(
            f"{amount:>9,} stored: a callback {statistics.median(first):.2f} ms, {_ratio(first, new[0])} times"
            f" as much as with {amounts[0]:,}; a repetition {statistics.median(second):.2f} ms,"
            f" {_ratio(second, repeated[0])} times"
        )


def measure(databases: Sequence[Database], rounds: int) -> tuple[Times, Times]:
    """Of new callbacks, and of repetitions."""
    rules = Rules(policy=Policy(), cadence=Cadence())
    intakes = [Intake(database, rules) for database in databases]
    new: Times = [[] for _ in intakes]
    repeated: Times = [[] for _ in intakes]
    for number in range(-WARM_UP, rounds):
        for place, intake in enumerate(intakes):
            bodies = [_callback(f"new-{number}-{each}") for each in range(CALLBACKS_A_ROUND)]
            for times in (new, repeated):
                took_ms = _timed_ms(intake, bodies)
                if number >= 0:
                    times[place].append(took_ms)
    return new, repeated


def _timed_ms(intake: Intake, bodies: Sequence[bytes]) -> float:
    started = time.perf_counter()
    for body in bodies:
        intake.submit(callback_delivery(body, now=datetime.now(UTC), secrets=()))
    return (time.perf_counter() - started) * 1000 / len(bodies)


def _ratio(times: Sequence[float], base: Sequence[float]) -> str:
    """The median of the ratios in the same round."""
    return f"{statistics.median(time_ms / base_ms for time_ms, base_ms in zip(times, base, strict=True)):.2f}"


def _callback(task_id: str) -> bytes:
    row = {"id": "a", "audio_url": f"https://cdn.example.org/{task_id}.mp3", "title": "Tides", "prompt": BODY}
    data = {"callbackType": "complete", "task_id": task_id, "data": [row]}
    return json.dumps({"code": 200, "data": data}).encode()


def _filled(url: str, amount: int) -> Database:
    database = Database(url)
    database.migrate()
    at = datetime.now(UTC) - timedelta(days=3)
    engine = database.engine  # its transactions may take longer than those of the receiver
    for first in range(0, amount, AT_ONCE):
        with engine.connect().execution_options(immediate=True) as connection, connection.begin():
            insert_tasks(connection, min(AT_ONCE, amount - first), at=at, first=first + 1, body=BODY)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE" if database.is_sqlite else "VACUUM ANALYZE"))
    return database


@contextmanager
def _sqlite() -> Iterator[Iterator[str]]:
    with tempfile.TemporaryDirectory() as folder:
        yield (f"sqlite:///{folder}/{number}.db" for number in range(99))


@contextmanager
def _postgresql() -> Iterator[Iterator[str]]:
    with running_postgres() as server:
        yield (server.new_database() for _ in range(99))


if __name__ == "__main__":
    main()
