"""Tasks and deliveries as a page shows them. Pure: `now` is passed in."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from receiver.core.claims import Claims
from receiver.core.observation import DETAIL_FIELDS
from receiver.core.settlement import Outcome
from receiver.core.system_state import OVERDUE_AFTER
from receiver.core.task import Task
from receiver.core.task_change import TaskChange
from receiver.core.times import Timestamp, duration, humanize, timestamp
from receiver.store.deliveries import StoredDelivery
from receiver.web.admin.badges import Badge, cause_badge, flags_of, result_badge, task_badge
from receiver.web.admin.body_preview import MAX_BODY_CHARS, Body, body_of

WEB_ADDRESS = re.compile(r"https?://[^\s\\\x00-\x1f\x7f]+", re.IGNORECASE)
UNTITLED = "Untitled"


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRow:
    """`sources`: which of callbacks and polls reported the task; `ready` of the `tracks` can be played."""

    task_id: str
    title: str
    label: str | None
    badge: Badge
    flags: tuple[Badge, ...]
    sources: str
    ready: int
    tracks: int
    first_seen: Timestamp
    next_poll: Timestamp | None


@dataclass(frozen=True, slots=True)
class Field:
    """A value, and whether record-info confirmed it or only a callback claimed it."""

    name: str
    value: str
    confirmed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryRow:
    """`repeats`: the delivery that has the same body; `body` is None where it was deleted."""

    id: int
    task_id: str | None
    source: str
    received: Timestamp
    badge: Badge
    cause: Badge | None
    acknowledged: Timestamp | None
    status: str
    product: str | None
    query: str | None
    errors: tuple[tuple[str, str], ...]
    change: TaskChange
    repeats: int | None
    body: Body | None


def task_row(task: Task, now: datetime, *, overdue_before: datetime | None) -> TaskRow:
    """A poll planned before `overdue_before` is overdue; None: nothing is polled."""
    tracks = list(task.tracks.values())
    titles = {str(claims["title"].value): None for claims in tracks if "title" in claims}
    return TaskRow(
        task_id=task.task_id,
        title=" / ".join(titles) or UNTITLED,
        label=task.display_label,
        badge=task_badge(task, overdue_before=overdue_before),
        flags=flags_of(task),
        sources=_sources(task),
        ready=task.state.count_playable(),
        tracks=len(tracks),
        first_seen=humanize(task.first_seen_at, now),
        next_poll=_next_poll(task, now) if overdue_before else None,
    )


def _sources(task: Task) -> str:
    names = (("callback", task.callbacks), ("poll", task.polls))
    return " + ".join(name for name, count in names if count) or "none"


def _next_poll(task: Task, now: datetime) -> Timestamp | None:
    planned = timestamp(task.next_poll_at, now)
    if task.next_poll_at is None or planned is None or not planned.is_past:
        return planned
    late = now - task.next_poll_at
    words = f"overdue by {duration(late.total_seconds())}" if late >= OVERDUE_AFTER else "due now"
    return replace(planned, relative=words)


def timestamps_of(task: Task, now: datetime) -> Sequence[tuple[str, Timestamp | None]]:
    return [
        ("First seen", timestamp(task.first_seen_at, now)),
        ("Registered", timestamp(task.registered_at, now)),
        ("Last callback", timestamp(task.last_callback_at, now)),
        ("Last poll", timestamp(task.last_polled_at, now)),
        ("Next poll", _next_poll(task, now)),
        ("Gave up at", timestamp(task.gave_up_at, now)),
        ("Settled", timestamp(task.settled_at, now)),
    ]


def details_of(task: Task) -> tuple[Field, ...]:
    return fields_of(DETAIL_FIELDS, task.state.visible_details)


def no_tracks_text(task: Task) -> str:
    """Why there are no tracks."""
    outcome = task.settlement.outcome
    reasons = {
        Outcome.IN_PROGRESS: "No tracks yet",
        Outcome.FAILED: "No tracks: the task failed",
        Outcome.UNRESOLVED: "No tracks: the task is unresolved",
    }
    return reasons.get(outcome, "No tracks")


def delivery_row(delivery: StoredDelivery, now: datetime, *, max_chars: int = MAX_BODY_CHARS) -> DeliveryRow:
    return DeliveryRow(
        id=delivery.id,
        task_id=delivery.task_id,
        source=delivery.source,
        received=humanize(delivery.received_at, now),
        badge=result_badge(delivery.result, delivery.source),
        cause=cause_badge(delivery.cause) if delivery.cause else None,
        acknowledged=timestamp(delivery.acknowledged_at, now),
        status=delivery.status,
        product=delivery.product,
        query=delivery.query,
        errors=error_rows(delivery.errors),
        change=delivery.change,
        repeats=delivery.repeats,
        body=None if delivery.body is None else body_of(delivery.body, max_chars=max_chars),
    )


def error_rows(errors: Mapping[str, list[str]] | None) -> tuple[tuple[str, str], ...]:
    """Each place with its messages; those about the whole stand under `body`."""
    return tuple((where or "body", " ".join(map(str, texts))) for where, texts in (errors or {}).items())


def web_address(value: object) -> str | None:
    """The value where it is a plain http(s) URL; anything else could run in the page when followed."""
    return value if isinstance(value, str) and WEB_ADDRESS.fullmatch(value) else None


def fields_of(names: tuple[str, ...], claims: Claims) -> tuple[Field, ...]:
    present = [name for name in names if name in claims]
    return tuple(Field(name, str(claims[name].value), claims[name].confirmed) for name in present)
