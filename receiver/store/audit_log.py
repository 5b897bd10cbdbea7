"""What people did, recorded in the transaction that did it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, literal_column, select

from receiver.store.schema import action


class ActionKind(StrEnum):
    SIGNED_IN = "signed_in"
    SIGN_IN_REFUSED = "sign_in_refused"
    SIGN_IN_LOCKED = "sign_in_locked"
    SIGNED_OUT = "signed_out"
    POLL_REQUESTED = "poll_requested"
    LABELLED = "labelled"
    ACKNOWLEDGED = "acknowledged"
    READ_AGAIN = "read_again"
    REBUILT = "rebuilt"
    PRUNED = "pruned"
    DELETED = "deleted"


@dataclass(frozen=True, kw_only=True, slots=True)
class Actor:
    """Who did it: `via` "admin page", "API" or "command", from an address where there was one."""

    via: str
    address: str | None = None


COMMAND = Actor(via="command")


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    kind: ActionKind
    actor: Actor
    at: datetime
    task_id: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    id: int = 0


def record(
    connection: Connection,
    kind: ActionKind,
    actor: Actor,
    *,
    now: datetime,
    task_id: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Record that this was done; `detail` is stored as JSON."""
    values = {"at": now, "via": actor.via, "address": actor.address, "kind": kind}
    values |= {"task_id": task_id, "detail": json.dumps(detail or {})}
    connection.execute(insert(action).values(**values))


def delete_old_refusals(connection: Connection, *, before: datetime) -> None:
    """Delete old refused sign-ins, as anybody can cause any number of them."""
    refused = action.c.kind == literal_column("'sign_in_refused'")  # as in the index of these
    old = refused & (action.c.at < before)
    connection.execute(delete(action).where(old))


def newest(
    connection: Connection, *, limit: int, before: int | None = None, kind: ActionKind | None = None
) -> Sequence[Action]:
    """At most `limit`, newest first, older than the id `before`; of one kind, or of all."""
    query = select(action).order_by(action.c.id.desc()).limit(limit)
    if kind is not None:
        query = query.where(action.c.kind == kind)
    if before is not None:
        query = query.where(action.c.id < before)
    return [_action(row) for row in connection.execute(query)]


def of_task(connection: Connection, task_id: str, *, limit: int) -> Sequence[Action]:
    """The newest about this task, newest first."""
    query = select(action).where(action.c.task_id == task_id).order_by(action.c.id.desc()).limit(limit)
    return [_action(row) for row in connection.execute(query)]


def _action(row: Row[Any]) -> Action:
    return Action(
        id=row.id,
        kind=ActionKind(row.kind),
        actor=Actor(via=row.via, address=row.address),
        at=row.at,
        task_id=row.task_id,
        detail=json.loads(row.detail),
    )
