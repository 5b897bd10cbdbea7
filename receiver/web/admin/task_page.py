"""Everything the page of one task shows, out of one snapshot of the database. Pure: `now` is passed in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from receiver.core.claim_bounds import exceeds_claim_limits
from receiver.core.observation import Source
from receiver.core.payloads import ParseOutcome, parse_stored
from receiver.core.reconciliation import TaskState, reconcile
from receiver.core.source_comparison import ComparedValue, by_track, compare
from receiver.core.task import Task
from receiver.core.times import Timestamp
from receiver.store.audit_log import Action
from receiver.store.deliveries import StoredDelivery
from receiver.web.admin.presenters import (
    Field,
    TaskRow,
    details_of,
    no_tracks_text,
    task_row,
    timestamps_of,
)
from receiver.web.admin.timeline import Entry, build_timeline
from receiver.web.admin.track_cards import TrackCard, track_cards

# Anybody may call back, so only so many bodies and bytes are parsed for a page.
MAX_COMPARED_BODIES = 200
MAX_COMPARED_BYTES = 2_000_000
COUNT_CAP = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRecords:
    """What is stored about a task: the newest deliveries and actions, and the newest bodies to compare.

    `deliveries_count` stops at `COUNT_CAP`. `statuses` are the reported ones by source.
    """

    task: Task
    deliveries: Sequence[StoredDelivery]
    deliveries_count: int
    actions: Sequence[Action]
    bodies: Sequence[StoredDelivery]
    bodies_dropped: bool
    statuses: Mapping[str, Sequence[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Callbacks against record-info, by track. `partial`: not all bodies could be compared."""

    by_track: Mapping[str | None, Sequence[ComparedValue]]
    differing: int
    partial: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskPage:
    """`hidden` is how many older deliveries are not shown, empty where all are."""

    task: Task
    row: TaskRow
    timestamps: Sequence[tuple[str, Timestamp | None]]
    details: tuple[Field, ...]
    tracks: Sequence[TrackCard]
    no_tracks: str
    timeline: Sequence[Entry]
    hidden: str
    comparison: Comparison
    statuses: Mapping[str, Sequence[str]]


def build_task_page(
    records: TaskRecords, *, now: datetime, overdue_before: datetime | None, origins: tuple[str, ...]
) -> TaskPage:
    task = records.task
    return TaskPage(
        task=task,
        row=task_row(task, now, overdue_before=overdue_before),
        timestamps=timestamps_of(task, now),
        details=details_of(task),
        tracks=track_cards(task, now, origins=origins),
        no_tracks=no_tracks_text(task),
        timeline=build_timeline(task, records.deliveries, records.actions, now=now),
        hidden=hidden_count(records.deliveries_count, shown=len(records.deliveries)),
        comparison=_compare(records),
        statuses=records.statuses,
    )


def hidden_count(count: int, *, shown: int) -> str:
    """How many deliveries are not shown, in words; counting stopped at `COUNT_CAP`."""
    if count == shown:
        return ""
    return f"{count - shown:,}{' or more' if count == COUNT_CAP else ''}"


def _compare(records: TaskRecords) -> Comparison:
    bodies, state = records.bodies, records.task.state
    values = compare(_reported(bodies, Source.CALLBACK), _reported(bodies, Source.POLL), state)
    return Comparison(
        by_track=by_track(values),
        differing=sum(value.differs for value in values),
        partial=records.bodies_dropped
        or len(bodies) == MAX_COMPARED_BODIES
        or any(delivery.cause == ParseOutcome.TOO_MUCH for delivery in bodies)
        or sum(len(delivery.body or b"") for delivery in bodies) > MAX_COMPARED_BYTES,
    )


def _reported(bodies: Sequence[StoredDelivery], source: Source) -> TaskState:
    """What the bodies of one source report together, by the current parser.

    Callbacks that exceed the limits are left out, as is what exceeds `MAX_COMPARED_BYTES`.
    """
    state, left = TaskState(), MAX_COMPARED_BYTES
    for delivery in bodies:
        left -= len(delivery.body or b"")
        if delivery.source == source and left >= 0:
            state = _with_delivery(state, delivery, source)
    return state


def _with_delivery(state: TaskState, delivery: StoredDelivery, source: Source) -> TaskState:
    if delivery.body is None or delivery.cause == ParseOutcome.TOO_MUCH:
        return state
    observation = parse_stored(delivery.body, source=source, task_id=delivery.task_id).observation
    if observation is None or exceeds_claim_limits(state, observation):
        return state
    return reconcile(state, observation)
