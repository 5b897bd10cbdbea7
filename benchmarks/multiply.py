"""Copies of the templates' rows, made by the database: each with an id, times and a label of its own."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    case,
    cast,
    func,
    insert,
    literal,
    select,
)

from benchmarks.generations import LABEL
from receiver.store.schema import UtcDateTime, action, delivery, tally, task

SCRATCH = MetaData(schema="scratch")
template = Table("template", SCRATCH, Column("number", Integer, primary_key=True), Column("task_id", Text))
copy = Table(
    "copy",
    SCRATCH,
    Column("number", Integer, primary_key=True),
    Column("template", Integer),
    Column("shift", Text),  # such as "-17 hours"
    Column("task_id", Text),
)
"""In order of time, numbered from 1."""

ORDER = literal("order ").concat(copy.c.number)
EVERY_COPY = copy.join(template, template.c.number == copy.c.template)


def _scratch(table: Table, name: str | None = None) -> Table:
    """The templates' rows of that table, which may have another name there."""
    rows = table.to_metadata(MetaData(), schema="scratch", name=name)
    rows.append_column(Column("template", Integer))
    return rows


def copy_tasks(connection: Connection) -> None:
    old = _scratch(task)
    own = {
        "task_id": copy.c.task_id,
        "label": func.replace(old.c.label, LABEL, ORDER),
        "words": func.replace(old.c.words, LABEL.lower(), ORDER),
    }
    _copy(connection, task, old, own, order_by=copy.c.number)


def copy_deliveries(connection: Connection, *, first: int, bodies_since: datetime) -> None:
    """Those of the copies from number `first` on; older bodies are gone, as after the daily job."""
    old = _scratch(delivery)
    received_at = _shifted(old.c.received_at)
    has_body = received_at >= bodies_since.strftime("%Y-%m-%d %H:%M:%S")
    body = func.replace(cast(old.c.body, Text), template.c.task_id, copy.c.task_id)
    digest = func.substr(func.hex(old.c.digest), 1, 16).concat(func.substr(copy.c.task_id, 1, 16))
    own: dict[str, ColumnElement[Any]] = {
        "task_id": case((old.c.task_id.is_not(None), copy.c.task_id)),
        "digest": cast(digest, LargeBinary),
        "body": case((has_body, cast(body, LargeBinary))),
        "capped_bytes": case((has_body, old.c.capped_bytes)),
    }
    _copy(connection, delivery, old, own, order_by=received_at, where=copy.c.number >= first)


def copy_actions(connection: Connection) -> None:
    old = _scratch(action)
    own = {"task_id": case((old.c.task_id.is_not(None), copy.c.task_id))}
    _copy(connection, action, old, own, order_by=_shifted(old.c.at))


def copy_counts(connection: Connection) -> None:
    counted = _scratch(tally, "counted")
    total = func.sum(counted.c.count)
    hour = _shifted(counted.c.hour)
    query = (
        select(counted.c.subject, hour, counted.c.name, total)
        .select_from(copy.join(counted, counted.c.template == copy.c.template))
        .group_by(counted.c.subject, hour, counted.c.name)
        .having(total != 0)
    )
    connection.execute(insert(tally).from_select(["subject", "hour", "name", "count"], query))


def _copy(
    connection: Connection,
    table: Table,
    old: Table,
    own: Mapping[str, ColumnElement[Any]],
    *,
    order_by: ColumnElement[Any],
    where: ColumnElement[bool] | None = None,
) -> None:
    """Every column as it is but for times, which are shifted, and what is the copy's own."""
    names = [column.name for column in table.c if column is not table.autoincrement_column]
    columns = [own[name] if name in own else _copied(old.c[name]) for name in names]
    query = select(*columns).select_from(EVERY_COPY.join(old, old.c.template == copy.c.template))
    query = query if where is None else query.where(where)
    connection.execute(insert(table).from_select(names, query.order_by(order_by)))


def _copied(column: Column[Any]) -> ColumnElement[Any]:
    return _shifted(column) if isinstance(column.type, UtcDateTime) else column


def _shifted(moment: Column[Any]) -> ColumnElement[Any]:
    """SQLite's own functions know no microseconds, which stay as they are."""
    return func.datetime(func.substr(moment, 1, 19), copy.c.shift).concat(func.substr(moment, 20))
