"""Whether a task is settled and how it ended: a function of its state alone, not of its history."""

from dataclasses import dataclass
from enum import StrEnum

from receiver.core.facts import Fact
from receiver.core.observation import FAILURES, Status, UnsupportedEnd
from receiver.core.reconciliation import TaskState


class Outcome(StrEnum):
    IN_PROGRESS = "in_progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNRESOLVED = "unresolved"


class Confirm(StrEnum):
    """Which ends reported by callbacks record-info must confirm before the task settles."""

    NEVER = "never"
    SUSPECT = "suspect"
    ALWAYS = "always"


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """`can_confirm` is false without an API key: then there are only claims."""

    confirm: Confirm = Confirm.SUSPECT
    can_confirm: bool = True

    @property
    def believes_claims(self) -> bool:
        """Whether a claim of a callback counts like a report of record-info."""
        return self.confirm is Confirm.NEVER or not self.can_confirm


@dataclass(frozen=True, kw_only=True, slots=True)
class Settlement:
    """How a task ended, if it did; `recovered` and `lost_callback` say what polls had to make good."""

    outcome: Outcome
    recovered: bool = False
    lost_callback: bool = False

    @property
    def settled(self) -> bool:
        return self.outcome is not Outcome.IN_PROGRESS


def settle(state: TaskState, *, registered: bool, gave_up: bool, policy: Policy) -> Settlement:
    """How a task stands: `registered` by its owner or an orphan, `gave_up` once its time is over."""
    outcome = _ended(state, registered=registered, policy=policy)
    if outcome is Outcome.IN_PROGRESS and gave_up:
        outcome = _given_up(state, registered=registered, policy=policy)
    settled = outcome is not Outcome.IN_PROGRESS
    unclaimed = Fact.SUCCESS_BY_CALLBACK not in state.facts
    return Settlement(
        outcome=outcome,
        recovered=outcome is Outcome.SUCCEEDED and unclaimed and _found_by_poll(state),
        lost_callback=settled and Fact.END_BY_CALLBACK not in state.facts and state.unsupported_end is None,
    )


def is_urgent(state: TaskState, outcome: Outcome) -> bool:
    """Whether record-info should be polled at once.

    True while the task is in progress, and callbacks reported an end that did not settle it, contradict each other,
    or are about another product's job.
    """
    suspicious = state.status.ends or state.disputed or state.unsupported_end is not None
    return outcome is Outcome.IN_PROGRESS and suspicious


def believes_unsupported_end(state: TaskState, *, registered: bool, policy: Policy) -> bool:
    """Whether giving up would believe a callback about another product's job.

    Record-info knows of music alone, so it can deny such a job but not confirm it.
    """
    trusted = policy.confirm is Confirm.SUSPECT and registered and Fact.NOT_KNOWN in state.facts
    return trusted and state.unsupported_end is UnsupportedEnd.SUCCEEDED


def _ended(state: TaskState, *, registered: bool, policy: Policy) -> Outcome:
    status = state.status
    if state.unsupported_end and policy.believes_claims:
        return Outcome(state.unsupported_end)
    if status.word == Status.SUCCESS and state.playable:
        suspect = policy.confirm is Confirm.ALWAYS or not registered or state.conflict
        believed = state.confirmed or policy.believes_claims or not suspect
        return Outcome.SUCCEEDED if believed else Outcome.IN_PROGRESS
    if status.word in FAILURES and (status.confirmed or policy.believes_claims):
        return Outcome.FAILED
    return Outcome.IN_PROGRESS


def _given_up(state: TaskState, *, registered: bool, policy: Policy) -> Outcome:
    """How a task ends whose time is over: by what is trusted, so that no forged claim becomes an end."""
    if believes_unsupported_end(state, registered=registered, policy=policy):
        return Outcome.SUCCEEDED
    trusted = policy.confirm is Confirm.SUSPECT and registered and not state.conflict
    if state.count_playable(confirmed=not (policy.believes_claims or trusted)):
        return Outcome.SUCCEEDED
    failure = Fact.FAILURE if policy.believes_claims else Fact.FAILURE_CONFIRMED
    return Outcome.FAILED if failure in state.facts else Outcome.UNRESOLVED


def _found_by_poll(state: TaskState) -> bool:
    """Whether there is music from record-info, or behind a failed callback."""
    return Fact.EXCEPTION in state.facts or state.count_playable(confirmed=True) > 0
