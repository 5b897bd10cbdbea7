"""Quarantined deliveries read again by the present schemas: first what would change, then the change itself."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from receiver.core import payloads
from receiver.core.payloads import ParsedPayload
from receiver.core.task import Rules, Task
from receiver.core.task_change import TaskChange, find_change
from receiver.core.task_events import on_callback, on_reprocessed, with_query
from receiver.intake import reported_status, result_of, within_bounds
from receiver.runtime import Runtime
from receiver.store import audit_log, hourly_counts, quarantine, tasks
from receiver.store.audit_log import ActionKind, Actor
from receiver.store.deliveries import QUARANTINED, StoredDelivery
from receiver.store.hourly_counts import Tallies
from receiver.store.quarantine import QuarantineFilter

BATCH_SIZE = 100
MAX_DELIVERIES = 400  # as many as a preview shows the effect of, where they are not too large for that


@dataclass(frozen=True, kw_only=True, slots=True)
class Reprocessed:
    """One delivery as it was and as it is read now, with its task before and after, where it has one."""

    before: StoredDelivery
    after: StoredDelivery
    task_before: Task | None = None
    task_after: Task | None = None

    @property
    def readable(self) -> bool:
        return self.after.result != QUARANTINED

    @property
    def changes(self) -> bool:
        if self.task_before is None or self.task_after is None:
            return False
        return self.task_before.version != self.task_after.version


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """How many were looked at, can be read now, change their task, and have no body left to read."""

    looked_at: int = 0
    readable: int = 0
    changing: int = 0
    bodiless: int = 0

    def __add__(self, other: "Summary") -> "Summary":
        return Summary(
            looked_at=self.looked_at + other.looked_at,
            readable=self.readable + other.readable,
            changing=self.changing + other.changing,
            bodiless=self.bodiless + other.bodiless,
        )


def preview(runtime: Runtime, told: Sequence[StoredDelivery], *, now: datetime) -> Sequence[Reprocessed]:
    """What reading these again would change; changes nothing."""
    readings = [_read(one) for one in told]
    with runtime.database.read() as connection:
        known = tasks.load_many(connection, _first_seen(told, readings))
    return list(_plan(told, readings, known, now=now, rules=runtime.settings.rules))


def reprocess(
    runtime: Runtime, wanted: QuarantineFilter, *, now: datetime, actor: Actor, before: int | None = None
) -> tuple[Summary, int | None]:
    """Read the newest that match again, from before the id `before`, and take in what can be read now.

    At most `MAX_DELIVERIES`, in small transactions, so that no callback is held up; where there are more, the id
    to go on before is told too.
    """
    with runtime.database.read() as connection:
        found, older = quarantine.page(connection, wanted, limit=MAX_DELIVERIES, before=before)
    total = Summary()
    for first in range(0, len(found), BATCH_SIZE):
        some = found[first : first + BATCH_SIZE]
        total += summarize(_reprocess_batch(runtime, some, now=now, actor=actor))
    with runtime.database.write() as connection:
        told = {"lookedAt": total.looked_at, "readable": total.readable, "changing": total.changing}
        audit_log.record(connection, ActionKind.READ_AGAIN, actor, now=now, detail=told)
    return total, older


def summarize(reread: Sequence[Reprocessed]) -> Summary:
    return Summary(
        looked_at=len(reread),
        readable=sum(one.readable for one in reread),
        changing=sum(one.changes for one in reread),
        bodiless=sum(one.before.body is None for one in reread),
    )


def _reprocess_batch(
    runtime: Runtime, found: Sequence[StoredDelivery], *, now: datetime, actor: Actor
) -> Sequence[Reprocessed]:
    """Those of the found that are in quarantine still when it is our turn: somebody else may read again, too."""
    readings = {one.id: _read(one) for one in found}  # which takes its time, and so before anything is locked
    first_seen = _first_seen(found, [readings[one.id] for one in found])
    with runtime.database.write() as connection:
        known = tasks.load_or_create(connection, first_seen)
        left = quarantine.lock(connection, [one.id for one in found])
        told = [one for one in found if one.id in left]
        plan = _plan(told, [readings[one.id] for one in told], known, now=now, rules=runtime.settings.rules)
        reread = list(plan)
        _apply(connection, reread, known)
        for one in reread:
            if one.readable and one.after.task_id:
                is_known = {"delivery": one.before.id, "result": one.after.result}
                audit_log.record(
                    connection,
                    ActionKind.READ_AGAIN,
                    actor,
                    now=now,
                    task_id=one.after.task_id,
                    detail=is_known,
                )
    return reread


def _read(told: StoredDelivery) -> ParsedPayload | None:
    """What can be made of it now; None where retention has left nothing to read."""
    if told.body is None:
        return None
    return payloads.parse_stored(told.body, source=told.source, task_id=told.task_id)


def _first_seen(
    told: Sequence[StoredDelivery], readings: Sequence[ParsedPayload | None]
) -> dict[str, datetime]:
    """When each task was first told of by one of these deliveries."""
    first: dict[str, datetime] = {}
    for one, reading in zip(told, readings, strict=True):
        if reading and reading.task_id and reading.kind is not payloads.ParseOutcome.UNSUPPORTED:
            first[reading.task_id] = min(one.received_at, first.get(reading.task_id, one.received_at))
    return first


def _plan(
    told: Sequence[StoredDelivery],
    readings: Sequence[ParsedPayload | None],
    known: Mapping[str, Task],
    *,
    now: datetime,
    rules: Rules,
) -> Iterator[Reprocessed]:
    first_seen = _first_seen(told, readings)
    current = {
        key: known.get(key) or Task(task_id=key, first_seen_at=seen) for key, seen in first_seen.items()
    }
    for one, read in zip(told, readings, strict=True):
        if read is None:
            yield Reprocessed(before=one, after=one)
            continue
        was = current.get(read.task_id or "")
        reading = within_bounds(read, was.state) if was else read
        task = was and _applied(was, one, reading, now=now, rules=rules)
        if task:
            current[task.task_id] = task
        yield Reprocessed(
            before=one,
            after=_as_read(one, reading, find_change(was, task) if was and task else {}),
            task_before=was,
            task_after=task,
        )


def _applied(was: Task, told: StoredDelivery, reading: ParsedPayload, *, now: datetime, rules: Rules) -> Task:
    if told.task_id != reading.task_id:
        was = with_query(was, told.query or "")
        # Whose it is can be read only now: to the task it is a first callback.
        heard = on_callback(was, reading.observation, now=now, rules=rules, lossy=bool(reading.errors))
        return replace(
            heard, last_callback_at=max(told.received_at, was.last_callback_at or told.received_at)
        )
    if reading.observation is None:
        return was
    return on_reprocessed(was, reading.observation, now=now, rules=rules, lossy=bool(reading.errors))


def _as_read(told: StoredDelivery, reading: ParsedPayload, changed: TaskChange) -> StoredDelivery:
    result = result_of(reading)
    return replace(
        told,
        task_id=reading.task_id,
        result=result,
        cause=reading.kind.value if result == QUARANTINED else None,
        status=reported_status(reading.to_reconcile),
        product=reading.product,
        errors=reading.errors,
        change=changed or told.change,
        digest=reading.digest,
    )


def _apply(connection: Connection, reread: Sequence[Reprocessed], known: Mapping[str, Task]) -> None:
    after = {one.task_after.task_id: one.task_after for one in reread if one.task_after}
    counts: Tallies = Counter()
    for one in reread:
        hour, source = hourly_counts.hour_of(one.before.received_at), one.before.source
        counts[hour, source, one.before.result] -= 1
        counts[hour, source, one.after.result] += 1
        counts[hour, "reread", source] += one.after.result != one.before.result
    quarantine.rewrite(connection, [one.after for one in reread if one.after != one.before])
    tasks.save(connection, [(known[key], task) for key, task in after.items()], also=counts)
