"""States as colour, icon and word, each of which is enough."""

from dataclasses import dataclass
from datetime import datetime

from receiver.core.observation import Status
from receiver.core.payloads import Kind
from receiver.core.problem import is_decided
from receiver.core.settlement import Outcome
from receiver.core.task import Task
from receiver.store import actions


@dataclass(frozen=True, slots=True)
class Mark:
    colour: str
    icon: str
    word: str


OVERDUE = Mark("amber", "▲", "overdue")
CALLBACK_EXCEPTION = Mark("amber", "▲", "callback exception")
UNCONFIRMED = Mark("violet", "◇", "unconfirmed")
TEXT = Mark("blue", "◔", "text ready")
FIRST = Mark("blue", "◑", "first ready")
PENDING = Mark("slate", "○", "pending")
SEEN = Mark("slate", "◉", "seen")
OUTCOMES = {
    Outcome.SUCCEEDED: Mark("green", "✓", "succeeded"),
    Outcome.FAILED: Mark("red", "✕", "failed"),
    Outcome.UNRESOLVED: Mark("red", "?", "unresolved"),
}
RESULTS = {
    "accepted": Mark("green", "✓", "accepted"),
    "duplicate": Mark("slate", "=", "duplicate"),
    "quarantined": Mark("red", "✕", "quarantined"),
    "unsupported": Mark("amber", "▲", "unsupported"),
    "unknown": Mark("slate", "?", "not known there"),
}
CAUSES = {
    Kind.NOT_JSON.value: Mark("red", "✕", "not JSON"),
    Kind.NO_TASK_ID.value: Mark("red", "?", "no task id"),
    Kind.UNREADABLE.value: Mark("amber", "▲", "odd shape"),
    Kind.TOO_MUCH.value: Mark("amber", "▦", "too much"),
}
ACTIONS = {
    actions.Kind.SIGNED_IN: Mark("slate", "→", "signed in"),
    actions.Kind.SIGN_IN_REFUSED: Mark("red", "✕", "sign-in refused"),
    actions.Kind.SIGN_IN_LOCKED: Mark("red", "✕", "sign-in locked for strangers"),
    actions.Kind.SIGNED_OUT: Mark("slate", "←", "signed out"),
    actions.Kind.POLL_REQUESTED: Mark("blue", "↻", "poll requested"),
    actions.Kind.LABELLED: Mark("slate", "✎", "labelled"),
    actions.Kind.ACKNOWLEDGED: Mark("slate", "◉", "marked as seen"),
    actions.Kind.READ_AGAIN: Mark("blue", "↺", "read again"),
    actions.Kind.REBUILT: Mark("blue", "↺", "rebuilt"),
    actions.Kind.PRUNED: Mark("slate", "−", "pruned"),
    actions.Kind.DELETED: Mark("red", "✕", "deleted"),
}


def mark_of(task: Task, *, late: datetime | None) -> Mark:
    """The one thing to say about a task's state; a look planned before `late` is overdue."""
    if task.verdict.settled:
        return OUTCOMES[task.verdict.outcome]
    status = task.state.reconciled_status
    if late is not None and task.next_poll_at is not None and task.next_poll_at <= late:
        return OVERDUE
    if status.word == Status.CALLBACK_EXCEPTION:
        return CALLBACK_EXCEPTION
    if status.ends:
        return UNCONFIRMED
    return {Status.TEXT_SUCCESS.value: TEXT, Status.FIRST_SUCCESS.value: FIRST}.get(status.word, PENDING)


def flags_of(task: Task) -> tuple[Mark, ...]:
    flags = (
        (task.state.conflict, Mark("slate" if is_decided(task.state) else "amber", "≠", "conflict")),
        (task.verdict.recovered, Mark("green", "↺", "recovered")),
        (task.verdict.lost_callback, Mark("amber", "∅", "lost callback")),
        (task.registered_at is None, Mark("slate", "◌", "orphan")),
        (task.acknowledged_version == task.version, SEEN),
    )
    return tuple(flag for holds, flag in flags if holds)


def result_mark(result: str) -> Mark:
    return RESULTS.get(result, Mark("slate", "○", result))


def cause_mark(cause: str | None) -> Mark:
    return CAUSES.get(cause or "", RESULTS["quarantined"])
