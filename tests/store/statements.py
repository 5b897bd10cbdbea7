"""What statements are really executed, and how the database finds the rows that they are about."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event

from receiver.store.database import Database

Statement = tuple[str, Any]

# They grow with what is stored; all other tables stay as small as the settings are.
GROWING = ("task", "delivery", "tally", "action", "task_words")
# Partial indexes of a bounded number of rows, which may be read whole, and why.
BOUNDED = dict.fromkeys(("delivery_capped", "task_capped"), "at most the cap on what strangers may store")
WRITES_ONLY = ("INSERT", "BEGIN", "SAVEPOINT", "RELEASE", "SET", "SHOW")


@contextmanager
def listening(database: Database) -> Iterator[list[Statement]]:
    """All that is executed meanwhile, each statement once, with the parameters that it had first."""
    parameters_of: dict[str, Any] = {}

    def listen(_: Any, __: Any, statement: str, parameters: Any, ___: Any, many: bool) -> None:
        several = many and isinstance(parameters, list)  # not the rows of one statement
        parameters_of.setdefault(statement, parameters[0] if several else parameters)

    event.listen(database.engine, "before_cursor_execute", listen)
    statements: list[Statement] = []
    try:
        yield statements
    finally:
        event.remove(database.engine, "before_cursor_execute", listen)
        statements += [
            (statement, parameters_of[statement]) for statement in parameters_of if _finds_rows(statement)
        ]


def walks_of(connection: Connection, statement: Statement) -> Sequence[str]:
    """The steps of its plan that walk over a table that grows; the plan with them."""
    steps = _sqlite_walks if connection.dialect.name == "sqlite" else _postgresql_walks
    return list(steps(connection, *statement))


def _finds_rows(statement: str) -> bool:
    """Not what only adds rows; of `INSERT … SELECT` nothing is used here."""
    return not statement.lstrip().upper().startswith((*WRITES_ONLY, "PRAGMA", "EXPLAIN"))


def _sqlite_walks(connection: Connection, statement: str, parameters: Any) -> Iterator[str]:
    rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    for step in (row[3] for row in rows):
        walked = re.match(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", step)
        if not walked or walked[2] in BOUNDED or "VIRTUAL TABLE" in step:
            continue
        if _name(walked[1], statement) in GROWING:
            yield step


def _name(alias: str, statement: str) -> str:
    """The table that an alias stands for."""
    named = re.search(rf"(\w+) AS {alias}\b", statement)
    return named[1] if named else alias


def _postgresql_walks(connection: Connection, statement: str, parameters: Any) -> Iterator[str]:
    (plan,) = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
    for node, limited in _nodes(plan["Plan"], limited=False):
        if node.get("Relation Name") not in GROWING or node.get("Index Name") in BOUNDED:
            continue
        kind, found = node["Node Type"], node.get("Index Cond") or node.get("Recheck Cond")
        if kind == "Seq Scan" or (kind in ("Index Scan", "Index Only Scan") and not (found or limited)):
            yield json.dumps(node)


def _nodes(node: Mapping[str, Any], *, limited: bool) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """The plan's nodes, and whether a limit ends each early."""
    yield node, limited
    passes_on = node["Node Type"] in ("Limit", "LockRows", "Result", "Subquery Scan")
    for child in node.get("Plans", ()):
        below = child["Node Type"]
        stops = node["Node Type"] == "Limit" or (limited and passes_on)
        yield from _nodes(child, limited=stops and below not in ("Sort", "Hash", "Aggregate"))
