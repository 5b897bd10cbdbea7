"""When to poll a task again, and which task comes first. Times are aware datetimes, durations are seconds."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

# "Maximum query rate: 3 requests per second per task" (the upstream's OpenAPI document), counted from the end
# of one call to the start of the next, so that no delay on the way can squeeze a fourth into a second.
TASK_SPACING_S = 0.34
JITTER = 0.2
OTHERS_BEFORE_AN_ORPHAN = 2  # so that orphans get a third of the calls while anybody else waits


class PollRank(IntEnum):
    """The order of tasks whose poll is due."""

    REQUESTED = 0
    REGISTERED = 1
    ORPHAN = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Cadence:
    grace_s: float = 90
    interval_s: float = 30
    max_interval_s: float = 900
    give_up_after_s: float = 86400

    def after_report(self, now: datetime, *, planned: datetime | None, raised: bool) -> datetime:
        """The next poll after a callback or a registration that is not urgent.

        Only a raised status starts the grace period again. Statuses are few, so callbacks cannot put a poll off for
        long. A poll that is already due is never put off.
        """
        if planned is not None and (planned <= now or not raised):
            return planned
        return now + timedelta(seconds=self.grace_s)

    def after_poll(self, now: datetime, *, attempt: int, jitter: float, deadline: datetime) -> datetime:
        """The next poll after the `attempt`-th poll (from 0) left the task unsettled.

        `jitter` is a random number in -1..1. The last poll is at the deadline itself.
        """
        backoff_s = self.backoff_s(attempt)
        planned = now + timedelta(seconds=max(backoff_s * (1 + JITTER * jitter), TASK_SPACING_S))
        return deadline if now < deadline < planned else planned

    def backoff_s(self, attempt: int) -> float:
        """How long to wait after the `attempt`-th poll, from 0."""
        return min(self.interval_s * 2.0 ** min(attempt, 60), self.max_interval_s)

    def deadline(self, first_seen: datetime) -> datetime:
        """From when on the task may be given up."""
        return first_seen + timedelta(seconds=self.give_up_after_s)


def share_turns(*, others: int, orphans: int, turns: int, since_orphan: int) -> list[bool]:
    """The kind of task polled in each of the next turns: True stands for an orphan.

    `since_orphan` counts the calls about others since the last one about an orphan. Where no other task waits,
    orphans may have every turn.
    """
    alone = others == 0
    order: list[bool] = []
    while len(order) < turns:
        orphans_turn = orphans > 0 and (alone or since_orphan >= OTHERS_BEFORE_AN_ORPHAN)
        if not orphans_turn and others == 0:
            break
        order.append(orphans_turn)
        orphans, others = orphans - orphans_turn, others - (not orphans_turn)
        since_orphan = 0 if orphans_turn else since_orphan + 1
    return order
