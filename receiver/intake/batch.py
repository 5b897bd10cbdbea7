"""Stores a batch of deliveries in one transaction: finds duplicates, applies each to its task, counts."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from receiver.core.claim_bounds import has_confirmed
from receiver.core.deliveries import apply_delivery, find_first_seen, within_claim_limits
from receiver.core.observation import Source
from receiver.core.payloads import ParseOutcome
from receiver.core.payloads.errors import Errors, bounded_again
from receiver.core.results import DeliveryResult
from receiver.core.settlement import Outcome
from receiver.core.task import Rules, Task
from receiver.core.task_change import TaskChange, find_change
from receiver.intake.delivery import Delivery
from receiver.store import Connection, deliveries, hourly_counts, tasks
from receiver.store.body_cap import uncap
from receiver.store.deliveries import StoredDelivery
from receiver.store.hourly_counts import Tallies
from receiver.store.known_bodies import BodyKey, find_known_bodies
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
class Batch:
    """Deliveries that are stored together. `jitter` draws a number in -1..1 for the next poll of a task."""

    deliveries: Sequence[Delivery]
    rules: Rules
    jitter: Callable[[], float]

    def store(self, connection: Connection) -> Sequence[Result]:
        """Store them; no work here grows with what is stored, nor with the size of their tasks' histories."""
        # The tasks first, which locks them: another node may be storing the same content at this moment.
        first_seen = _first_seen(self.deliveries)
        locked = tasks.lock_or_create(connection, first_seen, if_known=_unsupported_ids(self.deliveries))
        known_bodies = find_known_bodies(connection, _possibly_known(self.deliveries, locked))
        to_load = _ids_to_load(self.deliveries, locked, known_bodies)
        fresh = {task_id for task_id in to_load if locked[task_id].fresh}
        before = {key: Task(task_id=key, first_seen_at=first_seen[key]) for key in sorted(fresh)}
        before |= tasks.load_many(connection, to_load - fresh)
        applied = list(self._apply(before, known_bodies))
        after = {**before, **{task.task_id: task for _, task in applied if task}}
        self._save(
            connection, [row for row, _ in applied], [(before[key], after[key]) for key in before], locked
        )
        return [_result(row, task or locked.get(row.task_id or "")) for row, task in applied]

    def _apply(
        self, before: Mapping[str, Task], known_bodies: Collection[BodyKey]
    ) -> Iterator[tuple[StoredDelivery, Task | None]]:
        """Each delivery's row, and its task after it, where that was loaded."""
        current, known_bodies = dict(before), set(known_bodies)
        for delivery in self.deliveries:
            task = current.get(delivery.parsed.task_id or "")
            row, task = self._apply_one(delivery, task, duplicate=_body_key(delivery) in known_bodies)
            known_bodies.add(_body_key(delivery))
            if task:
                current[task.task_id] = task
            yield row, task

    def _apply_one(
        self, delivery: Delivery, before: Task | None, *, duplicate: bool
    ) -> tuple[StoredDelivery, Task | None]:
        if before is None:
            return _row(delivery, duplicate=duplicate), None
        parsed = delivery.parsed if duplicate else within_claim_limits(before, delivery.parsed)
        if parsed is not delivery.parsed:
            delivery = replace(delivery, parsed=parsed)
        after = apply_delivery(
            before,
            delivery.parsed,
            source=delivery.source,
            query=delivery.query,
            duplicate=duplicate,
            now=delivery.received_at,
            jitter=self.jitter(),
            rules=self.rules,
        )
        return _row(delivery, duplicate=duplicate, change=find_change(before, after), task=after), after

    def _save(
        self,
        connection: Connection,
        rows: Sequence[StoredDelivery],
        steps: Sequence[tuple[Task, Task]],
        locked: Collection[str],
    ) -> None:
        # A repetition of what names no task is only counted: else anybody could fill the disk with one body.
        deliveries.add(
            connection, [row for row in rows if row.task_id or row.result is not DeliveryResult.DUPLICATE]
        )
        uncap(connection, [after.task_id for before, after in steps if _now_confirmed(before, after)])
        loaded = {after.task_id for _, after in steps}
        repeats: dict[str, list[datetime]] = defaultdict(list)
        for row in rows:
            if row.task_id is not None and row.task_id in locked and row.task_id not in loaded:
                repeats[row.task_id].append(row.received_at)
        tasks.count_repeats(connection, repeats)
        counts: Tallies = Counter(
            (hourly_counts.hour_of(row.received_at), row.source, row.result) for row in rows
        )
        tasks.save(connection, steps, also=counts)


def _first_seen(batch: Iterable[Delivery]) -> dict[str, datetime]:
    return find_first_seen((delivery.parsed, delivery.received_at) for delivery in batch)


def _unsupported_ids(batch: Iterable[Delivery]) -> set[str]:
    """The tasks of another product's deliveries; these count where their owner has registered them."""
    return {
        delivery.parsed.task_id or ""
        for delivery in batch
        if delivery.parsed.kind is ParseOutcome.UNSUPPORTED
    }


def _possibly_known(batch: Iterable[Delivery], locked: Mapping[str, TaskStatus]) -> set[BodyKey]:
    """The contents that may be part of their tasks already: not those from before a task's row was dropped."""
    return {
        _body_key(delivery)
        for delivery in batch
        if (task := locked.get(delivery.parsed.task_id or "")) is None or task.has_any_of(delivery.source)
    }


def _ids_to_load(
    batch: Iterable[Delivery], locked: Mapping[str, TaskStatus], known_bodies: Collection[BodyKey]
) -> set[str]:
    """The tasks whose state must be loaded: all but those that only get repeated callbacks."""
    return {
        task_id
        for delivery in batch
        if (task_id := delivery.parsed.task_id) is not None
        and task_id in locked
        and (_body_key(delivery) not in known_bodies or _changes_task(delivery, locked[task_id]))
    }


def _changes_task(delivery: Delivery, task: TaskStatus) -> bool:
    """Whether a known content changes more of the task than its number of callbacks."""
    other_query = bool(delivery.query) and (task.query is None or delivery.query < task.query)
    return delivery.source is Source.POLL or other_query


def _now_confirmed(before: Task, after: Task) -> bool:
    return after.registered_at is None and has_confirmed(after.state) and not has_confirmed(before.state)


def _body_key(delivery: Delivery) -> BodyKey:
    return delivery.parsed.task_id, delivery.source, delivery.parsed.digest


def _row(
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


def _result(row: StoredDelivery, task: Task | TaskStatus | None) -> Result:
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
