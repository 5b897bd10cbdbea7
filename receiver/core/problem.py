"""What needs a person: what never goes away by itself."""

from enum import StrEnum

from receiver.core.facts import Fact
from receiver.core.observation import FAILURES, Status
from receiver.core.reconciliation import TaskState
from receiver.core.settlement import Outcome


class Problem(StrEnum):
    UNRESOLVED = "unresolved"
    CONFLICT = "conflict"


def find_problem(state: TaskState, outcome: Outcome, *, registered: bool) -> Problem | None:
    if outcome is Outcome.UNRESOLVED:
        return None if _is_no_music(state, registered=registered) else Problem.UNRESOLVED
    return Problem.CONFLICT if state.conflict and not is_decided(state) else None


def is_decided(state: TaskState) -> bool:
    """Whether record-info reported how the task ended, so that only callbacks contradict it.

    Otherwise anybody who may call back could raise an alarm about any task.
    """
    status = state.status
    contradicts_itself = status.word == Status.SUCCESS and Fact.FAILURE_CONFIRMED in state.facts
    return state.confirmed and status.word in (Status.SUCCESS, *FAILURES) and not contradicts_itself


def _is_no_music(state: TaskState, *, registered: bool) -> bool:
    """Whether everything points to another product's job, which record-info cannot know."""
    if state.unsupported_end is not None:
        return Fact.NOT_KNOWN in state.facts
    status = state.highest_claim
    only_failure = status.word in FAILURES and not status.confirmed and not state.tracks
    return only_failure and not registered
