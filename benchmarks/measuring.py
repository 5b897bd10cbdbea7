"""How long a view takes, what it asks the database, and how that goes about it."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event

from receiver.store.database import Database

WARM_UP = 3
TIMES = 5

Query = tuple[str, Any]
"""A statement and its parameters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """A view's times over all runs, and the queries of one run with the time that each takes by itself."""

    name: str
    status: int
    size: int
    times_ms: Sequence[float]
    queries: Sequence[tuple[Query, float]]

    @property
    def median_ms(self) -> float:
        return statistics.median(self.times_ms)

    @property
    def p95_ms(self) -> float:
        return sorted(self.times_ms)[max(round(0.95 * len(self.times_ms)) - 1, 0)]

    @property
    def slowest_query_ms(self) -> float:
        return max((took_ms for _, took_ms in self.queries), default=0.0)


def measure(database: Database, name: str, get: Callable[[], tuple[int, int]], *, runs: int) -> Measured:
    """`get` returns a status and a size in bytes."""
    with _watched(database) as queries:
        status, size = get()
    for _ in range(WARM_UP):
        get()
    times_ms = [_timed_ms(get) for _ in range(runs)]
    timed = [(query, _query_ms(database, query)) for query in queries if _only_reads(query)]
    return Measured(name=name, status=status, size=size, times_ms=times_ms, queries=timed)


def explain(database: Database, query: Query) -> Sequence[str]:
    """SQLite's plan of the query, a line a step."""
    with _cursor(database) as cursor:
        rows = cursor.execute(f"EXPLAIN QUERY PLAN {query[0]}", query[1]).fetchall()
    depths = {0: 0}
    lines = []
    for number, parent, _, detail in rows:
        depths[number] = depths.get(parent, 0) + 1
        lines.append(f"{'  ' * depths[number]}{detail}")
    return lines


@contextmanager
def _watched(database: Database) -> Iterator[list[Query]]:
    queries: list[Query] = []

    def record(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        queries.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", record)
    try:
        yield queries
    finally:
        event.remove(database.engine, "before_cursor_execute", record)


def _query_ms(database: Database, query: Query) -> float:
    """By itself and to its last row: SQLite finds most rows only when they are fetched."""
    with _cursor(database) as cursor:
        return statistics.median(_timed_ms(lambda: cursor.execute(*query).fetchall()) for _ in range(TIMES))


@contextmanager
def _cursor(database: Database) -> Iterator[Any]:
    connection = database.engine.raw_connection()
    try:
        yield connection.cursor()
    finally:
        connection.close()


def _timed_ms(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def _only_reads(query: Query) -> bool:
    return query[0].lstrip().upper().startswith(("SELECT", "WITH"))
