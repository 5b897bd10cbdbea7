"""A delivery with what became of it: its row, its task after it, and what its sender is answered."""

from dataclasses import dataclass, field

from receiver.core.claim_bounds import has_confirmed
from receiver.core.observation import Source
from receiver.core.payloads.errors import Errors, bounded_again
from receiver.core.results import DeliveryResult
from receiver.core.settlement import Outcome
from receiver.core.task import Task
from receiver.core.task_change import TaskChange
from receiver.intake.delivery import Delivery
from receiver.store.bulk_insert import Values
from receiver.store.deliveries import StoredDelivery
from receiver.store.tasks import TaskStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What became of a delivery, and the `status` and `outcome` of its task, if it has one.

    `capped_bytes` is the size of what counts against the caps on unregistered data.
    """

    result: DeliveryResult
    status: str | None = None
    outcome: Outcome | None = None
    errors: Errors = field(default_factory=dict)
    capped_bytes: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Applied:
    """A delivery's row, also as the database takes it, and its task after it, where that is new or was loaded."""

    row: StoredDelivery
    values: Values
    task: Task | None
    result: Result


def row_of(
    delivery: Delivery, *, duplicate: bool, change: TaskChange | None = None, task: Task | None = None
) -> StoredDelivery:
    """The row of a delivery; `task` is its task after it, where that was loaded."""
    trusted = task is not None and (task.registered_at is not None or has_confirmed(task.state))
    row = StoredDelivery(
        source=delivery.source,
        received_at=delivery.received_at,
        result=DeliveryResult.DUPLICATE if duplicate else delivery.parsed.result,
        digest=delivery.parsed.digest,
        body=delivery.body,
        query=delivery.query or None,
        counts_against_cap=not duplicate and delivery.source is Source.CALLBACK and not trusted,
    )
    return row.with_payload(delivery.parsed, change=change or {})


def result_of(row: StoredDelivery, task: Task | TaskStatus | None) -> Result:
    status, outcome = None, None
    if isinstance(task, Task):
        status, outcome = task.state.status.word, task.settlement.outcome
    elif task is not None:
        status, outcome = task.status, task.outcome
    return Result(
        result=row.result,
        status=status or None,
        outcome=outcome,
        errors=bounded_again(row.errors or {}),
        capped_bytes=row.capped_bytes or 0,
    )
