"""When a task may be given up."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from receiver.core.reconciliation import TaskState
from receiver.core.settlement import Policy, believes_unsupported_end

# The upstream knows a task of its own within seconds, and after ten minutes without a result calls it failed (code
# 408). The age counts from the registration: whoever registers a task has its id from the upstream.
MUSIC_IS_KNOWN_AFTER = timedelta(minutes=10)
MIN_POLLS_IF_UNSUPPORTED = 3  # at least, so that one odd response ends nothing


@dataclass(frozen=True, kw_only=True, slots=True)
class Deadlines:
    """When a task may be given up: at `last`.

    At `early` already, if callbacks report another product's job and record-info does not know the task.
    """

    early: datetime
    last: datetime

    def are_over(self, now: datetime, *, unknown: bool) -> bool:
        return now >= self.last or (unknown and now >= self.early)

    def next_after(self, now: datetime) -> datetime:
        return self.early if now < self.early else self.last


def find_deadlines(
    state: TaskState, registered_at: datetime | None, polls: int, *, last: datetime, policy: Policy
) -> Deadlines:
    believed = believes_unsupported_end(state, registered=registered_at is not None, policy=policy)
    if registered_at is None or not believed or polls < MIN_POLLS_IF_UNSUPPORTED:
        return Deadlines(early=last, last=last)
    return Deadlines(early=min(registered_at + MUSIC_IS_KNOWN_AFTER, last), last=last)
