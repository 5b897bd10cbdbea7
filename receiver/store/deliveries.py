"""What we were told, raw. A delivery that repeats another keeps its row, not its body."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, insert, select, tuple_, update

from receiver.core.change import Change
from receiver.store.schema import delivery, task

DUPLICATE = "duplicate"
QUARANTINED = "quarantined"
WALKED = 2000

Content = tuple[str, str, bytes]
"""Task id, source, digest: what makes a delivery the same as another."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredDelivery:
    """A row of the log: `cause` of its quarantine, `change` in its task. `body` is None once it was dropped."""

    source: str
    received_at: datetime
    result: str
    digest: bytes
    body: bytes | None
    task_id: str | None = None
    status: str = ""
    product: str | None = None
    errors: Mapping[str, list[str]] | None = None
    cause: str | None = None
    query: str | None = None
    change: Change = field(default_factory=dict)
    acknowledged_at: datetime | None = None
    id: int = 0


def known_contents(connection: Connection, contents: Collection[Content]) -> set[Content]:
    """Those of these contents that were delivered before."""
    columns = (delivery.c.task_id, delivery.c.source, delivery.c.digest)
    rows = (
        connection.execute(select(*columns).where(tuple_(*columns).in_(list(contents)))) if contents else ()
    )
    return {(row.task_id, row.source, bytes(row.digest)) for row in rows}


def add(connection: Connection, deliveries: Iterable[StoredDelivery]) -> None:
    rows = [
        columns_as_read(told)
        | {
            "source": told.source,
            "received_at": told.received_at,
            "body": None if told.result == DUPLICATE else told.body,
            "query": told.query,
        }
        for told in deliveries
    ]
    if rows:
        connection.execute(insert(delivery), rows)


def columns_as_read(told: StoredDelivery) -> dict[str, Any]:
    """What a row says by the present reading of its body."""
    return {
        "task_id": told.task_id,
        "result": told.result,
        "cause": told.cause,
        "status": told.status,
        "product": told.product,
        "errors": json.dumps(told.errors or {}),
        "change": json.dumps(told.change),
        "digest": told.digest,
    }


def of_task(connection: Connection, task_id: str, *, newest: int | None = None) -> Sequence[StoredDelivery]:
    """Deliveries about a task in order of arrival, the newest or all; a repetition shows the body that it repeats."""
    query = _with_bodies().where(delivery.c.task_id == task_id).order_by(delivery.c.id.desc()).limit(newest)
    return [stored_of(row) for row in connection.execute(query)][::-1]


def count_of_task(connection: Connection, task_id: str) -> int:
    return connection.scalar(select(func.count()).where(delivery.c.task_id == task_id)) or 0


def last_id(connection: Connection) -> int:
    return connection.scalar(select(func.max(delivery.c.id))) or 0


def load(connection: Connection, delivery_id: int) -> StoredDelivery | None:
    """One delivery; a repetition shows the body that it repeats."""
    row = connection.execute(_with_bodies().where(delivery.c.id == delivery_id)).one_or_none()
    return None if row is None else stored_of(row)


def bodies_of(connection: Connection, task_id: str, *, newest: int | None = None) -> Sequence[StoredDelivery]:
    """The deliveries of a task whose bodies are still there, each content once, the newest or all; newest first."""
    query = select(delivery).where(delivery.c.task_id == task_id, delivery.c.body.is_not(None))
    return [stored_of(row) for row in connection.execute(query.order_by(delivery.c.id.desc()).limit(newest))]


def statuses_of(connection: Connection, task_id: str) -> Mapping[str, Sequence[str]]:
    """The statuses told of a task by source, each once, in the order in which they came."""
    query = (
        select(delivery.c.source, delivery.c.status)
        .where(delivery.c.task_id == task_id, delivery.c.status != "")
        .group_by(delivery.c.source, delivery.c.status)
        .order_by(func.min(delivery.c.id))
    )
    told: dict[str, list[str]] = {}
    for source, status in connection.execute(query):
        told.setdefault(source, []).append(status)
    return told


def any_body_dropped(connection: Connection, task_id: str) -> bool:
    """Whether retention has dropped something that the task's state was made of."""
    query = select(delivery.c.id).where(
        delivery.c.task_id == task_id, delivery.c.body.is_(None), delivery.c.result != DUPLICATE
    )
    return connection.execute(query.limit(1)).first() is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """A piece of the log: the id it ends with, and those in it whose bodies may go."""

    end: int
    droppable: Sequence[int]


def find_old_bodies(connection: Connection, *, after: int, received_before: datetime) -> Stretch | None:
    """The next piece of the log behind the id `after`; None where nothing so old follows.

    Ids grow with the time of arrival, but for the seconds that clocks and waiting transactions differ by.
    """
    columns = (delivery.c.id, delivery.c.task_id, delivery.c.received_at)
    has_body = delivery.c.body.is_not(None).label("has_body")
    following = select(*columns, has_body).where(delivery.c.id > after).order_by(delivery.c.id)
    walked = following.limit(WALKED).subquery()
    end, oldest = connection.execute(select(func.max(walked.c.id), func.min(walked.c.received_at))).one()
    if end is None or oldest >= received_before:
        return None
    old = walked.c.has_body & (walked.c.received_at < received_before) & ~_needed(walked.c.task_id)
    return Stretch(end=end, droppable=connection.scalars(select(walked.c.id).where(old)).all())


def drop_bodies(connection: Connection, ids: Collection[int]) -> int:
    """Drop these bodies, but for those that a task needs by now; the rows stay. Says how many."""
    # What another one drops at this moment is left to it: so two never wait for each other.
    free = (
        select(delivery.c.id)
        .where(delivery.c.id.in_(ids), delivery.c.body.is_not(None), ~_needed(delivery.c.task_id))
        .with_for_update(skip_locked=True)
    )
    return connection.execute(update(delivery).where(delivery.c.id.in_(free)).values(body=None)).rowcount


def _needed(task_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a task that is not settled may yet be derived from it again; a sister product's job is no task."""
    return select(task.c.task_id).where(task.c.task_id == task_id, task.c.settled_at.is_(None)).exists()


def _with_bodies() -> Select[Any]:
    first = delivery.alias("first")
    same = and_(
        first.c.task_id == delivery.c.task_id,
        first.c.source == delivery.c.source,
        first.c.digest == delivery.c.digest,
        first.c.body.is_not(None),
    )
    body = func.coalesce(delivery.c.body, select(first.c.body).where(same).limit(1).scalar_subquery())
    return select(*(column for column in delivery.c if column.name != "body"), body.label("body"))


def stored_of(row: Row[Any]) -> StoredDelivery:
    return StoredDelivery(
        id=row.id,
        task_id=row.task_id,
        source=row.source,
        received_at=row.received_at,
        result=row.result,
        status=row.status,
        product=row.product,
        errors=json.loads(row.errors),
        cause=row.cause,
        query=row.query,
        change=json.loads(row.change),
        acknowledged_at=row.acknowledged_at,
        digest=bytes(row.digest),
        body=None if row.body is None else bytes(row.body),
    )
