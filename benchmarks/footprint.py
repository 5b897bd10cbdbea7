"""What a task leaves behind: rows, bytes and writes, on SQLite and on PostgreSQL: `python -m benchmarks.footprint`.

The lives are those of the simulator's generations: one in five loses its last callback and is polled, one in ten
callbacks comes twice. They are lived through the product's own operations, one transaction each, as in a quiet hour.
"""

import logging
import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import click
from sqlalchemy import event, func, select, text, update

from benchmarks.life import SUBMITTED_AT, Story, story_of
from benchmarks.templates import draw_generation
from receiver.intake import Delivery, callback_delivery, poll_delivery
from receiver.operations import register_task
from receiver.runtime import Runtime, open_runtime
from receiver.settings import load_settings
from receiver.store.audit_log import Actor
from receiver.store.database import Database
from receiver.store.schema import delivery, metadata, task
from tests.conftest import environment
from tests.postgres import running_postgres

SOMEBODY = Actor(via="benchmark")
LOST, DOUBLED = 0.2, 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Footprint:
    deliveries: int
    transactions: int
    log_bytes: int
    body_bytes: int
    sizes: dict[str, int]
    pruned_sizes: dict[str, int]


@click.command()
@click.option("--tasks", default=2000, show_default=True)
def main(tasks: int) -> None:
    """Live through TASKS lives on each store, and print what one leaves behind."""
    logging.disable(logging.CRITICAL)
    for store in (on_sqlite, on_postgresql):
        with tempfile.TemporaryDirectory() as folder, store(Path(folder)) as runtime:
            told = measure(runtime, tasks)
            kind = runtime.database.url.get_backend_name()
            bodies, rows, times = told.body_bytes / tasks, told.deliveries / tasks, told.transactions / tasks
            click.echo(f"\n{kind}, a task: {rows:.2f} deliveries, {times:.2f} transactions,")
            click.echo(f"  {told.log_bytes / tasks / 1000:.1f} kB of log, bodies of {bodies / 1000:.1f} kB")
            for name, size in told.sizes.items():
                pruned = told.pruned_sizes[name]
                click.echo(f"  {name:20}{size / tasks / 1000:8.2f} kB, pruned {pruned / tasks / 1000:.2f} kB")


def measure(runtime: Runtime, count: int) -> Footprint:
    rng = random.Random(1)
    committed = _count_commits(runtime.database)
    before = _log_bytes(runtime.database)
    for _ in range(count):
        _live(runtime, story_of(draw_generation((), rng)[0], registered=True), rng)
    with runtime.database.read() as connection:
        rows = connection.scalar(select(func.count()).select_from(delivery)) or 0
        bodies = connection.scalar(select(func.sum(func.length(delivery.c.body)))) or 0
        unsettled = connection.scalar(
            select(func.count()).select_from(task).where(task.c.settled_at.is_(None))
        )
    assert unsettled == 0, f"{unsettled} lives have no end"
    transactions, log_bytes = len(committed), _log_bytes(runtime.database) - before
    sizes = _sizes(runtime.database)
    _forget_bodies(runtime.database)
    return Footprint(
        deliveries=rows,
        transactions=transactions,
        log_bytes=log_bytes,
        body_bytes=int(bodies),
        sizes=sizes,
        pruned_sizes=_sizes(runtime.database),
    )


def _forget_bodies(database: Database) -> None:
    """As retention does in the end, and the space given back."""
    with database.write() as connection:
        connection.execute(update(delivery).values(body=None))
    raw = database.engine.raw_connection()  # past SQLAlchemy, which would open a transaction first
    if not database.is_sqlite:
        assert raw.driver_connection is not None
        raw.driver_connection.autocommit = True
    raw.cursor().execute("VACUUM" if database.is_sqlite else "VACUUM FULL")
    raw.close()


def _live(runtime: Runtime, story: Story, rng: random.Random) -> None:
    register_task(runtime, story.task_id, label="order 17", now=SUBMITTED_AT, actor=SOMEBODY)
    for told in _told(story, rng):
        runtime.intake.accept([told])


def _told(story: Story, rng: random.Random) -> Iterator[Delivery]:
    lost = rng.random() < LOST
    callbacks = story.callbacks[:-1] if lost else story.callbacks
    for each in callbacks:
        for _ in range(1 + (rng.random() < DOUBLED)):
            yield callback_delivery(each.body, now=each.at, secrets=())
    if lost:
        now = story.callbacks[-1].at + timedelta(seconds=90)
        yield poll_delivery(story.record_info(now), story.task_id, now=now, secrets=())


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
    """Bytes of each table with its indexes, the larger ones."""
    names = {str(table) for table in metadata.tables}
    with database.read() as connection:
        if database.is_sqlite:
            page = "SELECT m.tbl_name, sum(s.pgsize) FROM dbstat s JOIN sqlite_master m ON m.name = s.name GROUP BY 1"
            found = {row[0]: row[1] for row in connection.execute(text(page))}
            words = sum(size for name, size in found.items() if name.startswith("task_words"))
            found["index of words"] = words
            names |= {"index of words"}
        else:
            found = {
                name: connection.scalar(text(f"SELECT pg_total_relation_size('{name}')")) for name in names
            }
    return {name: size for name, size in sorted(found.items()) if name in names and size > 100_000}


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
