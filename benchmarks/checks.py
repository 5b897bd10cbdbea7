"""Whether a seeded database is what the product would have written."""

import random
import time

from rich.console import Console
from sqlalchemy import Connection, func, select, text

from benchmarks.titles import sought_words
from receiver.core import task_counts
from receiver.store import hourly_counts, task_list
from receiver.store.database import Database
from receiver.store.schema import metadata, task
from receiver.store.task_list import TaskFilter
from receiver.store.task_rows import new_row, task_of

SAMPLE = 500


def print_rows(database: Database, console: Console) -> None:
    with database.read() as connection:
        for table in metadata.sorted_tables:
            count = connection.scalar(select(func.count()).select_from(table))
            console.print(f"{table.name:14} {count:>12,}")
        for outcome, count in connection.execute(
            select(task.c.outcome, func.count()).group_by(task.c.outcome)
        ):
            console.print(f"  {outcome:20} {count:>12,}")
        for name in ("recovered", "lost_callback", "conflict"):
            count = connection.scalar(select(func.count()).where(task.c[name].is_(True)))
            console.print(f"  {name:20} {count:>12,}")


def check_rows(database: Database, console: Console) -> None:
    """Some tasks loaded and made rows of again must give the same rows, and the totals must be the tasks'."""
    with database.read() as connection:
        most = connection.scalar(select(func.max(task.c.number))) or 0
        numbers = random.sample(range(1, most + 1), min(SAMPLE, most))
        rows = connection.execute(select(task).where(task.c.number.in_(numbers))).all()
        told = hourly_counts.totals(connection, task_counts.TASK)[task_counts.TASK]
        counted: dict[str, int] = dict(
            connection.execute(select(task.c.outcome, func.count()).group_by(task.c.outcome)).tuples().all()
        )
    for row in rows:
        again = new_row(task_of(row))
        wrong = {name for name, value in again.items() if getattr(row, name) != value}
        if wrong:
            raise SystemExit(f"task {row.task_id} is not as the product writes it: {sorted(wrong)}")
    if any(told[outcome] != count for outcome, count in counted.items()):
        raise SystemExit(f"the totals are wrong: {told} instead of {counted}")
    console.print(f"{len(rows)} tasks are as the product writes them, and the totals are right")


def check_search(database: Database, console: Console) -> None:
    """The index of words fits the table and finds some tasks by their words; searches are timed."""
    started = time.monotonic()
    with database.write() as connection:
        connection.execute(text("INSERT INTO task_words(task_words, rank) VALUES ('integrity-check', 1)"))
    console.print(f"the index of words fits the tasks ({time.monotonic() - started:.0f} s)")
    with database.read() as connection:
        _check_words(connection)
        for name, words in sought_words().items():
            started = time.monotonic()
            found = task_list.find(connection, TaskFilter(text=words), limit=50)
            took_ms = (time.monotonic() - started) * 1000
            console.print(f"  {name:28} {words:18} {len(found.tasks):>4} tasks {took_ms:8.1f} ms")


def _check_words(connection: Connection) -> None:
    query = text("SELECT count(*) FROM task_words WHERE task_words MATCH :sought AND rowid = :number")
    most = connection.scalar(select(func.max(task.c.number))) or 0
    numbers = random.sample(range(1, most + 1), min(SAMPLE, most))
    for number, words in connection.execute(
        select(task.c.number, task.c.words).where(task.c.number.in_(numbers))
    ):
        sought = " ".join(f'"{word}"' for word in words.split())
        if words and not connection.scalar(query, {"sought": sought, "number": number}):
            raise SystemExit(f"task number {number} is not found by its words {words!r}")
