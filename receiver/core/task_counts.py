"""What a task counts for in the totals. A step's effect on them is the difference of before and after."""

from collections import Counter
from collections.abc import Iterator

from receiver.core.histogram import bucket
from receiver.core.task import Task

TASK = "task"
SETTLING = "settling"
RECOVERED = "recovered"
LOST_CALLBACK = "lost_callback"

Counted = tuple[str, str]
"""Subject and name, such as `("task", "succeeded")`."""


def counts_of(task: Task) -> Counter[Counted]:
    """What the task adds to the totals."""
    return Counter(_counted(task))


def count_changes(before: Task, after: Task) -> Counter[Counted]:
    """How the totals change by this step; counts may be negative."""
    counts = counts_of(after)
    counts.subtract(_counted(before))
    return counts


def _counted(task: Task) -> Iterator[Counted]:
    if not task.is_known:
        return
    yield TASK, task.settlement.outcome
    if task.settlement.recovered:
        yield TASK, RECOVERED
    if task.settlement.lost_callback:
        yield TASK, LOST_CALLBACK
    if task.settled_at is not None:
        yield SETTLING, str(bucket((task.settled_at - task.first_seen_at).total_seconds()))
