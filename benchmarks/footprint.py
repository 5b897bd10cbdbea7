"""What a task leaves behind: rows, bytes and writes, on SQLite and on PostgreSQL: `python -m benchmarks.footprint`.

The tasks are the simulator's: one in five gets no last callback and is polled, one in ten has each callback twice.
They go through the product's own operations, one transaction each, as in a quiet hour.
"""

import logging
import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
from sqlalchemy import create_engine, event, func, select, text, update

from benchmarks.generations import draw_generation, play
from receiver.runtime import Runtime, open_runtime
from receiver.settings import load_settings
from receiver.store.database import Database
from receiver.store.schema import delivery, metadata, task
from tests.servers.postgres import running_postgres
from tests.servers.processes import environment

SUBMITTED_AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
FAULTS = {"callback-exception": 0.2, "callback-doubled": 0.1}
MIN_SHOWN_BYTES = 100_000


@click.command()
@click.option("--tasks", default=2000, show_default=True)
def main(tasks: int) -> None:
    """Play TASKS generations on each store, and print what one leaves behind."""
    logging.disable(logging.CRITICAL)
    for store in (on_sqlite, on_postgresql):
        with tempfile.TemporaryDirectory() as folder, store(Path(folder)) as runtime:
            measure(runtime, tasks)


def measure(runtime: Runtime, tasks: int) -> None:
    database, rng = runtime.database, random.Random(1)
    committed, written = _count_commits(database), _log_bytes(database)
    for _ in range(tasks):
        play(runtime, draw_generation(SUBMITTED_AT, rng, faults=FAULTS), rng, label="order 17")
    transactions, log_kb = len(committed) / tasks, (_log_bytes(database) - written) / tasks / 1000
    with database.read() as connection:
        count, sum_of_bodies = func.count(), func.sum(func.length(delivery.c.body))
        rows, bodies = connection.execute(select(count, sum_of_bodies).select_from(delivery)).one()
        unsettled = select(task.c.task_id).where(task.c.settled_at.is_(None)).limit(1)
        assert connection.execute(unsettled).first() is None, "a task has no end"
    click.echo(f"\n{database.url.get_backend_name()}, a task: {rows / tasks:.2f} deliveries,")
    click.echo(
        f"  {transactions:.2f} transactions, {log_kb:.1f} kB of log, bodies of {bodies / tasks / 1000:.1f} kB"
    )
    sizes = _sizes(database)
    _forget_bodies(database)
    for name, pruned in _sizes(database).items():
        kb, pruned_kb = sizes[name] / tasks / 1000, pruned / tasks / 1000
        click.echo(f"  {name:20}{kb:8.2f} kB, pruned {pruned_kb:.2f} kB")


def _count_commits(database: Database) -> Sequence[None]:
    committed: list[None] = []
    event.listen(database.engine, "commit", lambda _connection: committed.append(None))
    return committed


def _log_bytes(database: Database) -> int:
    """All that was ever written to the write-ahead log."""
    if database.is_sqlite:
        return Path(f"{database.url.database}-wal").stat().st_size
    with database.read() as connection:
        return int(connection.scalar(text("SELECT pg_current_wal_lsn() - '0/0'")) or 0)


def _sizes(database: Database) -> dict[str, int]:
    """Bytes of each large table with its indexes; of SQLite's index of words, too."""
    names = sorted(metadata.tables)
    with database.read() as connection:
        if database.is_sqlite:
            pages = "SELECT m.tbl_name, sum(s.pgsize) FROM dbstat s JOIN sqlite_master m ON m.name = s.name GROUP BY 1"
            found = {str(name): int(size) for name, size in connection.execute(text(pages))}
            found["index of words"] = sum(found[name] for name in found if name.startswith("task_words"))
            names.append("index of words")
        else:
            relation = text("SELECT pg_total_relation_size(CAST(:name AS regclass))")
            found = {name: connection.scalars(relation, {"name": name}).one() for name in names}
    return {name: found[name] for name in names if found[name] > MIN_SHOWN_BYTES}


def _forget_bodies(database: Database) -> None:
    """As retention does in the end, and the space given back."""
    with database.write() as connection:
        connection.execute(update(delivery).values(body=None))
    engine = create_engine(database.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("VACUUM" if database.is_sqlite else "VACUUM FULL"))
    engine.dispose()


@contextmanager
def on_sqlite(folder: Path) -> Iterator[Runtime]:
    runtime = open_runtime(load_settings(environment(folder)), migrate=True)
    with runtime.database.write() as connection:  # the log grows, so that its size is what was written
        connection.exec_driver_sql("PRAGMA wal_autocheckpoint = 0")
    yield runtime
    runtime.database.engine.dispose()


@contextmanager
def on_postgresql(folder: Path) -> Iterator[Runtime]:
    with running_postgres() as postgres:
        runtime = open_runtime(
            load_settings(environment(folder, DATABASE_URL=postgres.new_database())), migrate=True
        )
        yield runtime
        runtime.database.engine.dispose()


if __name__ == "__main__":
    main()
