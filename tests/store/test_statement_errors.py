"""A statement that the database refuses harms only itself; a database that takes nothing is named as such."""

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, text

from receiver.runtime import Runtime
from receiver.store.database import Database, StoreUnavailableError
from receiver.store.schema import delivery, lease, tally
from receiver.store.statement_errors import StatementRefusedError
from tests.conftest import BOTH_STORES, T0

INCOMPRESSIBLE = "".join(random.Random(1).choices([chr(sign) for sign in range(0x4E00, 0x9FFF)], k=4000))


def without_a_digest(connection: Connection) -> None:
    row = {"source": "callback", "received_at": T0, "result": "accepted", "status": "", "errors": "{}"}
    connection.execute(insert(delivery).values(**row, change="{}", body=b"lyrics", digest=None))


def the_same_key_twice(connection: Connection) -> None:
    row = {"hour": T0, "subject": "callback", "name": "accepted", "count": 1}
    connection.execute(insert(tally), [row, row])


def a_syntax_error(connection: Connection) -> None:
    connection.execute(text("SELEC 1"))


def a_text_with_a_nul(connection: Connection) -> None:
    values = {"name": "a\0b", "holder": "", "fence": 1, "heartbeat_at": T0, "expires_at": T0}
    connection.execute(insert(lease).values(**values))


def a_text_that_is_too_long(connection: Connection) -> None:
    values = {"name": "n" * 33, "holder": "", "fence": 1, "heartbeat_at": T0, "expires_at": T0}
    connection.execute(insert(lease).values(**values))


def a_number_that_is_too_large(connection: Connection) -> None:
    connection.execute(text("SELECT CAST(100000 AS smallint)"))


def a_key_that_no_index_can_hold(connection: Connection) -> None:
    connection.execute(text("CREATE TABLE odd (word text PRIMARY KEY)"))
    connection.execute(text("INSERT INTO odd (word) VALUES (:word)"), {"word": INCOMPRESSIBLE})


def a_blob_that_is_too_big(connection: Connection) -> None:
    connection.execute(text("SELECT zeroblob(2000000000)"))


def too_many_variables(connection: Connection) -> None:
    query = f"SELECT 1 WHERE 1 IN ({', '.join('?' * 300_000)})"
    connection.exec_driver_sql(query, tuple(range(300_000)))


EVERYWHERE = (without_a_digest, the_same_key_twice, a_syntax_error)
IN_POSTGRESQL = (
    a_text_with_a_nul,
    a_text_that_is_too_long,
    a_number_that_is_too_large,
    a_key_that_no_index_can_hold,
)
IN_SQLITE = (a_blob_that_is_too_big, too_many_variables)
CASES = [
    *[(store, what) for what in EVERYWHERE for store in ("sqlite", "postgresql")],
    *[("postgresql", what) for what in IN_POSTGRESQL],
    *[("sqlite", what) for what in IN_SQLITE],
]


@pytest.mark.parametrize(("database_url", "what"), CASES, indirect=["database_url"])
def test_what_is_wrong_with_one_statement_is_distinguished_from_what_is_wrong_with_the_database(
    runtime: Runtime, what: Callable[[Connection], None]
) -> None:
    with pytest.raises(StatementRefusedError) as refused, runtime.database.write() as connection:
        what(connection)
    assert "lyrics" not in repr(refused.value)
    assert refused.value.__cause__ is None
    with runtime.database.write() as connection:
        connection.execute(text("SELECT 1"))


@BOTH_STORES
def test_a_missing_table_is_for_the_operator_to_mend(runtime: Runtime) -> None:
    with pytest.raises(StoreUnavailableError), runtime.database.write() as connection:
        connection.execute(text("SELECT * FROM nothing_of_that_name"))


def test_a_file_that_somebody_else_has_locked_or_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "receiver.db"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailableError, match="locked"), database.write():
            pass
    database.engine.dispose()
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreUnavailableError), database.read() as connection:
        connection.execute(text("SELECT * FROM task"))
    database.engine.dispose()


def test_a_full_disk_is_unavailable(runtime: Runtime) -> None:
    with pytest.raises(StoreUnavailableError, match="full"), runtime.database.write() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")
        connection.execute(text("CREATE TABLE big (x)"))
        connection.execute(text("INSERT INTO big VALUES (zeroblob(1000000))"))
