"""Copies all of one database into another, empty one: from SQLite to PostgreSQL."""

from collections.abc import Callable

from sqlalchemy import Connection, Table, func, insert, select, text

from receiver.store import lease
from receiver.store.backup import database_file, nobody_uses
from receiver.store.database import Database, database_now
from receiver.store.schema import metadata

BATCH_SIZE = 1000
# A slow read from the source between two inserts is no node that is gone.
NO_LIMITS = text(
    "SELECT set_config('statement_timeout', '0', true),"
    " set_config('idle_in_transaction_session_timeout', '0', true)"
)
# Called as this one is: a URL may give all of them another name.
OTHER_SESSIONS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND application_name = current_setting('application_name')"
)


class NotEmptyError(Exception):
    """There are rows already; the message says in which table. Nothing was changed."""


class InUseError(Exception):
    """The source database is in use: later writes would not be copied."""


def refuse_while_in_use(source: Database) -> None:
    """Raises `InUseError`, or a file's `BackupError`, while a receiver runs on the database."""
    file = database_file(str(source.url))
    if file is not None:
        source.engine.dispose()  # or we would be the ones who use it
        with nobody_uses(file):
            return
    with source.read() as connection:
        held = lease.read(connection)
        if held and held.valid(database_now(connection)):
            raise InUseError(f"The database is in use, {held.holder} polls: stop all servers first.")
        if others := connection.scalar(OTHER_SESSIONS):
            raise InUseError(f"The database is in use, by {others} other sessions: stop all servers first.")


def count_rows(database: Database) -> int:
    with database.read() as connection:
        return sum(_count(connection, table) for table in metadata.sorted_tables)


def copy_rows(source: Database, target: Database, tell: Callable[[int], None]) -> dict[str, int]:
    """All rows with their ids, in one transaction: whole or not at all. Returns how many by table."""
    copied: dict[str, int] = {}
    with source.read() as reading, target.write() as writing:
        if not target.is_sqlite:
            writing.execute(NO_LIMITS)
        for table in metadata.sorted_tables:
            if _count(writing, table):
                raise NotEmptyError(f"The database to copy to has rows in its table {table.name!r} already.")
        for table in metadata.sorted_tables:
            copied[table.name] = 0
            rows = reading.execute(
                select(table).order_by(*table.primary_key), execution_options={"yield_per": BATCH_SIZE}
            )
            for some in rows.mappings().partitions():
                writing.execute(insert(table), [dict(row) for row in some])
                copied[table.name] += len(some)
                tell(sum(copied.values()))
            _go_on_numbering(writing, table)
    return copied


def _count(connection: Connection, table: Table) -> int:
    return connection.scalar(select(func.count()).select_from(table)) or 0


def _go_on_numbering(connection: Connection, table: Table) -> None:
    """The next row gets a number of its own; SQLite sees to that itself."""
    key = table.autoincrement_column
    if key is not None and connection.dialect.name == "postgresql":
        sequence = func.pg_get_serial_sequence(table.name, key.name)
        last = func.max(key)
        connection.execute(select(func.setval(sequence, func.coalesce(last, 1), last.is_not(None))))
