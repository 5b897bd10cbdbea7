"""A task's story: what was told, asked, done and decided, the newest first. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from receiver.core.task import Task
from receiver.store.audit_log import Action
from receiver.store.deliveries import StoredDelivery
from receiver.web.admin.badges import ACTIONS, Badge
from receiver.web.admin.body_preview import MAX_BODY_CHARS
from receiver.web.admin.presenters import DeliveryRow, delivery_row
from receiver.web.admin.times import Timestamp, humanize

FIRST_SEEN = Badge("slate", "●", "first seen")
REGISTERED = Badge("slate", "✚", "registered")
SHOWN_WHOLE = 20  # of the older ones, bodies are only linked to
GAVE_UP = Badge("red", "◼", "gave up")
SETTLED = Badge("green", "◆", "settled")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One thing that happened: a `delivery` with what it changed, or `words` about something else."""

    at: Timestamp
    mark: Badge
    words: str = ""
    delivery: DeliveryRow | None = None


def build_timeline(
    task: Task, told: Sequence[StoredDelivery], done: Sequence[Action], *, now: datetime
) -> Sequence[Entry]:
    """The entries in falling order of time; what happened at one moment, in the order in which it must have."""
    entries = [*_moments(task, now), *_deliveries(told, now), *_actions(done, now)]
    return [entry for _, entry in sorted(entries, key=lambda timed: timed[0], reverse=True)]


Timed = tuple[tuple[datetime, int, int], Entry]


def _moments(task: Task, now: datetime) -> Iterator[Timed]:
    other = task.state.other_job is not None
    moments = (
        (task.first_seen_at, 0, FIRST_SEEN, ""),
        (task.registered_at, 1, REGISTERED, "by its owner"),
        (task.gave_up_at, 4, GAVE_UP, "no music is known by this id" if other else "its time was over"),
        (task.settled_at, 5, SETTLED, task.settlement.outcome.value),
    )
    for moment, place, mark, words in moments:
        if moment is not None:
            yield (moment, place, 0), Entry(at=humanize(moment, now), mark=mark, words=words)


def _deliveries(told: Iterable[StoredDelivery], now: datetime) -> Iterator[Timed]:
    told = list(told)
    for place, one in enumerate(told, start=1 - len(told)):
        row = delivery_row(one, now, longest=MAX_BODY_CHARS if place > -SHOWN_WHOLE else 0)
        yield (one.received_at, 2, one.id), Entry(at=row.received, mark=row.mark, delivery=row)


def _actions(done: Iterable[Action], now: datetime) -> Iterator[Timed]:
    for action in done:
        entry = Entry(at=humanize(action.at, now), mark=ACTIONS[action.kind], words=action_words(action))
        yield (action.at, 3, action.id), entry


def action_words(action: Action) -> str:
    """Who did it, from where, and with what."""
    where = f" from {action.actor.address}" if action.actor.address else ""
    told = ", ".join(_delivery_words(action.detail))
    return f"by {action.actor.via}{where}" + (f": {told}" if told else "")


def _delivery_words(detail: Mapping[str, object]) -> Iterator[str]:
    for name, value in detail.items():
        yield f"{name} {'removed' if value is None else value}"
