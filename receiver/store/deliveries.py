"""The log of deliveries, each with its raw body. One that repeats another has a row and no body."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, case, func, select

from receiver.core.observation import Source
from receiver.core.payloads import ParsedPayload, ParseOutcome
from receiver.core.payloads.errors import bounded_again
from receiver.core.results import DeliveryResult
from receiver.core.task_change import TaskChange
from receiver.store.schema import delivery

LOAD_BATCH_SIZE = 100
PAGE_BYTES = 4_000_000  # of bodies, however many rows were asked for
MAX_STATUS_CHARS = 64


@dataclass(frozen=True, kw_only=True)
class StoredDelivery:
    """A row of the log: `cause` of its quarantine, `change` in its task, the id of the first that it `repeats`.

    `body` is None in a repetition, and once it was dropped. The caps are on unregistered data. Texts are made once,
    which is why it has no slots.
    """

    source: Source
    received_at: datetime
    result: DeliveryResult
    digest: bytes
    body: bytes | None
    task_id: str | None = None
    status: str = ""
    product: str | None = None
    errors: Mapping[str, list[str]] | None = None
    cause: ParseOutcome | None = None
    query: str | None = None
    change: TaskChange = field(default_factory=dict)
    acknowledged_at: datetime | None = None
    repeats: int | None = None
    counts_against_cap: bool = False
    id: int = 0

    @property
    def is_stored(self) -> bool:
        """Whether it gets a row: a repetition of what names no task is only counted."""
        return self.task_id is not None or self.result is not DeliveryResult.DUPLICATE

    @cached_property
    def errors_json(self) -> str:
        return json.dumps(bounded_again(self.errors)) if self.errors else "{}"

    @cached_property
    def change_json(self) -> str:
        return json.dumps(self.change) if self.change else "{}"

    @property
    def capped_bytes(self) -> int | None:
        """The bytes that count against the cap on strangers: the body and its texts; None: not capped."""
        if not self.counts_against_cap or self.body is None or self.result is DeliveryResult.DUPLICATE:
            return None
        texts = (self.errors_json, self.change_json, self.query or "")
        return len(self.body) + sum(len(text.encode(errors="replace")) for text in texts)

    def with_payload(self, parsed: ParsedPayload, *, change: TaskChange) -> "StoredDelivery":
        """The row by this parsing of its body; a repetition stays one."""
        result = self.result if self.result is DeliveryResult.DUPLICATE else parsed.result
        return replace(
            self,
            task_id=parsed.task_id,
            result=result,
            cause=parsed.kind if result is DeliveryResult.QUARANTINED else None,
            status=parsed.status,
            product=parsed.product,
            errors=parsed.errors,
            change=change,
            digest=parsed.digest,
        )


def parsed_columns(stored: StoredDelivery) -> dict[str, Any]:
    """The columns that depend on parsing the body; bounded here again, whatever the parser let through."""
    return {
        "task_id": stored.task_id,
        "result": stored.result,
        "cause": stored.cause,
        "status": stored.status[:MAX_STATUS_CHARS],
        "product": stored.product,
        "errors": stored.errors_json,
        "change": stored.change_json,
        "digest": stored.digest,
    }


def of_task(connection: Connection, task_id: str, *, newest: int = 200) -> Sequence[StoredDelivery]:
    """The newest deliveries about a task in order of arrival: so many, and so many bytes."""
    about = sizes().where(delivery.c.task_id == task_id).order_by(delivery.c.id.desc()).limit(newest)
    return load_all(connection, within_bytes(connection.execute(about)))


def page_of_task(
    connection: Connection, task_id: str, *, after: int, limit: int
) -> tuple[Sequence[StoredDelivery], int | None]:
    """Deliveries about a task after the id `after`, in order of arrival, and the id to go on after."""
    about = sizes().where(delivery.c.task_id == task_id, delivery.c.id > after).order_by(delivery.c.id)
    rows = connection.execute(about.limit(limit + 1)).all()
    ids = within_bytes(rows[:limit])
    return load_all(connection, ids), ids[-1] if len(ids) < len(rows) else None


def sizes() -> Select[Any]:
    """Ids of deliveries and the sizes of their bodies, for which no body is read."""
    return select(delivery.c.id, func.coalesce(func.length(delivery.c.body), 0).label("size"))


def within_bytes(rows: Iterable[Row[Any]]) -> list[int]:
    """The ids of the first of these rows, as many as fit into `PAGE_BYTES`, one at least."""
    ids: list[int] = []
    left = PAGE_BYTES
    for row in rows:
        left -= row.size
        if left < 0 and ids:
            break
        ids.append(row.id)
    return ids


def load_all(connection: Connection, ids: Collection[int]) -> Sequence[StoredDelivery]:
    """These deliveries with their bodies, in order of arrival."""
    query = select(*delivery.c, _repeated().label("repeats")).where(delivery.c.id.in_(ids))
    return [stored_of(row) for row in connection.execute(query.order_by(delivery.c.id))] if ids else []


def load(connection: Connection, delivery_id: int) -> StoredDelivery | None:
    """One delivery; a repetition shows the body that it repeats."""
    first = delivery.alias("first")
    body = select(first.c.body).where(first.c.id == _repeated()).scalar_subquery()
    columns = (each for each in delivery.c if each.name != "body")
    query = select(*columns, _repeated().label("repeats"), func.coalesce(delivery.c.body, body).label("body"))
    row = connection.execute(query.where(delivery.c.id == delivery_id)).one_or_none()
    return None if row is None else stored_of(row)


def _repeated() -> ColumnElement[Any]:
    """The id of the first delivery with the content of this one, where this one repeats it."""
    same = delivery.alias("same")
    content = [same.c[name] == delivery.c[name] for name in ("task_id", "source", "digest")]
    first = select(same.c.id).where(*content).order_by(same.c.id).limit(1).correlate(delivery)
    other = func.nullif(first.scalar_subquery(), delivery.c.id)  # where an operator has removed the first
    return case((delivery.c.result == DeliveryResult.DUPLICATE, other))


def count_of_task(connection: Connection, task_id: str, *, most: int | None = None) -> int:
    """How many deliveries are about a task; counting stops at `most`."""
    rows = select(delivery.c.id).where(delivery.c.task_id == task_id).limit(most).subquery()
    return connection.scalar(select(func.count()).select_from(rows)) or 0


def bodies_of(
    connection: Connection, task_id: str, *, newest: int, before: int | None = None
) -> Sequence[StoredDelivery]:
    """The newest deliveries of a task whose bodies are still there: so many, and so many bytes; newest first."""
    query = sizes().where(delivery.c.task_id == task_id, delivery.c.body.is_not(None))
    older = query if before is None else query.where(delivery.c.id < before)
    rows = connection.execute(older.order_by(delivery.c.id.desc()).limit(newest))
    return load_all(connection, within_bytes(rows))[::-1]


def every_body_of(connection: Connection, task_id: str) -> Iterator[StoredDelivery]:
    """All of them, newest first, a few in memory at a time."""
    before = None
    while some := bodies_of(connection, task_id, newest=LOAD_BATCH_SIZE, before=before):
        yield from some
        before = some[-1].id


def statuses_of(connection: Connection, task_id: str, *, newest: int) -> Mapping[str, Sequence[str]]:
    """The statuses that a task's deliveries report for music, by source, each once, in order of arrival."""
    walked = (
        select(delivery.c.id, delivery.c.source, delivery.c.status, delivery.c.product)
        .where(delivery.c.task_id == task_id)
        .order_by(delivery.c.id.desc())
        .limit(newest)
        .subquery()
    )
    query = (
        select(walked.c.source, walked.c.status)
        .where(walked.c.status != "", walked.c.product.is_(None))
        .group_by(walked.c.source, walked.c.status)
        .order_by(func.min(walked.c.id))
    )
    statuses: dict[str, list[str]] = {}
    for source, status in connection.execute(query):
        statuses.setdefault(source, []).append(status)
    return statuses


def any_body_dropped(connection: Connection, task_id: str, *, newest: int | None = None) -> bool:
    """Whether a body was dropped that is part of the task's state, among all or its newest deliveries."""
    walked = (
        select(delivery.c.result, delivery.c.body.is_(None).label("bodiless"))
        .where(delivery.c.task_id == task_id)
        .order_by(delivery.c.id.desc())
        .limit(newest)
        .subquery()
    )
    query = select(walked.c.result).where(walked.c.bodiless, walked.c.result != DeliveryResult.DUPLICATE)
    return connection.execute(query.limit(1)).first() is not None


def stored_of(row: Any) -> StoredDelivery:
    return StoredDelivery(
        id=row.id,
        task_id=row.task_id,
        source=Source(row.source),
        received_at=row.received_at,
        result=DeliveryResult(row.result),
        status=row.status,
        product=row.product,
        errors=json.loads(row.errors),
        cause=None if row.cause is None else ParseOutcome(row.cause),
        query=row.query,
        change=json.loads(row.change),
        acknowledged_at=row.acknowledged_at,
        repeats=getattr(row, "repeats", None),
        counts_against_cap=row.capped_bytes is not None,
        digest=bytes(row.digest),
        body=None if row.body is None else bytes(row.body),
    )
