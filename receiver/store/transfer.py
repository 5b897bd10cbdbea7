"""Everything of one database copied into another, empty one: from SQLite to PostgreSQL, where a team grows."""

from collections.abc import Callable

from sqlalchemy import Connection, Table, func, insert, select

from receiver.store.database import Database
from receiver.store.schema import metadata

ROWS_AT_ONCE = 1000


class NotEmptyError(Exception):
    """There are rows already; the message says in which table. Nothing was changed."""


def count_rows(database: Database) -> int:
    with database.read() as connection:
        return sum(_count(connection, table) for table in metadata.sorted_tables)


def copy_rows(source: Database, target: Database, tell: Callable[[int], None]) -> dict[str, int]:
    """All rows with their ids, in one transaction: whole or not at all. Returns how many by table."""
    copied: dict[str, int] = {}
    with source.read() as reading, target.write() as writing:
        for table in metadata.sorted_tables:
            if _count(writing, table):
                raise NotEmptyError(f"The database to copy to has rows in its table {table.name!r} already.")
        for table in metadata.sorted_tables:
            copied[table.name] = 0
            rows = reading.execute(
                select(table).order_by(*table.primary_key), execution_options={"yield_per": ROWS_AT_ONCE}
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
