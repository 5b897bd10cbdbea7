"""Many rows at once, whose values are made ready for the driver before anything is locked.

With SQLite `executemany` gives the interpreter's lock back at each row. So a transaction would wait for the other
threads of its process once a row, and all other processes would wait for the transaction: there one statement inserts
several rows. To PostgreSQL `executemany` sends all rows at once, and takes half the time of one long statement.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Dialect, Table
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import psycopg

from receiver.store.upsert import Insert

Values = tuple[Any, ...]
"""One row in the order of a statement's columns, in the types of the driver."""

SIZES = (
    64,
    32,
    16,
    8,
    4,
    2,
    1,
)  # rows of a statement: few texts to parse, and far below the limits on parameters
DIALECTS: Mapping[str, Dialect] = {
    "sqlite": sqlite.dialect(paramstyle="qmark"),
    "postgresql": psycopg.dialect(paramstyle="format"),  # type: ignore[no-untyped-call]
}


class BulkInsert:
    """The rows of `table` with these columns; a statement says in addition what becomes of conflicts."""

    def __init__(self, table: Table, columns: Sequence[str], statement: Callable[[str], Insert]) -> None:
        self._columns = [table.c[name] for name in table.c.keys() if name in columns]  # noqa: SIM118  columns
        self._statement = statement
        self._texts = cache(self._text)
        self._processors = cache(self._processors_for)

    def bind(self, row: Mapping[str, Any], dialect: str) -> Values:
        """The row as the driver takes it; it needs no connection."""
        return tuple(
            row[name] if process is None else process(row[name])
            for name, process in self._processors(dialect)
        )

    def rebind(self, values: Values, dialect: str, **changed: Any) -> Values:
        """The same row with other values of these columns."""
        return tuple(
            value if name not in changed else process(changed[name]) if process else changed[name]
            for (name, process), value in zip(self._processors(dialect), values, strict=True)
        )

    def execute(self, connection: Connection, rows: Sequence[Values]) -> None:
        if connection.dialect.name == "postgresql":
            if rows:
                connection.exec_driver_sql(self._texts("postgresql", 1), list(rows))
            return
        begun = 0
        while begun < len(rows):
            size = next(size for size in SIZES if size <= len(rows) - begun)
            values = tuple(chain.from_iterable(rows[begun : begun + size]))
            connection.exec_driver_sql(self._texts("sqlite", size), values)
            begun += size

    def _processors_for(self, dialect: str) -> Sequence[tuple[str, Callable[[Any], Any] | None]]:
        return [
            (column.name, column.type.dialect_impl(DIALECTS[dialect]).bind_processor(DIALECTS[dialect]))
            for column in self._columns
        ]

    def _text(self, dialect: str, size: int) -> str:
        names = [column.name for column in self._columns]
        once = str(self._statement(dialect).inline().compile(dialect=DIALECTS[dialect], column_keys=names))
        inserted, *conflict = once.split(" ON CONFLICT ")
        into, row = inserted.split(" VALUES ")
        return " ON CONFLICT ".join([f"{into} VALUES {', '.join([row] * size)}", *conflict])
