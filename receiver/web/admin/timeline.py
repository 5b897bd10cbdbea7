"""A task's story: what was told, asked, done and decided, the newest first. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from receiver.core.task import Task
from receiver.store.actions import Action
from receiver.store.deliveries import StoredDelivery
from receiver.web.admin.bodies import LONGEST_BODY
from receiver.web.admin.marks import ACTIONS, Mark
from receiver.web.admin.moments import When, moment_words
from receiver.web.admin.rows import DeliveryRow, delivery_row

FIRST_SEEN = Mark("slate", "●", "first seen")
REGISTERED = Mark("slate", "✚", "registered")
SHOWN_WHOLE = 20  # of the older ones, bodies are only linked to
GAVE_UP = Mark("red", "◼", "gave up")
SETTLED = Mark("green", "◆", "settled")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One thing that happened: a `delivery` with what it changed, or `words` about something else."""

    at: When
    mark: Mark
    words: str = ""
    delivery: DeliveryRow | None = None


def tell(
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
        (task.settled_at, 5, SETTLED, task.verdict.outcome.value),
    )
    for moment, place, mark, words in moments:
        if moment is not None:
            yield (moment, place, 0), Entry(at=moment_words(moment, now), mark=mark, words=words)


def _deliveries(told: Iterable[StoredDelivery], now: datetime) -> Iterator[Timed]:
    told = list(told)
    for place, one in enumerate(told, start=1 - len(told)):
        row = delivery_row(one, now, longest=LONGEST_BODY if place > -SHOWN_WHOLE else 0)
        yield (one.received_at, 2, one.id), Entry(at=row.received, mark=row.mark, delivery=row)


def _actions(done: Iterable[Action], now: datetime) -> Iterator[Timed]:
    for action in done:
        entry = Entry(at=moment_words(action.at, now), mark=ACTIONS[action.kind], words=action_words(action))
        yield (action.at, 3, action.id), entry


def action_words(action: Action) -> str:
    """Who did it, from where, and with what."""
    where = f" from {action.actor.address}" if action.actor.address else ""
    told = ", ".join(_told(action.detail))
    return f"by {action.actor.via}{where}" + (f": {told}" if told else "")


def _told(detail: Mapping[str, object]) -> Iterator[str]:
    for name, value in detail.items():
        yield f"{name} {'removed' if value is None else value}"
