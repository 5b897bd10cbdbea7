"""Is a task settled, and how did it end: a function of what is known, never of how we came to know it."""

from dataclasses import dataclass
from enum import StrEnum

from receiver.core.observation import FAILURES, Status
from receiver.core.reconciliation import TaskState, Told


class Outcome(StrEnum):
    IN_PROGRESS = "in_progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNRESOLVED = "unresolved"


class Confirm(StrEnum):
    """Which ends told by a callback record-info must confirm before the task settles."""

    NEVER = "never"
    SUSPECT = "suspect"
    ALWAYS = "always"


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """`can_confirm` is false without an API key: then a claim is all there will ever be."""

    confirm: Confirm = Confirm.SUSPECT
    can_confirm: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """`urgent`: not settled, and what was told is a reason to ask record-info at once."""

    outcome: Outcome
    urgent: bool = False
    recovered: bool = False
    lost_callback: bool = False

    @property
    def settled(self) -> bool:
        return self.outcome is not Outcome.IN_PROGRESS


def settle(state: TaskState, *, registered: bool, gave_up: bool, policy: Policy) -> Verdict:
    """The verdict on a task: `registered` by its owner or an orphan, `gave_up` once its time was over."""
    outcome = _ended(state, registered=registered, policy=policy)
    if outcome is Outcome.IN_PROGRESS and gave_up:
        outcome = _given_up(state)
    settled = outcome is not Outcome.IN_PROGRESS
    return Verdict(
        outcome=outcome,
        urgent=not settled and state.reconciled_status.ends,
        recovered=outcome is Outcome.SUCCEEDED and Told.SUCCESS_BY_CALLBACK not in state.told,
        lost_callback=settled and Told.END_BY_CALLBACK not in state.told,
    )


def _ended(state: TaskState, *, registered: bool, policy: Policy) -> Outcome:
    claim = state.reconciled_status
    believed = claim.confirmed or not policy.can_confirm or policy.confirm is Confirm.NEVER
    if claim.word == Status.SUCCESS and state.playable:
        suspect = policy.confirm is Confirm.ALWAYS or not registered or state.conflict
        return Outcome.SUCCEEDED if believed or not suspect else Outcome.IN_PROGRESS
    if claim.word in FAILURES and believed:
        return Outcome.FAILED
    return Outcome.IN_PROGRESS


def _given_up(state: TaskState) -> Outcome:
    if state.some_playable:
        return Outcome.SUCCEEDED
    return Outcome.FAILED if Told.FAILURE in state.told else Outcome.UNRESOLVED
