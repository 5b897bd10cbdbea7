"""What a callback costs with nothing stored, and with a year's deliveries: `python -m benchmarks.stored`.

One database for each amount, asked by turns, so that what else the machine does hits all alike. A callback is a new
task's, with one track; a repetition is the same again. On SQLite, or with `--postgresql` on one out of a package.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from sqlalchemy import text

from benchmarks.crowd import crowd
from receiver.core.cadence import Cadence
from receiver.core.settlement import Policy
from receiver.core.task import Rules
from receiver.intake import Intake, callback_delivery
from receiver.store.database import Database
from tests.postgres import running_postgres

AMOUNTS = (0, 300_000, 1_000_000)
ROUNDS = 30
IN_A_ROUND = 20
AT_ONCE = 100_000
BODY = "x" * 800


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--amounts", type=int, nargs="+", default=AMOUNTS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--postgresql", action="store_true")
    wanted = parser.parse_args()
    with ExitStack() as stack:
        urls = stack.enter_context(_postgresql() if wanted.postgresql else _sqlite())
        databases = [_filled(next(urls), amount) for amount in wanted.amounts]
        new, again = _measure(databases, wanted.rounds)
        for database in databases:
            database.engine.dispose()
    for amount, first, second in zip(wanted.amounts, new, again, strict=True):
        click.echo(
            f"{amount:>9,} stored: a callback {statistics.median(first):.2f} ms, {_ratio(first, new[0])} times"
            f" as much as with {wanted.amounts[0]:,}; a repetition {statistics.median(second):.2f} ms,"
            f" {_ratio(second, again[0])} times"
        )


Times = list[list[float]]


def _measure(databases: Sequence[Database], rounds: int) -> tuple[Times, Times]:
    """Milliseconds for a callback, by database and round: new ones, and repetitions."""
    rules = Rules(policy=Policy(), cadence=Cadence())
    intakes = [Intake(database, rules) for database in databases]
    new: Times = [[] for _ in intakes]
    again: Times = [[] for _ in intakes]
    for number in range(-2, rounds):  # the first two warm up
        for place, intake in enumerate(intakes):
            bodies = [_body(f"new-{number}-{each}") for each in range(IN_A_ROUND)]
            for times in (new, again):
                took_ms = _timed_ms(intake, bodies)
                if number >= 0:
                    times[place].append(took_ms)
    return new, again


def _timed_ms(intake: Intake, bodies: Sequence[bytes]) -> float:
    started = time.perf_counter()
    for body in bodies:
        intake.submit(callback_delivery(body, now=datetime.now(UTC), secrets=()))
    return (time.perf_counter() - started) * 1000 / len(bodies)


def _ratio(times: Sequence[float], base: Sequence[float]) -> str:
    """The median of the ratios in the same round."""
    return f"{statistics.median(one / other for one, other in zip(times, base, strict=True)):.2f}"


def _body(task_id: str) -> bytes:
    row = {"id": "a", "audio_url": f"https://cdn.example.org/{task_id}.mp3", "title": "Tides", "prompt": BODY}
    return json.dumps(
        {"code": 200, "data": {"callbackType": "complete", "task_id": task_id, "data": [row]}}
    ).encode()


def _filled(url: str, amount: int) -> Database:
    database = Database(url)
    database.migrate()
    at = datetime.now(UTC) - timedelta(days=3)
    for first in range(0, amount, AT_ONCE):
        with (
            database.engine.connect() as connection
        ):  # it takes longer than a transaction of the receiver may
            connection.execution_options(immediate=True)
            with connection.begin():
                crowd(connection, min(AT_ONCE, amount - first), at=at, first=first + 1, body=BODY)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE" if database.is_sqlite else "VACUUM ANALYZE"))
    return database


@contextmanager
def _sqlite() -> Iterator[Iterator[str]]:
    with tempfile.TemporaryDirectory() as folder:
        yield (f"sqlite:///{Path(folder)}/{number}.db" for number in range(99))


@contextmanager
def _postgresql() -> Iterator[Iterator[str]]:
    with running_postgres() as server:
        yield (server.new_database() for _ in range(99))


if __name__ == "__main__":
    main()
