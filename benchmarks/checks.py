"""Whether a seeded database is what the product would have written: by the product's own functions, on a sample."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta

import click
from sqlalchemy import Connection, func, select, text

from benchmarks.templates import OLDEST_H
from receiver.core import census
from receiver.operations import rebuild_task
from receiver.runtime import Runtime
from receiver.store import tallies
from receiver.store.changes import find_changes
from receiver.store.listing import Filter
from receiver.store.schema import change_clock, delivery, metadata, tally, task
from receiver.store.task_rows import new_row, task_of

SAMPLE = 300


def check(runtime: Runtime, *, now: datetime) -> None:
    """Exits where something is wrong."""
    with runtime.database.write() as connection:
        connection.execute(text("INSERT INTO task_words(task_words, rank) VALUES ('integrity-check', 1)"))
    with runtime.database.read() as connection:
        numbers = _sample(connection)
        rows = connection.execute(select(task).where(task.c.number.in_(numbers))).all()
        for row in rows:
            stored = row._asdict()
            wrong = {
                name: stored[name] for name, value in new_row(task_of(row)).items() if stored[name] != value
            }
            _require(not wrong, f"task {row.task_id} is not as the product writes it: {wrong}")
            _check_words(connection, row.number, row.words)
        _check_totals(connection)
        _check_hours(connection, now=now)
        _check_changes(connection)
    for row in rows:
        _require(not rebuild_task(runtime, row.task_id, now=now), f"a rebuild changes task {row.task_id}")
    click.echo(f"{len(rows)} tasks are rebuilt unchanged; search, counts and changes are right")
    print_rows(runtime)


def print_rows(runtime: Runtime) -> None:
    with runtime.database.read() as connection:
        for table in metadata.sorted_tables:
            click.echo(f"{table.name:16}{connection.scalar(select(func.count()).select_from(table)):>12,}")
        outcomes = select(task.c.outcome, func.count()).group_by(task.c.outcome)
        for outcome, count in connection.execute(outcomes):
            click.echo(f"  {outcome:16}{count:>10,}")


def _sample(connection: Connection) -> Sequence[int]:
    """Of the newest, which have their bodies, and of all."""
    most = connection.scalars(select(func.max(task.c.number))).one()
    newest = range(max(most - 30 * SAMPLE, 0) + 1, most + 1)
    every = range(1, most + 1)
    return [number for some in (newest, every) for number in random.sample(some, min(SAMPLE, len(some)))]


def _check_words(connection: Connection, number: int, words: str) -> None:
    query = text("SELECT count(*) FROM task_words WHERE task_words MATCH :sought AND rowid = :number")
    sought = " ".join(f'"{word}"' for word in words.split())
    found = not words or connection.scalar(query, {"sought": sought, "number": number})
    _require(bool(found), f"task number {number} is not found by its words {words!r}")


def _check_totals(connection: Connection) -> None:
    totals = tallies.totals(connection, census.TASK)[census.TASK]
    counted = connection.execute(select(task.c.outcome, func.count()).group_by(task.c.outcome)).tuples()
    wrong = {outcome: count for outcome, count in counted if totals[outcome] != count}
    _require(not wrong, f"the totals are {totals} where there are {wrong}")


def _check_hours(connection: Connection, *, now: datetime) -> None:
    """The counts of each of the last hours are those of its deliveries, where those of all its tasks are stored."""
    first = connection.scalars(select(func.min(delivery.c.received_at))).one() + timedelta(hours=OLDEST_H)
    hours = [tallies.hour_of(now) - timedelta(hours=ago) for ago in range(24)]
    for hour in (hour for hour in hours if hour > first):
        within = (delivery.c.received_at >= hour) & (delivery.c.received_at < hour + timedelta(hours=1))
        rows = select(delivery.c.source, delivery.c.result, func.count()).where(within)
        counted = select(tally.c.subject, tally.c.name, tally.c.count).where(
            tally.c.hour == hour, tally.c.subject.in_(("callback", "poll"))
        )
        stored = set(connection.execute(rows.group_by(delivery.c.source, delivery.c.result)).tuples())
        missing = stored - set(connection.execute(counted).tuples())
        _require(not missing, f"of the hour {hour} these are not counted: {missing}")


def _check_changes(connection: Connection) -> None:
    last = connection.scalars(select(func.max(task.c.changed_at))).one()
    clock_us = connection.scalars(select(change_clock.c.microseconds)).one()
    _require(clock_us >= last.timestamp() * 1e6, "the clock of changes is behind the tasks")
    recent = select(task.c.task_id).where(task.c.changed_at >= last - timedelta(minutes=10))
    place, found = None, list[str]()
    while True:
        page = find_changes(connection, Filter(), since=last - timedelta(minutes=10), after=place, limit=50)
        found += [each.task_id for each in page.tasks]
        place = page.next
        if place is None:
            break
    _require(sorted(found) == sorted(connection.scalars(recent)), "the changes are not all listed")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise click.ClickException(message)
