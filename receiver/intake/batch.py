"""Stores a batch of deliveries in one transaction: finds duplicates, applies each to its task, counts."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from receiver.core.claim_bounds import has_confirmed
from receiver.core.deliveries import apply_delivery, find_first_seen, within_claim_limits
from receiver.core.observation import Source
from receiver.core.payloads import ParseOutcome
from receiver.core.task import Rules, Task
from receiver.core.task_change import find_change
from receiver.intake.applied import Applied, Result, result_of, row_of
from receiver.intake.delivery import Delivery
from receiver.store import Connection, hourly_counts, new_deliveries, tasks
from receiver.store.body_cap import uncap
from receiver.store.deliveries import StoredDelivery
from receiver.store.hourly_counts import Tallies
from receiver.store.known_bodies import BodyKey, find_known_bodies
from receiver.store.new_tasks import NewTasks, joined, prepare_new
from receiver.store.tasks import TaskStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """What becomes of callbacks whose tasks have no row yet: by task in their order, and all that they write."""

    applied: Mapping[str, Sequence[Applied]]
    tasks: NewTasks
    counts: Tallies


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Deliveries that are stored together. `jitter` draws a number in -1..1 for the next poll of a task."""

    rules: Rules
    jitter: Callable[[], float]
    deliveries: Sequence[Delivery] = ()
    prepared: Sequence[Prepared] = ()

    def with_prepared(self, connection: Connection, more: Sequence[Delivery]) -> "Batch":
        """The batch with more deliveries, and their work for new tasks done, before anything is locked."""
        ids_before = {each.parsed.task_id for each in self.deliveries}
        polled = {each.parsed.task_id for each in more if each.source is Source.POLL}
        first_seen = _first_seen(each for each in more if each.parsed.task_id not in polled | ids_before)
        missing = first_seen.keys() - tasks.ids_of_existing(connection, first_seen.keys())
        before = {key: Task(task_id=key, first_seen_at=first_seen[key]) for key in sorted(missing)}
        of_these = [each for each in more if each.parsed.task_id in before]
        by_task: dict[str, list[Applied]] = defaultdict(list)
        dialect = connection.dialect.name
        for each in self._apply(of_these, before, {}, (), dialect=dialect):
            by_task[each.row.task_id or ""].append(each)
        after = [task for key in before if (task := by_task[key][-1].task)]
        counts = _counts(each.row for of_task in by_task.values() for each in of_task)
        part = Prepared(applied=by_task, tasks=prepare_new(after, dialect=dialect), counts=counts)
        ids = {each.parsed.task_id for each in more}
        still_whole = [each for each in self.prepared if ids.isdisjoint(each.applied)]
        return replace(self, deliveries=[*self.deliveries, *more], prepared=[*still_whole, part])

    def store(self, connection: Connection) -> Sequence[Result]:
        """Store them; no work here grows with what is stored, nor with the size of their tasks' histories."""
        # The tasks first, which locks them: another node may be storing the same content at this moment.
        first_seen = _first_seen(self.deliveries)
        locked = tasks.lock_or_create(connection, first_seen, if_known=_unsupported_ids(self.deliveries))
        # Somebody else may have been faster with one of its tasks.
        prepared = _joined(each for each in self.prepared if all(locked[key].fresh for key in each.applied))
        rest = [each for each in self.deliveries if each.parsed.task_id not in prepared.applied]
        known_bodies = find_known_bodies(connection, _possibly_known(rest, locked))
        to_load = _ids_to_load(rest, locked, known_bodies)
        fresh = {task_id for task_id in to_load if locked[task_id].fresh}
        before = {key: Task(task_id=key, first_seen_at=first_seen[key]) for key in sorted(fresh)}
        before |= tasks.load_many(connection, to_load - fresh)
        applied = list(self._apply(rest, before, locked, known_bodies, dialect=connection.dialect.name))
        in_order = self._in_order(applied, prepared)
        # A repetition of what names no task is only counted: else anybody could fill the disk with one body.
        new_deliveries.add_bound(connection, [each.values for each in in_order if each.row.is_stored])
        _save_tasks(connection, applied, before, locked, prepared)
        return [each.result for each in in_order]

    def _in_order(self, applied: Iterable[Applied], prepared: Prepared) -> Sequence[Applied]:
        """All deliveries, in the order in which they came."""
        ready = {key: iter(of_task) for key, of_task in prepared.applied.items()}
        others = iter(applied)
        return [next(ready.get(each.parsed.task_id or "", others)) for each in self.deliveries]

    def _apply(
        self,
        deliveries: Iterable[Delivery],
        before: Mapping[str, Task],
        locked: Mapping[str, TaskStatus],
        known_bodies: Collection[BodyKey],
        *,
        dialect: str,
    ) -> Iterator[Applied]:
        current, known_bodies = dict(before), set(known_bodies)
        for delivery in deliveries:
            task = current.get(delivery.parsed.task_id or "")
            key = _body_key(delivery)
            row, task = self._apply_one(delivery, task, duplicate=key in known_bodies)
            known_bodies.add(key)
            if task:
                current[task.task_id] = task
            yield Applied(
                row=row,
                values=new_deliveries.bind(row, dialect=dialect),
                task=task,
                result=result_of(row, task or locked.get(row.task_id or "")),
            )

    def _apply_one(
        self, delivery: Delivery, before: Task | None, *, duplicate: bool
    ) -> tuple[StoredDelivery, Task | None]:
        if before is None:
            return row_of(delivery, duplicate=duplicate), None
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
        return row_of(delivery, duplicate=duplicate, change=find_change(before, after), task=after), after


def _joined(parts: Iterable[Prepared]) -> Prepared:
    parts = list(parts)
    return Prepared(
        applied={key: applied for each in parts for key, applied in each.applied.items()},
        tasks=joined(each.tasks for each in parts),
        counts=sum((each.counts for each in parts), Counter()),
    )


def _save_tasks(
    connection: Connection,
    applied: Sequence[Applied],
    before: Mapping[str, Task],
    locked: Collection[str],
    prepared: Prepared,
) -> None:
    after = {**before, **{each.task.task_id: each.task for each in applied if each.task}}
    steps = [(before[task_id], after[task_id]) for task_id in before]
    uncap(connection, [after.task_id for before, after in steps if _now_confirmed(before, after)])
    repeats: dict[str, list[datetime]] = defaultdict(list)
    for row in (each.row for each in applied):
        if row.task_id is not None and row.task_id in locked and row.task_id not in before:
            repeats[row.task_id].append(row.received_at)
    tasks.count_repeats(connection, repeats)
    counts = _counts(each.row for each in applied)
    counts.update(prepared.counts)
    tasks.save(connection, steps, new=[prepared.tasks], also=counts)


def _counts(rows: Iterable[StoredDelivery]) -> Tallies:
    return Counter((hourly_counts.hour_of(row.received_at), row.source, row.result) for row in rows)


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
