"""A filled database of each earlier version becomes one of this version, and nothing of it is lost."""

import json
import logging
from collections.abc import Iterator, Mapping
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, MetaData, func, insert, select, text

from receiver.app import build_app
from receiver.clock import utc_now
from receiver.core.settlement import Outcome
from receiver.core.task import Task
from receiver.core.task_counts import count_changes
from receiver.operations import every_task_id, rebuild_task
from receiver.runtime import Runtime, open_runtime
from receiver.settings import load_settings
from receiver.store import hourly_counts, quarantine, task_list
from receiver.store.database import Database
from receiver.store.orphan_cap import TASK_OVERHEAD_BYTES, counts_against_cap
from receiver.store.quarantine import QuarantineFilter
from receiver.store.schema import metadata, task
from receiver.store.schema_version import MIGRATIONS
from receiver.store.task_list import Flag, TaskFilter
from tests.conftest import T0, json_of
from tests.store.filled import SETTINGS, callback, views

VERSIONS = Path(__file__).parent / "versions"
KNOWN = [script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()]
EARLIER = KNOWN[:0:-1]


def test_there_is_a_filled_database_of_each_earlier_version() -> None:
    made = sorted(path.stem for path in VERSIONS.glob("*.json"))
    assert set(EARLIER) <= set(made), (
        "make it with the last program of that version: see tests/store/filled.py"
    )


@pytest.fixture(
    params=[(version, store) for version in EARLIER for store in ("sqlite", "postgresql")], ids="-".join
)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Database, Mapping[str, Any]]]:
    """A database as that version made and filled it, and what its program showed of it."""
    version, store = request.param
    url = f"sqlite:///{tmp_path}/old.db"
    if store == "postgresql":
        url = request.getfixturevalue("postgres").new_database(empty=True)
    filled = json.loads((VERSIONS / f"{version}.json").read_text(encoding="utf-8"))
    database = Database(url)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)
        _insert(connection, filled["rows"])
    database.engine.dispose()
    yield database, filled["shown"]
    database.engine.dispose()


def _insert(connection: Any, rows: Mapping[str, list[dict[str, Any]]]) -> None:
    tables = MetaData()
    tables.reflect(connection, only=list(rows))
    for table in tables.sorted_tables:
        values = [
            {name: _value(table.c[name], value) for name, value in row.items()} for row in rows[table.name]
        ]
        connection.execute(insert(table), values)
        key = table.autoincrement_column
        if connection.dialect.name == "postgresql" and key is not None:
            sequence = func.pg_get_serial_sequence(table.name, key.name)
            connection.execute(select(func.setval(sequence, func.max(key))))


def _value(column: Column[Any], value: Any) -> Any:
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"])
    if value is not None and column.type.python_type is datetime:
        moment = datetime.fromisoformat(value).astimezone(UTC)
        return moment if getattr(column.type, "timezone", False) else moment.replace(tzinfo=None)
    return value


def upgraded(database: Database) -> Runtime:
    url = database.url.render_as_string(hide_password=False)
    return open_runtime(load_settings(SETTINGS | {"RECEIVER_DATABASE_URL": url}), migrate=True)


def with_repeated_bodies(recorded: dict[str, Any]) -> dict[str, Any]:
    """As earlier versions showed it, which had no pages and gave the body of each repetition again."""
    for page in recorded["deliveries"].values():
        bodies = {row["id"]: row["body"] for row in page["deliveries"]}
        assert page.pop("next") is None
        for row in page["deliveries"]:
            row["body"] = bodies.get(row["repeats"], row["body"])
    for row in [row for page in recorded["deliveries"].values() for row in page["deliveries"]] + recorded[
        "quarantine"
    ]:
        row.pop("repeats")
    return recorded


def levels_of(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, database: Database
) -> list[str]:
    """Of the lines that a migration logs."""
    monkeypatch.setattr(logging.getLogger("receiver"), "propagate", True)
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="receiver.store.database"):
        database.migrate()
    return [record.levelname for record in caplog.records if record.name == "receiver.store.database"]


