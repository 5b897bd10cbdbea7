"""Fills a new SQLite database with three months of a receiver's life: `python -m benchmarks.seed FILE`.

A few hundred simulated generations go through the product's own operations. Then SQLite copies their rows.
"""

import logging
import random
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from sqlalchemy import Table, event, func, select

from benchmarks.generations import LABEL, SOMEBODY, draw_generation, play
from benchmarks.site import keep_poller, open_site
from receiver.core.results import DeliveryResult
from receiver.intake import callback_delivery
from receiver.maintenance import roll_up_counts
from receiver.operations import acknowledge_task, rebuild_task
from receiver.runtime import Runtime, open_runtime
from receiver.settings import load_settings
from receiver.store import quarantine
from receiver.store.change_clock import time_of_change
from receiver.store.hourly_counts import hour_of
from receiver.store.quarantine import QuarantineFilter
from receiver.store.schema import action, delivery, tally, task
from receiver.store.utc_datetime import UtcDateTime
from tests.servers.processes import environment

DAYS, LONGEST_H = 90, 28  # a stuck task is given up after a day
SETTLED, IN_PROGRESS = 400, 100
AT_PRESENT = 20  # copies of what is open now, one of them overdue
BODIES_KEPT = timedelta(days=2)
CHECKED = 200
COMMON, RARE = "Midnight Rain", "Quetzalcoatl"
TITLES = (COMMON, COMMON, "Paper Lanterns", "Copper Harbour", "Hollow Train", "Neon Garden", "Winter Moon")
OTHER_TITLES = ("Северный ветер", "月光下的 小河", "ليل المدينة", "Été Valparaíso", "Żółte światła")
KINDS: dict[tuple[str, ...], float] = {
    (): 71,
    ("callback-doubled",): 5,
    ("callbacks-reordered",): 2.5,
    ("callback-delayed", "not-yet"): 1,
    ("all-callbacks-lost",): 6,
    ("callback-exception",): 4.5,
    ("callback-exception-empty",): 1,
    ("success-without-urls",): 1,
    ("callback-forged",): 0.5,
    ("callback-malformed",): 0.5,
    ("generate-audio-failed",): 2.5,
    ("create-task-failed",): 1,
    ("sensitive-word",): 2,
    ("generate-audio-failed", "all-callbacks-lost"): 1,
    ("stuck",): 1,
}
"""Faults of the simulator, and in how many of 100 tasks."""
# By which faults, and after how many seconds at most the upstream becomes silent about a task.
SILENT = (((), 140), (("stuck",), 60), (("callback-exception-empty",), 140), (("callback-malformed",), 140))
BROKEN_BODIES = (
    "<html><body><h1>502 Bad Gateway</h1><p>{id}</p></body></html>",
    '{"code":200,"msg":"ok","data":{"callbackType":"complete","x":"{id}',
    '{"code":200,"msg":"ok","data":{"callbackType":"complete","data":[{"id":"{id}"}]}}',
    '{"code":501,"msg":"failed {id}","data":null}',
)
COPIED_TABLES = (task, delivery, action, tally)
NEW_ID = "substr(old.task_id, 1, 4) || key || substr(old.task_id, 13)"
SHIFTED = "datetime(substr(old.{0}, 1, 19), shift) || substr(old.{0}, 20)"  # a copy is whole hours later
HAS_BODY = f"{SHIFTED.format('received_at')} >= :bodies_since"
OWN_VALUES = {
    "task_id": NEW_ID,
    "label": f"replace(old.label, '{LABEL}', 'order ' || ({SETTLED} * copy.number + old.rowid))",
    "words": f"replace(old.words, '{LABEL.lower()}', 'order ' || ({SETTLED} * copy.number + old.rowid))",
    "digest": "randomblob(32)",
    "body": f"""CASE WHEN {HAS_BODY} THEN CAST(coalesce(replace(CAST(old.body AS text), old.task_id, {NEW_ID}),
        old.body) AS blob) END""",
    "count": "sum(old.count)",
}


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--tasks", type=click.IntRange(10_000), default=1_000_000, show_default=True)
@click.option("--deliveries", default=1_000_000, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(file: Path, tasks: int, deliveries: int, seed: int) -> None:
    """Fill a new database FILE; deliveries are those of the newest tasks."""
    if file.exists():
        raise click.ClickException(f"{file} exists; remove it first")
    logging.disable(logging.WARNING)
    now, rng, started = datetime.now(UTC), random.Random(seed), time.monotonic()
    url = f"sqlite:///{file}"
    runtime = open_runtime(load_settings(environment(file.parent, DATABASE_URL=url)), migrate=True)
    event.listen(
        runtime.database.engine, "connect", lambda driver, _: driver.execute("PRAGMA synchronous=OFF")
    )
    play_past(runtime, hour_of(now) - timedelta(days=DAYS), rng)
    set_aside(runtime, "past")
    play_present(runtime, now, rng)
    set_aside(runtime, "present")
    runtime.database.engine.dispose()
    copies = -(-(tasks - AT_PRESENT * (IN_PROGRESS + 2)) // SETTLED)
    hours = DAYS * 24 - LONGEST_H
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for statement in (
            "PRAGMA journal_mode=OFF",
            "PRAGMA synchronous=OFF",
            "PRAGMA cache_size=-300000",
            "BEGIN",
        ):
            connection.execute(statement)
        past = [f"{number * hours // copies} hours" for number in range(copies)]
        multiply(connection, "past", past, deliveries=deliveries, now=now)
        present = ["-3 hours", *["0 hours"] * (AT_PRESENT - 1)]
        multiply(connection, "present", present, deliveries=deliveries, now=now)
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode=WAL")
    with runtime.database.write() as changing:
        time_of_change(changing, changing.scalars(select(func.max(task.c.changed_at))).one())
        keep_poller(changing, now=now)
    while roll_up_counts(runtime.database, now=now):
        pass
    click.echo(f"seeded in {time.monotonic() - started:.0f} s, {file.stat().st_size / 1e6:,.0f} MB")
    check(open_site(file)[0], now=now)


def play_past(runtime: Runtime, hour: datetime, rng: random.Random) -> None:
    """Tasks that started in that hour and have ended, and bodies that name none; a person has seen all problems."""
    for faults in rng.choices(list(KINDS), list(KINDS.values()), k=SETTLED):
        start = hour + timedelta(seconds=rng.uniform(0, 3600))
        title = rng.choice(TITLES if rng.random() < 0.8 else OTHER_TITLES)
        generation = draw_generation(start, rng, title=title, faults=faults)
        label = LABEL if rng.random() < 1 / 3 else None
        end = play(runtime, generation, rng, label=label, registered=rng.random() > 0.03)
        acknowledge_task(runtime, generation.task_id, now=end, actor=SOMEBODY)
    send_broken(runtime, hour)
    with runtime.database.write() as connection:
        ids = quarantine.newest_ids(connection, QuarantineFilter(), limit=len(BROKEN_BODIES))
        quarantine.acknowledge(connection, ids, now=hour + timedelta(hours=1))


def play_present(runtime: Runtime, now: datetime, rng: random.Random) -> None:
    """Tasks in progress since seconds or hours, open problems, and a rare word."""
    for number in range(IN_PROGRESS):
        start = now - timedelta(seconds=2 * 40_000 ** rng.random())
        faults, silent_after_s = SILENT[number % len(SILENT)]
        generation = draw_generation(start, rng, title=rng.choice(TITLES), faults=faults)
        silent_from = start + timedelta(seconds=rng.uniform(0, silent_after_s))
        play(runtime, generation, rng, silent_from=silent_from, until=now)
    for fault in ("stuck", "callback-forged"):
        generation = draw_generation(now - timedelta(hours=LONGEST_H), rng, title=RARE, faults=[fault])
        play(runtime, generation, rng)
    send_broken(runtime, now - timedelta(hours=1))


def send_broken(runtime: Runtime, at: datetime) -> None:
    for number, body in enumerate(BROKEN_BODIES):
        own = body.replace("{id}", f"{at.timestamp():.0f}{number}").encode()
        [stored] = runtime.intake.accept([callback_delivery(own, now=at, secrets=())])
        assert stored.result is DeliveryResult.QUARANTINED, body


def set_aside(runtime: Runtime, name: str) -> None:
    """Move all rows into tables of that name."""
    runtime.intake.flush_counts()
    with runtime.database.write() as connection:
        for table in COPIED_TABLES:
            connection.exec_driver_sql(f"CREATE TABLE {name}_{table.name} AS SELECT * FROM {table.name}")
            connection.exec_driver_sql(f"DELETE FROM {table.name}")
        # The poller counts its calls, and here is none.
        connection.exec_driver_sql(
            f"INSERT INTO {name}_tally (subject, hour, name, count)"
            f" SELECT 'call', hour, 'answered', sum(count) FROM {name}_tally WHERE subject = 'poll' GROUP BY hour"
        )


def multiply(
    connection: sqlite3.Connection, name: str, shifts: Sequence[str], *, deliveries: int, now: datetime
) -> None:
    """As many copies of the rows set aside as there are shifts; only the last ones have their deliveries."""
    connection.execute("CREATE TEMP TABLE copy (number INTEGER PRIMARY KEY, shift TEXT, key TEXT)")
    keys = [f"{random.getrandbits(32) ^ number:08x}" for number in range(len(shifts))]
    connection.executemany("INSERT INTO copy (shift, key) VALUES (?, ?)", zip(shifts, keys, strict=True))
    [(each,)] = connection.execute(f"SELECT count(*) FROM {name}_delivery")
    values = {
        "first": max(len(shifts) - deliveries // each, 0) + 1,
        "bodies_since": (now - BODIES_KEPT).strftime("%Y-%m-%d %H:%M:%S"),
    }
    for table in COPIED_TABLES:
        connection.execute(_copying(table, name), values)
        connection.execute(f"DROP TABLE {name}_{table.name}")
    connection.execute("DROP TABLE copy")


def _copying(table: Table, name: str) -> str:
    own = OWN_VALUES | {
        column.name: SHIFTED.format(column.name) for column in table.c if isinstance(column.type, UtcDateTime)
    }
    columns = [column.name for column in table.c if column is not table.autoincrement_column]
    query = f"SELECT {', '.join(own.get(column, f'old.{column}') for column in columns)}"
    query += f" FROM copy CROSS JOIN {name}_{table.name} AS old WHERE true"
    if table is delivery:
        query += " AND copy.number >= :first"
    if table is tally:
        query += " GROUP BY 1, 2, 3 ON CONFLICT DO UPDATE SET count = count + excluded.count"
    return f"INSERT INTO {table.name} ({', '.join(columns)}) {query}"


def check(runtime: Runtime, *, now: datetime) -> None:
    """Print how many rows there are; a `ClickException` where a rebuild changes one of the newest tasks."""
    with runtime.database.read() as connection:
        for table in COPIED_TABLES:
            click.echo(f"{table.name:10}{connection.scalar(select(func.count()).select_from(table)):>12,}")
        newest = connection.scalars(
            select(task.c.task_id).order_by(task.c.number.desc()).limit(CHECKED)
        ).all()
    wrong = [task_id for task_id in newest if rebuild_task(runtime, task_id, now=now)]
    if wrong:
        raise click.ClickException(f"a rebuild changes {', '.join(wrong)}")


if __name__ == "__main__":
    main()
