"""Whether a seeded database is what the product would have written: by the product's own functions, on a sample."""

import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import click
from sqlalchemy import Connection, func, select, text

from benchmarks.templates import OLDEST_H
from receiver.core import task_counts
from receiver.operations import rebuild_task
from receiver.runtime import Runtime
from receiver.store import hourly_counts
from receiver.store.schema import change_clock, delivery, metadata, tally, task
from receiver.store.task_rows import new_row, task_of

SAMPLE = 300


def check(runtime: Runtime, *, now: datetime) -> None:
    """Print how many rows there are; a `ClickException` where some are wrong."""
    with runtime.database.write() as connection:
        connection.execute(text("INSERT INTO task_words(task_words, rank) VALUES ('integrity-check', 1)"))
    with runtime.database.read() as connection:
        for table in metadata.sorted_tables:
            click.echo(f"{table.name:16}{connection.scalar(select(func.count()).select_from(table)):>12,}")
        rows = connection.execute(select(task).where(task.c.number.in_(_sample(connection)))).all()
        wrong = [*_wrong_totals(connection), *_wrong_hours(connection, now=now)]
        changed_at = connection.scalars(select(func.max(task.c.changed_at))).one()
        if connection.scalars(select(change_clock.c.microseconds)).one() < changed_at.timestamp() * 1e6:
            wrong.append("the clock of changes is behind the tasks")
    for row in rows:
        if any(getattr(row, name) != value for name, value in new_row(task_of(row)).items()):
            wrong.append(f"task {row.task_id} is not as the product writes it")
        if rebuild_task(runtime, row.task_id, now=now):
            wrong.append(f"a rebuild changes task {row.task_id}")
    if wrong:
        raise click.ClickException("\n".join(wrong))
    click.echo(f"{len(rows)} tasks are rebuilt unchanged; the index of words and all counts are right")


def _sample(connection: Connection) -> Sequence[int]:
    """Numbers of the newest, whose bodies are there, and of all."""
    last = connection.scalars(select(func.max(task.c.number))).one()
    newest, every = range(max(last - 30 * SAMPLE, 0) + 1, last + 1), range(1, last + 1)
    return [number for some in (newest, every) for number in random.sample(some, min(SAMPLE, len(some)))]


def _wrong_totals(connection: Connection) -> Iterator[str]:
    totals = hourly_counts.totals(connection, task_counts.TASK)[task_counts.TASK]
    outcomes = select(task.c.outcome, func.count()).group_by(task.c.outcome)
    for outcome, count in connection.execute(outcomes):
        click.echo(f"  {outcome:16}{count:>10,}")
        if totals[outcome] != count:
            yield f"{totals[outcome]} tasks are counted as {outcome}, {count} are"


def _wrong_hours(connection: Connection, *, now: datetime) -> Iterator[str]:
    """Of the last day, and only where the deliveries of all tasks of an hour are stored."""
    first = connection.scalars(select(func.min(delivery.c.received_at))).one() + timedelta(hours=OLDEST_H)
    hours = [hourly_counts.hour_of(now) - timedelta(hours=ago) for ago in range(24)]
    for hour in (hour for hour in hours if hour > first):
        within = (delivery.c.received_at >= hour) & (delivery.c.received_at < hour + timedelta(hours=1))
        stored = select(delivery.c.source, delivery.c.result, func.count()).where(within)
        stored = stored.group_by(delivery.c.source, delivery.c.result)
        counted = select(tally.c.subject, tally.c.name, tally.c.count).where(tally.c.hour == hour)
        missing = set(connection.execute(stored).tuples()) - set(connection.execute(counted).tuples())
        if missing:
            yield f"of the hour {hour} {missing} is stored, and not counted"
