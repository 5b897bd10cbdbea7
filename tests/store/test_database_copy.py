"""A team that grows takes its SQLite database along to PostgreSQL, whole."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import event, select, text

from receiver.app import build_app
from receiver.cli import main
from receiver.runtime import Runtime, open_runtime
from receiver.settings import load_settings
from receiver.store import lease
from receiver.store.database import Database, database_now
from receiver.store.database_copy import copy_rows
from receiver.store.schema import metadata
from tests.conftest import eventually
from tests.servers.postgres import Postgres
from tests.store.filled import SETTINGS, callback, fill, views


def settings(url: str) -> dict[str, str]:
    return SETTINGS | {"RECEIVER_DATABASE_URL": url}


def copy(source: str, target: str) -> Any:
    return CliRunner().invoke(main, ["copy", "--to", target, "--json"], env=settings(source))


def everything(database: Database) -> dict[str, list[Any]]:
    with database.read() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
            for table in metadata.sorted_tables
        }


@pytest.fixture
def opened() -> Any:
    made: list[Runtime] = []

    def open_at(url: str) -> Runtime:
        made.append(open_runtime(load_settings(settings(url)), migrate=True))
        return made[-1]

    yield open_at
    for runtime in made:
        runtime.database.engine.dispose()


def test_every_row_arrives_and_the_next_one_gets_a_number_of_its_own(
    tmp_path: Path, postgres: Postgres, opened: Callable[[str], Runtime]
) -> None:
    old, new, back = (
        f"sqlite:///{tmp_path}/a.db",
        postgres.new_database(empty=True),
        f"sqlite:///{tmp_path}/b.db",
    )
    expected_views = fill(old)
    done = copy(old, new)
    assert done.exit_code == 0, done.output
    source, target = opened(old), opened(new)
    rows = everything(source.database)
    assert everything(target.database) == rows
    client = build_app(target).test_client()
    assert views(client) == expected_views
    client.post("/callbacks/callback-token-0001", data=callback("new", "text", "New"))
    after = everything(target.database)
    assert after["delivery"][:-1] == rows["delivery"]
    assert after["task"][-1][1] == "new"
    again = copy(old, new)
    assert again.exit_code == 1
    assert "has rows in its table" in again.stderr
    assert everything(target.database) == after
    target.database.engine.dispose()
    eventually(lambda: copy(new, back).exit_code == 0, why="PostgreSQL sees a session leave a moment later")
    assert everything(opened(back).database) == after


def test_a_database_in_use_is_not_left_behind(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    fill(url)
    import subprocess
    import sys

    holds = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM task'); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holds, f"{tmp_path}/a.db"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout
        other.stdout.readline()
        done = copy(url, f"sqlite:///{tmp_path}/b.db")
        other.communicate()
    assert (done.exit_code, "stop the receiver first" in done.stderr) == (1, True)
    assert not (tmp_path / "b.db").exists()


def test_a_postgresql_that_servers_run_on_is_not_left_behind(
    tmp_path: Path, postgres: Postgres, opened: Callable[[str], Runtime]
) -> None:
    url, to = postgres.new_database(), f"sqlite:///{tmp_path}/b.db"
    server = opened(url).database
    with server.read():
        done = copy(url, to)
    assert (done.exit_code, "other sessions: stop all servers first" in done.stderr) == (1, True), done.output
    with server.write() as connection:
        lease.take(connection, holder="web-1", now=database_now(connection), ttl_s=60)
    server.engine.dispose()
    done = copy(url, to)
    assert (done.exit_code, "web-1 polls: stop all servers first" in done.stderr) == (1, True), done.output
    assert not (tmp_path / "b.db").exists()


def test_a_slow_source_does_not_end_the_transaction(tmp_path: Path, postgres: Postgres) -> None:
    source, target = Database(f"sqlite:///{tmp_path}/a.db"), Database(postgres.new_database())
    source.migrate()
    limits: list[Any] = []

    @event.listens_for(target.engine, "commit")
    def check_progress(connection: Any) -> None:
        names = ("idle_in_transaction_session_timeout", "statement_timeout")
        limits.extend(connection.scalar(text(f"SHOW {name}")) for name in names)

    copy_rows(source, target, lambda done: None)
    source.engine.dispose()
    target.engine.dispose()
    assert limits == ["0", "0"]
