"""A task's history, newest first: deliveries, actions and milestones. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from receiver.core.task import Task
from receiver.core.times import Timestamp, humanize
from receiver.store.audit_log import Action
from receiver.store.deliveries import StoredDelivery
from receiver.web.admin.action_words import action_words
from receiver.web.admin.badges import ACTIONS, Badge
from receiver.web.admin.body_preview import MAX_BODY_CHARS
from receiver.web.admin.presenters import DeliveryRow, delivery_row

FIRST_SEEN = Badge("slate", "●", "first seen")
REGISTERED = Badge("slate", "✚", "registered")
GAVE_UP = Badge("red", "◼", "gave up")
SETTLED = Badge("slate", "◆", "settled")
BODIES_SHOWN = 20  # of older deliveries the page only links to the body


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One event: a `delivery` with what it changed, or `words` about something else."""

    at: Timestamp
    badge: Badge
    words: str = ""
    delivery: DeliveryRow | None = None


Sorted = tuple[tuple[datetime, int, int], Entry]
"""An entry with its sort key: the time, a rank among events of one time, and an id."""


def build_timeline(
    task: Task, deliveries: Sequence[StoredDelivery], actions: Sequence[Action], *, now: datetime
) -> Sequence[Entry]:
    """Newest first; events of one time stand in the order in which they must have happened."""
    entries = [*_milestones(task, now), *_deliveries(deliveries, now), *_actions(actions, now)]
    return [entry for _, entry in sorted(entries, key=lambda item: item[0], reverse=True)]


def _milestones(task: Task, now: datetime) -> Iterator[Sorted]:
    unsupported = task.state.unsupported_end is not None
    gave_up = "record-info knows no music with this ID" if unsupported else "its deadline passed"
    milestones = (
        (task.first_seen_at, 0, FIRST_SEEN, ""),
        (task.registered_at, 1, REGISTERED, "by API"),
        (task.gave_up_at, 4, GAVE_UP, gave_up),
        (task.settled_at, 5, SETTLED, task.settlement.outcome.value),
    )
    for moment, rank, badge, words in milestones:
        if moment is not None:
            yield (moment, rank, 0), Entry(at=humanize(moment, now), badge=badge, words=words)


def _deliveries(deliveries: Sequence[StoredDelivery], now: datetime) -> Iterator[Sorted]:
    for place, delivery in enumerate(deliveries, start=1 - len(deliveries)):
        row = delivery_row(delivery, now, max_chars=MAX_BODY_CHARS if place > -BODIES_SHOWN else 0)
        yield (
            (delivery.received_at, 2, delivery.id),
            Entry(at=row.received, badge=row.badge, delivery=row),
        )


def _actions(actions: Sequence[Action], now: datetime) -> Iterator[Sorted]:
    for action in actions:
        entry = Entry(at=humanize(action.at, now), badge=ACTIONS[action.kind], words=action_words(action))
        yield (action.at, 3, action.id), entry