def test_an_upgrade_warns_that_it_takes_time_and_only_once(
    old: tuple[Database, Mapping[str, Any]], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert levels_of(caplog, monkeypatch, old[0]) == ["WARNING"]
    assert levels_of(caplog, monkeypatch, old[0]) == []


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_making_the_first_tables_is_no_reason_to_warn(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    store: str,
) -> None:
    url = f"sqlite:///{tmp_path}/new.db"
    if store == "postgresql":
        url = request.getfixturevalue("postgres").new_database(empty=True)
    database = Database(url)
    assert levels_of(caplog, monkeypatch, database) == ["INFO"]
    assert levels_of(caplog, monkeypatch, database) == []
    database.engine.dispose()


def test_everything_reads_the_same_after_the_upgrade(old: tuple[Database, Mapping[str, Any]]) -> None:
    database, recorded = old
    assert database.schema_versions().pending
    runtime = upgraded(database)
    assert not database.schema_versions().pending
    client = build_app(runtime).test_client()
    expected = as_it_is_shown_now(recorded)
    assert what_was_shown_before(with_repeated_bodies(views(client)), expected) == expected
    with runtime.database.read() as connection:
        options = {"include_object": lambda _, name, *__: not name.startswith("task_words")}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
        everything = task_list.find(connection, TaskFilter(), limit=99).tasks
        assert hourly_counts.totals(connection, "task", "settling") == counted_anew(everything)
        flagged = {
            task.task_id for task in task_list.find(connection, TaskFilter(flag=Flag.PROBLEM), limit=9).tasks
        }
        assert flagged == {"both", "observed-task"}
        causes = [entry.cause for entry in quarantine.find(connection, QuarantineFilter(), limit=9)]
        assert causes == ["unreadable", "no_task_id", "not_json", "no_task_id", "no_task_id"]
        capped_ids = {task.task_id for task in everything if counts_against_cap(task)}
        counted = select(task.c.task_id).where(task.c.capped_bytes > TASK_OVERHEAD_BYTES)
        assert set(connection.scalars(counted)) == capped_ids
        assert capped_ids and len(capped_ids) < len(everything)
        for stored in everything:
            times = (
                stored.last_callback_at,
                stored.last_polled_at,
                stored.registered_at,
                stored.first_seen_at,
            )
            assert stored.changed_at == (stored.settled_at or max(filter(None, times)))
        for words, found in {"СЕВЕР вет": {"confirmed"}, "заказ": {"confirmed"}, "lant": {"both"}}.items():
            page = task_list.find(connection, TaskFilter(text=words), limit=9)
            assert {task.task_id for task in page.tasks} == found
    runtime.database.engine.dispose()


def test_an_upgraded_database_goes_on_as_a_new_one_would(old: tuple[Database, Mapping[str, Any]]) -> None:
    database, recorded = old
    runtime = upgraded(database)
    client = build_app(runtime).test_client()
    sent = client.post("/callbacks/callback-token-0001", data=callback("late", "first", "Never finished"))
    new = client.post("/callbacks/callback-token-0001", data=callback("new", "text", "New"))
    assert (json_of(sent)["result"], json_of(new)["result"]) == ("accepted", "accepted")
    after = views(client)
    assert len(after["tasks"]) == len(recorded["tasks"]) + 1
    ids = [row["id"] for found in after["deliveries"].values() for row in found["deliveries"]]
    assert len(ids) == len(set(ids))
    with runtime.database.read() as connection:
        numbers = connection.scalars(text("SELECT number FROM task ORDER BY number")).all()
        assert len(set(numbers)) == len(numbers) == len(after["tasks"])
        assert task_list.find(connection, TaskFilter(text="new"), limit=9).tasks[0].task_id == "new"
        if database.is_sqlite:
            check = "INSERT INTO task_words(task_words, rank) VALUES ('integrity-check', 1)"
            connection.exec_driver_sql(check)
    runtime.database.engine.dispose()


def test_what_claims_alone_ended_is_judged_again_by_a_rebuild(
    old: tuple[Database, Mapping[str, Any]],
) -> None:
    database, _ = old
    runtime = upgraded(database)
    before = outcomes(runtime)
    for key in every_task_id(runtime):
        rebuild_task(runtime, key, now=utc_now())
    changed = {key: outcome for key, outcome in outcomes(runtime).items() if outcome != before[key]}
    orphans = ("8768694ee07ac1449a3f6a8d06b18cec", "2fac****9f72")
    no_url = {"exception": Outcome.IN_PROGRESS}  # its audio is `u1.mp3`, which is read as no URL by now
    assert changed == dict.fromkeys(orphans, Outcome.UNRESOLVED) | no_url
    assert not [key for key in every_task_id(runtime) if rebuild_task(runtime, key, now=utc_now())]
    runtime.database.engine.dispose()


def outcomes(runtime: Runtime) -> dict[str, Outcome]:
    with runtime.database.read() as connection:
        return {
            stored.task_id: stored.settlement.outcome
            for stored in task_list.find(connection, TaskFilter(), limit=99).tasks
        }


def what_was_shown_before(now: Any, before: Any) -> Any:
    """The view without what only a newer program tells."""
    if isinstance(now, dict) and isinstance(before, dict):
        return {key: what_was_shown_before(now[key], value) for key, value in before.items() if key in now}
    if isinstance(now, list) and isinstance(before, list) and len(now) == len(before):
        return [what_was_shown_before(a, b) for a, b in zip(now, before, strict=True)]
    return now


def as_it_is_shown_now(recorded: Mapping[str, Any]) -> Mapping[str, Any]:
    """Claims are shown no more where record-info listed the tracks, nor an error where the status is no failure."""
    shown = deepcopy(dict(recorded))
    tasks = {shown_task["taskId"]: shown_task for shown_task in shown["tasks"]}
    tasks["confirmed"]["tracks"] = [
        track for track in tasks["confirmed"]["tracks"] if track["id"] != "confirmed-a"
    ]
    tasks["both"] |= {"errorCode": None, "errorMessage": None}
    return shown


def counted_anew(everything: Any) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for counted in everything:
        for (subject, name), count in count_changes(Task(task_id="", first_seen_at=T0), counted).items():
            counts.setdefault(subject, {}).setdefault(name, 0)
            counts[subject][name] += count
    return counts
