"""A task as one value. `task_events` has the steps from one value to the next."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from receiver.core.cadence import Cadence, PollRank
from receiver.core.claims import Claims
from receiver.core.problem import Problem, find_problem
from receiver.core.reconciliation import NOTHING_REPORTED, TaskState
from receiver.core.settlement import Outcome, Policy, Settlement, is_urgent
from receiver.core.validation import MAX_LABEL_CHARS


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    policy: Policy
    cadence: Cadence


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One row of the table. Times are aware UTC; `version` grows with each change of the reconciled state.

    `expedited_at`: when a callback last expedited a poll; none may again until a regular poll came.
    `changed_at`: when the version last grew; the store makes it later than any earlier change.
    """

    task_id: str
    first_seen_at: datetime
    label: str | None = None
    query: str | None = None
    registered_at: datetime | None = None
    last_callback_at: datetime | None = None
    last_polled_at: datetime | None = None
    gave_up_at: datetime | None = None
    settled_at: datetime | None = None
    changed_at: datetime | None = None
    next_poll_at: datetime | None = None
    expedited_at: datetime | None = None
    poll_requested: bool = False
    attempt: int = 0
    callbacks: int = 0
    polls: int = 0
    version: int = 0
    acknowledged_version: int | None = None
    state: TaskState = NOTHING_REPORTED
    settlement: Settlement = Settlement(outcome=Outcome.IN_PROGRESS)

    @property
    def poll_rank(self) -> PollRank:
        if self.poll_requested:
            return PollRank.REQUESTED
        return PollRank.ORPHAN if self.registered_at is None else PollRank.REGISTERED

    @property
    def display_label(self) -> str | None:
        """Its owner's label; for an orphan without one the query of its callbacks, which is unverified."""
        if self.label is not None or self.registered_at is not None or self.query is None:
            return self.label
        return self.query[:MAX_LABEL_CHARS]

    @property
    def tracks(self) -> Mapping[str, Claims]:
        """The tracks to show, by key; with disputed URLs only where claims settled the task."""
        return self.state.tracks_to_show(with_disputed=self.settlement.outcome is Outcome.SUCCEEDED)

    @property
    def urgent(self) -> bool:
        """Whether record-info should be polled at once."""
        return is_urgent(self.state, self.settlement.outcome)

    @property
    def is_known(self) -> bool:
        """Whether anything is known of it; its row is created just before."""
        return bool(self.registered_at or self.callbacks or self.polls)

    @property
    def problem(self) -> Problem | None:
        """What needs a person; None once somebody has acknowledged this version."""
        if self.acknowledged_version == self.version:
            return None
        return find_problem(self.state, self.settlement.outcome, registered=self.registered_at is not None)
