"""One batch of deliveries in one transaction: what each of them is, and what becomes of its task."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Connection

from receiver.core.claim_bounds import has_confirmed
from receiver.core.observation import Source
from receiver.core.payloads import ParseOutcome
from receiver.core.payloads.errors import Errors
from receiver.core.settlement import Outcome
from receiver.core.task import Rules, Task
from receiver.core.task_change import TaskChange, find_change
from receiver.core.task_events import on_callback, on_duplicate, on_poll_response, with_query
from receiver.intake.delivery import Delivery, reported_status, result_of, within_bounds
from receiver.store import deliveries, hourly_counts, tasks
from receiver.store.body_cap import uncap
from receiver.store.deliveries import DUPLICATE, QUARANTINED, StoredDelivery, few_errors
from receiver.store.known_bodies import BodyKey, find_known_bodies
from receiver.store.tasks import TaskStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What became of a delivery: `result` as docs/api.md names it, and what its task now is, if it has one.

    `capped` is the size of a body that counts against what strangers may store.
    """

    result: str
    status: str | None = None
    outcome: Outcome | None = None
    errors: Errors = field(default_factory=dict)
    capped: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Deliveries that are stored together. `jitter` is the jitter of a poll's next look."""

    deliveries: Sequence[Delivery]
    rules: Rules
    jitter: Callable[[], float]

    def take_in(self, connection: Connection) -> Sequence[Result]:
        """Store them; no work here grows with what is stored, nor with what their tasks went through."""
        # The tasks first, which locks them: another node may be storing the same content at this moment.
        known = tasks.lock_or_create(
            connection, _first_seen(self.deliveries), if_known=_sister_ids(self.deliveries)
        )
        contents = find_known_bodies(connection, {_content(delivery) for delivery in self.deliveries})
        stored = _still_known(contents, known)
        news = _tasks_with_news(self.deliveries, known, stored)
        before = tasks.load_many(connection, news)
        after, seen = dict(before), set(stored)
        rows, results = [], []
        for delivery in self.deliveries:
            task_id, content = delivery.reading.task_id or "", _content(delivery)
            row, task = self._step(delivery, after.get(task_id), repeated=content in seen)
            seen.add(content)
            if task:
                after[task_id] = task
            rows.append(row)
            results.append(_result(row, task or known.get(task_id)))
        self._store(connection, rows, [(before[key], after[key]) for key in before], known)
        return results

    def _step(
        self, delivery: Delivery, was: Task | None, *, repeated: bool
    ) -> tuple[StoredDelivery, Task | None]:
        """The row of a delivery, and its task after it, where its task is needed."""
        if was is None:
            return _row(delivery, DUPLICATE if repeated else result_of(delivery.reading), {}, None), None
        reading = delivery.reading if repeated else within_bounds(delivery.reading, was.state)
        told = replace(delivery, reading=reading)
        result = DUPLICATE if repeated else result_of(reading)
        task = with_query(self._next(was, told, result), delivery.query)
        return _row(told, result, find_change(was, task), task), task

    def _store(
        self,
        connection: Connection,
        rows: Sequence[StoredDelivery],
        steps: Sequence[tuple[Task, Task]],
        known: Collection[str],
    ) -> None:
        # A repetition of what names no task is only counted: else anybody could fill the disk with one body.
        deliveries.add(connection, [row for row in rows if row.task_id or row.result != DUPLICATE])
        uncap(connection, [after.task_id for before, after in steps if _confirmed_now(before, after)])
        loaded = {after.task_id for _, after in steps}
        repeats: dict[str, list[datetime]] = defaultdict(list)
        for row in rows:
            if row.task_id is not None and row.task_id in known and row.task_id not in loaded:
                repeats[row.task_id].append(row.received_at)
        tasks.count_repeats(connection, repeats)
        counts = Counter((hourly_counts.hour_of(row.received_at), row.source, row.result) for row in rows)
        tasks.save(connection, steps, also=counts)

    def _next(self, task: Task, delivery: Delivery, result: str) -> Task:
        now, seen = delivery.received_at, delivery.reading.to_reconcile
        if delivery.source is Source.POLL:
            return on_poll_response(task, seen, now=now, jitter=self.jitter(), rules=self.rules)
        # Another product's job matters only where its owner has registered it; else its callback is only counted.
        if result == DUPLICATE or (task.registered_at is None and _is_sister_callback(delivery)):
            return on_duplicate(task, now=now)
        return on_callback(task, seen, now=now, rules=self.rules, lossy=bool(delivery.reading.errors))


def _first_seen(batch: Iterable[Delivery]) -> dict[str, datetime]:
    """When each task was first told of in the batch; a sister product's job is no task of ours."""
    first: dict[str, datetime] = {}
    for delivery in batch:
        reading = delivery.reading
        if reading.task_id and not _is_sister_callback(delivery):
            first.setdefault(reading.task_id, delivery.received_at)
    return first


def _sister_ids(batch: Iterable[Delivery]) -> set[str]:
    """The tasks that another product's callback tells of; they count where their owner has registered them."""
    return {delivery.reading.task_id or "" for delivery in batch if _is_sister_callback(delivery)}


def _is_sister_callback(delivery: Delivery) -> bool:
    return delivery.source is Source.CALLBACK and delivery.reading.kind is ParseOutcome.UNSUPPORTED


def _tasks_with_news(
    batch: Iterable[Delivery], known: Mapping[str, TaskStatus], stored: Collection[BodyKey]
) -> set[str]:
    """The tasks of which more has to be known than that a callback came once more."""
    return {
        task_id
        for delivery in batch
        if (task_id := delivery.reading.task_id) is not None
        and task_id in known
        and (_content(delivery) not in stored or _has_news(delivery, known[task_id]))
    }


def _still_known(stored: Collection[BodyKey], known: Mapping[str, TaskStatus]) -> set[BodyKey]:
    """The stored contents that are part of their tasks: not those from before a task's row was dropped."""
    return {
        content
        for content in stored
        if (task := known.get(content[0] or "")) is None or task.has_any_of(Source(content[1]))
    }


def _has_news(delivery: Delivery, task: TaskStatus) -> bool:
    """Whether it matters to the task though its content is known."""
    other_query = bool(delivery.query) and (task.query is None or delivery.query < task.query)
    return delivery.source is Source.POLL or other_query


def _confirmed_now(before: Task, after: Task) -> bool:
    return after.registered_at is None and has_confirmed(after.state) and not has_confirmed(before.state)


def _content(delivery: Delivery) -> BodyKey:
    return delivery.reading.task_id, delivery.source.value, delivery.reading.digest


def _row(delivery: Delivery, result: str, changed: TaskChange, task: Task | None) -> StoredDelivery:
    reading = delivery.reading
    ours = task is not None and (task.registered_at is not None or has_confirmed(task.state))
    return StoredDelivery(
        task_id=reading.task_id,
        source=delivery.source.value,
        received_at=delivery.received_at,
        result=result,
        status=reported_status(reading.to_reconcile),
        product=reading.product,
        errors=reading.errors,
        cause=reading.kind.value if result == QUARANTINED else None,
        change=changed,
        digest=reading.digest,
        body=delivery.body,
        query=delivery.query or None,
        capped=result != DUPLICATE and delivery.source is Source.CALLBACK and not ours,
    )


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
        errors=few_errors(row.errors or {}),
        capped=deliveries.capped_bytes(row) or 0,
    )
