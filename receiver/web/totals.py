"""Hourly counts added up, with names for what they count. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from receiver.core.settlement import Outcome
from receiver.core.task_counts import LOST_CALLBACK, RECOVERED, TASK


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts by subject and name, such as `{"callback": {"accepted": 3}}`; what is missing was counted 0 times."""

    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def of(self, subject: str) -> Mapping[str, int]:
        return self.counts.get(subject, {})

    def sum_of(self, subject: str, *names: str) -> int:
        """The counts of these names together, by default of all."""
        counts = self.of(subject)
        return sum(counts.get(name, 0) for name in names or counts)

    @property
    def tasks(self) -> dict[str, int]:
        """Tasks by every outcome."""
        return {outcome.value: self.sum_of(TASK, outcome) for outcome in Outcome}

    @property
    def settled(self) -> int:
        return sum(count for outcome, count in self.tasks.items() if outcome != Outcome.IN_PROGRESS)

    @property
    def recovered(self) -> int:
        return self.sum_of(TASK, RECOVERED)

    @property
    def lost_callbacks(self) -> int:
        return self.sum_of(TASK, LOST_CALLBACK)

    @property
    def loss_rate(self) -> float | None:
        """The share of settled tasks whose callbacks were lost; None where no task settled."""
        return self.lost_callbacks / self.settled if self.settled else None
