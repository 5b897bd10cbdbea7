"""States as colour, icon and word; each alone is enough."""

from dataclasses import dataclass
from datetime import datetime

from receiver.core.observation import Source, Status
from receiver.core.payloads import ParseOutcome
from receiver.core.problem import is_decided
from receiver.core.results import DeliveryResult
from receiver.core.settlement import Outcome
from receiver.core.task import Task
from receiver.store.audit_log import ActionKind


@dataclass(frozen=True, slots=True)
class Badge:
    colour: str
    icon: str
    word: str


OVERDUE = Badge("amber", "▲", "overdue")
CALLBACK_EXCEPTION = Badge("amber", "▲", "callback exception")
UNCONFIRMED = Badge("violet", "◇", "unconfirmed")
TEXT_READY = Badge("blue", "◔", "text ready")
FIRST_READY = Badge("blue", "◑", "first track ready")
PENDING = Badge("slate", "○", "pending")
ACKNOWLEDGED = Badge("slate", "◉", "acknowledged")
UNCHANGED = Badge("slate", "=", "no change")
OUTCOMES = {
    Outcome.SUCCEEDED: Badge("green", "✓", "succeeded"),
    Outcome.FAILED: Badge("red", "✕", "failed"),
    Outcome.UNRESOLVED: Badge("red", "?", "unresolved"),
}
RESULTS = {
    DeliveryResult.ACCEPTED: Badge("green", "✓", "accepted"),
    DeliveryResult.DUPLICATE: Badge("slate", "=", "duplicate"),
    DeliveryResult.QUARANTINED: Badge("red", "✕", "quarantined"),
    DeliveryResult.UNSUPPORTED: Badge("amber", "▲", "unsupported"),
    DeliveryResult.UNKNOWN: Badge("slate", "?", "unknown upstream"),
}
CAUSES = {
    ParseOutcome.NOT_JSON: Badge("red", "✕", "not JSON"),
    ParseOutcome.NO_TASK_ID: Badge("red", "?", "no task ID"),
    ParseOutcome.UNREADABLE: Badge("amber", "▲", "unexpected shape"),
    ParseOutcome.TOO_MUCH: Badge("amber", "▦", "over limits"),
}
ACTIONS = {
    ActionKind.SIGNED_IN: Badge("slate", "→", "signed in"),
    ActionKind.SIGN_IN_REFUSED: Badge("red", "✕", "sign-in refused"),
    ActionKind.SIGN_IN_LOCKED: Badge("red", "✕", "sign-in locked for new networks"),
    ActionKind.SIGNED_OUT: Badge("slate", "←", "signed out"),
    ActionKind.POLL_REQUESTED: Badge("blue", "↻", "poll requested"),
    ActionKind.LABELLED: Badge("slate", "✎", "labelled"),
    ActionKind.ACKNOWLEDGED: Badge("slate", "◉", "acknowledged"),
    ActionKind.READ_AGAIN: Badge("blue", "↺", "reprocessed"),
    ActionKind.REBUILT: Badge("blue", "↺", "rebuilt"),
    ActionKind.PRUNED: Badge("slate", "−", "pruned"),
    ActionKind.DELETED: Badge("red", "✕", "deleted"),
}


def task_badge(task: Task, *, overdue_before: datetime | None) -> Badge:
    """The task's state; a poll planned before `overdue_before` is overdue."""
    if task.settlement.settled:
        return OUTCOMES[task.settlement.outcome]
    status = task.state.status
    if overdue_before is not None and task.next_poll_at is not None and task.next_poll_at <= overdue_before:
        return OVERDUE
    if status.word == Status.CALLBACK_EXCEPTION:
        return CALLBACK_EXCEPTION
    if status.ends:
        return UNCONFIRMED
    ready = {Status.TEXT_SUCCESS.value: TEXT_READY, Status.FIRST_SUCCESS.value: FIRST_READY}
    return ready.get(status.word, PENDING)


def flags_of(task: Task) -> tuple[Badge, ...]:
    flags = (
        (task.state.conflict, Badge("slate" if is_decided(task.state) else "amber", "≠", "conflict")),
        (task.settlement.recovered, Badge("green", "↺", "recovered")),
        (task.settlement.lost_callback, Badge("amber", "∅", "lost callback")),
        (task.registered_at is None, Badge("slate", "◌", "orphan")),
        (task.acknowledged_version == task.version, ACKNOWLEDGED),
    )
    return tuple(badge for holds, badge in flags if holds)


def result_badge(result: DeliveryResult, source: Source) -> Badge:
    """A poll that repeats what is stored is no fault, so it is not called a duplicate."""
    if result is DeliveryResult.DUPLICATE and source is Source.POLL:
        return UNCHANGED
    return RESULTS[result]


def cause_badge(cause: ParseOutcome) -> Badge:
    """Why a delivery is in quarantine."""
    return CAUSES[cause]
