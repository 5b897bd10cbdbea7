"""States as colour, icon and word, each of which is enough."""

from dataclasses import dataclass
from datetime import datetime

from receiver.core.observation import Status
from receiver.core.payloads import ParseOutcome
from receiver.core.problem import is_decided
from receiver.core.settlement import Outcome
from receiver.core.task import Task
from receiver.store import audit_log


@dataclass(frozen=True, slots=True)
class Badge:
    colour: str
    icon: str
    word: str


OVERDUE = Badge("amber", "▲", "overdue")
CALLBACK_EXCEPTION = Badge("amber", "▲", "callback exception")
UNCONFIRMED = Badge("violet", "◇", "unconfirmed")
TEXT = Badge("blue", "◔", "text ready")
FIRST = Badge("blue", "◑", "first ready")
PENDING = Badge("slate", "○", "pending")
ACKNOWLEDGED = Badge("slate", "◉", "seen")
OUTCOMES = {
    Outcome.SUCCEEDED: Badge("green", "✓", "succeeded"),
    Outcome.FAILED: Badge("red", "✕", "failed"),
    Outcome.UNRESOLVED: Badge("red", "?", "unresolved"),
}
RESULTS = {
    "accepted": Badge("green", "✓", "accepted"),
    "duplicate": Badge("slate", "=", "duplicate"),
    "quarantined": Badge("red", "✕", "quarantined"),
    "unsupported": Badge("amber", "▲", "unsupported"),
    "unknown": Badge("slate", "?", "not known there"),
}
CAUSES = {
    ParseOutcome.NOT_JSON.value: Badge("red", "✕", "not JSON"),
    ParseOutcome.NO_TASK_ID.value: Badge("red", "?", "no task id"),
    ParseOutcome.UNREADABLE.value: Badge("amber", "▲", "odd shape"),
    ParseOutcome.TOO_MUCH.value: Badge("amber", "▦", "too much"),
}
ACTIONS = {
    audit_log.ActionKind.SIGNED_IN: Badge("slate", "→", "signed in"),
    audit_log.ActionKind.SIGN_IN_REFUSED: Badge("red", "✕", "sign-in refused"),
    audit_log.ActionKind.SIGN_IN_LOCKED: Badge("red", "✕", "sign-in locked for strangers"),
    audit_log.ActionKind.SIGNED_OUT: Badge("slate", "←", "signed out"),
    audit_log.ActionKind.POLL_REQUESTED: Badge("blue", "↻", "poll requested"),
    audit_log.ActionKind.LABELLED: Badge("slate", "✎", "labelled"),
    audit_log.ActionKind.ACKNOWLEDGED: Badge("slate", "◉", "marked as seen"),
    audit_log.ActionKind.READ_AGAIN: Badge("blue", "↺", "read again"),
    audit_log.ActionKind.REBUILT: Badge("blue", "↺", "rebuilt"),
    audit_log.ActionKind.PRUNED: Badge("slate", "−", "pruned"),
    audit_log.ActionKind.DELETED: Badge("red", "✕", "deleted"),
}


def task_badge(task: Task, *, late: datetime | None) -> Badge:
    """The one thing to say about a task's state; a look planned before `late` is overdue."""
    if task.settlement.settled:
        return OUTCOMES[task.settlement.outcome]
    status = task.state.status
    if late is not None and task.next_poll_at is not None and task.next_poll_at <= late:
        return OVERDUE
    if status.word == Status.CALLBACK_EXCEPTION:
        return CALLBACK_EXCEPTION
    if status.ends:
        return UNCONFIRMED
    return {Status.TEXT_SUCCESS.value: TEXT, Status.FIRST_SUCCESS.value: FIRST}.get(status.word, PENDING)


def flags_of(task: Task) -> tuple[Badge, ...]:
    flags = (
        (task.state.conflict, Badge("slate" if is_decided(task.state) else "amber", "≠", "conflict")),
        (task.settlement.recovered, Badge("green", "↺", "recovered")),
        (task.settlement.lost_callback, Badge("amber", "∅", "lost callback")),
        (task.registered_at is None, Badge("slate", "◌", "orphan")),
        (task.acknowledged_version == task.version, ACKNOWLEDGED),
    )
    return tuple(flag for holds, flag in flags if holds)


def result_badge(result: str) -> Badge:
    return RESULTS.get(result, Badge("slate", "○", result))


def cause_badge(cause: str | None) -> Badge:
    return CAUSES.get(cause or "", RESULTS["quarantined"])
