"""The database: its migrations, and what happens when it cannot be used."""

import gc
import multiprocessing
import weakref
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from receiver.runtime import Runtime
from receiver.store import tasks
from receiver.store.database import Database, StoreUnavailableError
from receiver.store.schema import metadata
from tests.conftest import BOTH_STORES


def migrate(url: str) -> None:
    Database(url).migrate()


def test_the_migrations_make_the_tables_that_the_program_knows(runtime: Runtime) -> None:
    with runtime.database.read() as connection:
        options = {"include_object": lambda _, name, *__: not name.startswith("task_words")}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    assert not runtime.database.schema_versions().pending


@BOTH_STORES
def test_a_database_that_nobody_uses_any_more_leaves_nothing_behind(database_url: str) -> None:
    database = Database(database_url)
    with database.read() as connection:
        connection.execute(text("SELECT 1"))
    engine = weakref.ref(database.engine)
    database.engine.dispose()
    del database, connection
    gc.collect()
    assert engine() is None


@pytest.mark.slow
def test_many_processes_may_migrate_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new.db"
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=migrate, args=(url,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]


def test_a_transaction_that_fails_leaves_nothing(runtime: Runtime) -> None:
    with pytest.raises(ZeroDivisionError), runtime.database.write() as connection:
        connection.exec_driver_sql("INSERT INTO probe (id, written_at) VALUES (1, '2026-01-01 00:00:00')")
        1 / 0  # noqa: B018
    with runtime.database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM probe").scalar() == 0


def test_a_database_without_its_tables_is_named_as_unavailable(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/empty.db")
    with pytest.raises(StoreUnavailableError, match="no such table"), database.read() as connection:
        tasks.load(connection, "t")
    database.engine.dispose()


def test_what_is_due_and_what_is_newest_is_found_by_an_index(runtime: Runtime) -> None:
    queries = {
        "SELECT task_id FROM task WHERE poll_rank = 1 AND next_poll_at <= '2026-01-01' "
        "AND (claimed_until IS NULL OR claimed_until <= '2026-01-01') ORDER BY next_poll_at LIMIT 8": "task_due",
        "SELECT * FROM task ORDER BY first_seen_at DESC, task_id DESC LIMIT 50": "task_newest",
        "SELECT task_id FROM task WHERE outcome = 'in_progress' AND first_seen_at <= '2026-01-01' "
        "ORDER BY first_seen_at LIMIT 9": "task_",
        "SELECT * FROM delivery WHERE result = 'quarantined' ORDER BY id DESC LIMIT 50": "delivery_quarantine",
    }
    with runtime.database.read() as connection:
        for query, index in queries.items():
            plan = str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").fetchall())
            assert f"INDEX {index}" in plan
            assert "TEMP B-TREE" not in plan
