"""Fills a new SQLite database with three months of a receiver's life: `python -m benchmarks.seed FILE`."""

import logging
import math
import random
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import click
from sqlalchemy import Connection, create_engine, event, func, insert, select, text

from benchmarks import multiply
from benchmarks.checks import check
from benchmarks.processes import environment
from benchmarks.site import keep_poller, open_site
from benchmarks.templates import OLDEST_H, Template, Templates
from receiver.maintenance import roll_up_counts
from receiver.runtime import open_runtime
from receiver.settings import load_settings
from receiver.store.change_clock import time_of_change
from receiver.store.database import Database
from receiver.store.schema import task

DAYS = 90
OTHERS_SHARE = 0.01  # bodies that name no task of ours, to a task
OVERDUE_EVERY, OVERDUE_H = 7, 3
BODIES_KEPT = timedelta(days=2)
CACHE_KB = 300_000


class Copy(NamedTuple):
    """A template `hours` later than it was; it starts at that moment."""

    starts_at: datetime
    template: Template
    hours: int


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--tasks", type=click.IntRange(10_000), default=1_000_000, show_default=True)
@click.option("--deliveries", default=1_000_000, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(file: Path, tasks: int, deliveries: int, seed: int) -> None:
    """Fill a new database FILE."""
    if file.exists():
        raise click.ClickException(f"{file} exists; remove it first")
    logging.disable(logging.WARNING)
    now, rng, started = datetime.now(UTC), random.Random(seed), time.monotonic()
    database = Database(f"sqlite:///{file}")
    database.migrate()
    with tempfile.TemporaryDirectory() as folder:
        runtime = open_runtime(load_settings(environment(Path(folder))), migrate=True)
        event.listen(runtime.database.engine, "connect", _hurry)
        templates = list(Templates(runtime, now=now, rng=rng).make_all())
        runtime.database.engine.dispose()
        copies = sorted(schedule(templates, tasks, now=now, rng=rng), key=itemgetter(0))
        with _connected(file, Path(folder) / "receiver.db") as connection:
            fill(connection, templates, copies, deliveries=deliveries, now=now, rng=rng)
    _finish(database, now=now)
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    click.echo(
        f"seeded in {time.monotonic() - started:.0f} s, {file.stat().st_size / 1e6:,.0f} MB,"
        f" {memory_mb:,.0f} MB of memory"
    )
    check(open_site(file)[0], now=now)


def schedule(
    templates: Sequence[Template], tasks: int, *, now: datetime, rng: random.Random
) -> Iterator[Copy]:
    """So many tasks, and what comes beside them."""
    for template in templates:
        for number in range(template.present):
            overdue = template.ends_at == now and number == 0 and template.number % OVERDUE_EVERY == 0
            yield _copy(template, -OVERDUE_H if overdue else 0)
    of_tasks = [template for template in templates if template.weight and template.has_task]
    others = [template for template in templates if template.weight and not template.has_task]
    left = tasks - sum(template.present for template in templates if template.has_task)
    yield from _draw(of_tasks, left, now=now, rng=rng)
    yield from _draw(others, round(tasks * OTHERS_SHARE), now=now, rng=rng)


def _draw(templates: Sequence[Template], count: int, *, now: datetime, rng: random.Random) -> Iterator[Copy]:
    """More by day than by night, and on workdays; what would not have ended yet comes a day earlier."""
    hours = range(OLDEST_H - DAYS * 24, OLDEST_H)
    busy = [_activity(templates[0].starts_at + timedelta(hours=hour)) for hour in hours]
    drawn = rng.choices(templates, [template.weight for template in templates], k=count)
    for hour, template in zip(rng.choices(hours, busy, k=count), drawn, strict=True):
        too_late = template.ends_at + timedelta(hours=hour) - now
        yield _copy(template, hour - 24 * max(math.ceil(too_late / timedelta(days=1)), 0))


def _copy(template: Template, hours: int) -> Copy:
    return Copy(template.starts_at + timedelta(hours=hours), template, hours)


def _activity(hour: datetime) -> float:
    by_day = 0.55 + 0.45 * math.cos(2 * math.pi * (hour.hour - 15) / 24)
    return by_day * (0.7 if hour.weekday() >= 5 else 1.0)


def fill(
    connection: Connection,
    templates: Sequence[Template],
    copies: Sequence[Copy],
    *,
    deliveries: int,
    now: datetime,
    rng: random.Random,
) -> None:
    multiply.SCRATCH.create_all(connection)
    numbers = [{"number": template.number, "task_id": template.task_id} for template in templates]
    connection.execute(insert(multiply.template), numbers)
    rows = ((copy.template.number, f"{copy.hours} hours", f"{rng.getrandbits(128):032x}") for copy in copies)
    driver: Any = connection.connection.driver_connection  # which takes a million rows one by one
    driver.executemany("INSERT INTO scratch.copy (template, shift, task_id) VALUES (?, ?, ?)", rows)
    multiply.copy_tasks(connection)
    first = _newest_with(copies, deliveries)
    multiply.copy_deliveries(connection, first=first, bodies_since=now - BODIES_KEPT)
    multiply.copy_actions(connection)
    multiply.copy_counts(connection)


def _newest_with(copies: Sequence[Copy], deliveries: int) -> int:
    """From which number on the copies have so many deliveries, or a few less."""
    for number in range(len(copies), 0, -1):
        deliveries -= copies[number - 1].template.deliveries
        if deliveries < 0:
            return number + 1
    return 1


@contextmanager
def _connected(file: Path, scratch: Path) -> Iterator[Connection]:
    engine = create_engine(f"sqlite:///{file}", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("ATTACH :scratch AS scratch"), {"scratch": str(scratch)})
        for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{CACHE_KB}"):
            connection.execute(text(f"PRAGMA {pragma}"))
        connection.execute(text("BEGIN"))
        yield connection
        connection.execute(text("COMMIT"))
        connection.execute(text("DETACH scratch"))
        connection.execute(text("PRAGMA journal_mode=WAL"))
    engine.dispose()


def _hurry(connection: Any, _: Any) -> None:
    """What is lost in a power cut can be seeded again."""
    connection.execute("PRAGMA synchronous=OFF")


def _finish(database: Database, *, now: datetime) -> None:
    """What the product keeps beside the rows: the last change, counts by the day, a poller that is alive."""
    with database.write() as connection:
        time_of_change(connection, connection.scalars(select(func.max(task.c.changed_at))).one())
        keep_poller(connection, now=now)
    while roll_up_counts(database, now=now):
        pass


if __name__ == "__main__":
    main()
