"""Fills a new SQLite database with three months of a receiver's life: `python -m benchmarks.seed FILE`."""

import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from sqlalchemy import Connection, event, insert

from benchmarks import checks, others
from benchmarks.rows import DeliveryLog, Row, counted, fill_task
from benchmarks.schedule import Schedule, Visit, draw_schedule
from benchmarks.templates import settled_templates, unfinished_templates
from receiver.maintenance import roll_up_counts
from receiver.store import hourly_counts
from receiver.store.database import Database
from receiver.store.hourly_counts import Tallies
from receiver.store.schema import action, delivery, task

AT_ONCE = 2_000
IN_TRANSACTION = 40_000
CACHE_KB = 1_000_000
QUARANTINED, UNSEEN = 3000, 200
KEPT_BODIES = timedelta(days=2)
REMEMBERED = 1000

console = Console()


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    tasks: int
    deliveries: int
    now: datetime
    rng: random.Random


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--tasks", default=1_000_000, show_default=True)
@click.option("--deliveries", default=1_000_000, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(file: Path, tasks: int, deliveries: int, seed: int) -> None:
    """Fill a new database FILE."""
    if file.exists():
        sys.exit(f"{file} exists; remove it first")
    started = time.monotonic()
    database = Database(f"sqlite:///{file}")
    database.migrate()
    _hurry(database)
    wanted = Wanted(tasks=tasks, deliveries=deliveries, now=datetime.now(UTC), rng=random.Random(seed))
    fill(database, wanted)
    took_s = time.monotonic() - started
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    console.print(
        f"seeded in {took_s:.0f} s, {file.stat().st_size / 1e6:,.0f} MB, {memory_mb:,.0f} MB of memory"
    )
    checks.print_rows(database, console)
    checks.check_rows(database, console)
    checks.check_search(database, console)


def fill(database: Database, wanted: Wanted) -> None:
    """All tables, in the order of time."""
    settled, unfinished = list(settled_templates(wanted.rng)), list(unfinished_templates(wanted.rng))
    schedule = draw_schedule(settled, unfinished, tasks=wanted.tasks, now=wanted.now, rng=wanted.rng)
    first = schedule.newest_with(max(wanted.deliveries - min(QUARANTINED, wanted.deliveries // 100), 0))
    log = _delivery_log(schedule, first, wanted)
    counts: Tallies = Counter()
    about: list[tuple[datetime, str]] = []
    visits = schedule.visits(wanted.rng)
    with _progress() as progress:
        bar = progress.add_task("tasks", total=wanted.tasks)
        while batch := list(islice(visits, IN_TRANSACTION)):
            with database.write() as connection:
                for at in range(0, len(batch), AT_ONCE):
                    _add_tasks(connection, batch[at : at + AT_ONCE], first, log, counts, about, wanted)
                    progress.advance(bar, len(batch[at : at + AT_ONCE]))
    with database.write() as connection:
        _add_deliveries(connection, log, wanted.now + timedelta(days=1))
        _add_others(connection, counts, about, wanted)
    while roll_up_counts(database, now=wanted.now):
        pass


def _add_tasks(
    connection: Connection,
    visits: list[Visit],
    first: int,
    log: DeliveryLog,
    counts: Tallies,
    about: list[tuple[datetime, str]],
    wanted: Wanted,
) -> None:
    rows = []
    for visit in visits:
        filled = fill_task(visit, wanted.rng)
        rows.append(filled.row)
        counts.update(counted(filled))
        if visit.number >= first:
            log.add(filled)
        if visit.acknowledged and wanted.rng.random() < REMEMBERED * 60 / wanted.tasks:
            about.append((visit.first_seen_at, filled.task_id))
    connection.execute(insert(task), rows)
    _add_deliveries(connection, log, visits[-1].first_seen_at)


def _add_deliveries(connection: Connection, log: DeliveryLog, until: datetime) -> None:
    rows: Iterator[Row] = log.until(until)
    while chunk := list(islice(rows, AT_ONCE)):
        connection.execute(insert(delivery), chunk)


def _add_others(
    connection: Connection, counts: Tallies, about: list[tuple[datetime, str]], wanted: Wanted
) -> None:
    counts.update(others.hourly_counts(now=wanted.now, rng=wanted.rng))
    hourly_counts.add(connection, counts)
    connection.execute(insert(action), others.actions(about, now=wanted.now, rng=wanted.rng))
    others.keep_poller(connection, now=datetime.now(UTC))


def _delivery_log(schedule: Schedule, first: int, wanted: Wanted) -> DeliveryLog:
    """A log that knows of the deliveries of no task, so many that all together are as many as wanted."""
    of_tasks = [schedule.templates[index] for index in schedule.chosen[first:]]
    since = datetime.fromtimestamp(schedule.moments[min(first, wanted.tasks - 1)], UTC)
    left = wanted.deliveries - sum(len(template.told) for template in of_tasks)
    unread = [
        datetime.fromtimestamp(moment, UTC) + one.after
        for moment, template in zip(schedule.moments[first:], of_tasks, strict=True)
        for one in template.told
        if one.columns["cause"]
    ]
    strays = max(min(QUARANTINED - len(unread), left), 0)
    rows = list(
        others.stray_deliveries(strays, max(left - strays, 0), since=since, now=wanted.now, rng=wanted.rng)
    )
    moments = sorted([*unread, *(row["received_at"] for row in rows if row["cause"])])
    log = DeliveryLog(
        bodies_since=wanted.now - KEPT_BODIES,
        seen_before=moments[-min(UNSEEN, len(moments))] if moments else wanted.now,
        rng=wanted.rng,
    )
    for row in rows:
        log.add_row(row)
    return log


def _hurry(database: Database) -> None:
    """What is lost in a power cut can be seeded again."""

    @event.listens_for(database.engine, "connect")
    def _configure(connection: object, _: object) -> None:
        cursor = connection.cursor()  # type: ignore[attr-defined]
        cursor.execute("PRAGMA synchronous=OFF")
        cursor.execute(f"PRAGMA cache_size=-{CACHE_KB}")


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console)


if __name__ == "__main__":
    main()
