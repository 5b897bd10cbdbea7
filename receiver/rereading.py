"""Quarantined deliveries read again by the present schemas: first what would change, then the change itself."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from receiver.core import payloads
from receiver.core.change import Change, change
from receiver.core.payloads import Reading
from receiver.core.task import Rules, Task, hear, learn
from receiver.intake import result_of, told_status
from receiver.runtime import Runtime
from receiver.store import actions, quarantine, tallies, tasks
from receiver.store.actions import Actor, Kind
from receiver.store.deliveries import QUARANTINED, StoredDelivery
from receiver.store.quarantine import Quarantined
from receiver.store.tallies import Tallies

AT_ONCE = 100
MOST_AT_ONCE = 5_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Reread:
    """One delivery as it was and as it is read now, with its task before and after, where it has one."""

    before: StoredDelivery
    after: StoredDelivery
    task_before: Task | None = None
    task_after: Task | None = None

    @property
    def readable(self) -> bool:
        return self.after.result != QUARANTINED


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """How many were looked at, can be read now, and change their task; `next`: the id to go on before."""

    looked_at: int = 0
    readable: int = 0
    changing: int = 0
    next: int | None = None


def preview(runtime: Runtime, told: Sequence[StoredDelivery], *, now: datetime) -> Sequence[Reread]:
    """What reading these again would change; changes nothing."""
    readings = [_read(one) for one in told]
    with runtime.database.read() as connection:
        known = tasks.load_many(connection, _first_seen(told, readings))
    return list(_plan(told, readings, known, now=now, rules=runtime.settings.rules))


def read_again(
    runtime: Runtime, wanted: Quarantined, *, now: datetime, actor: Actor, before: int | None = None
) -> Summary:
    """Read all that match again, newest first from before the id `before`, and take in what can be read now.

    Small transactions, so that no callback is held up, and at most `MOST_AT_ONCE` deliveries.
    """
    total, ends = Summary(next=before), False
    while not ends and total.looked_at < MOST_AT_ONCE:
        step = _read_some_again(runtime, wanted, now=now, actor=actor, before=total.next)
        ends = step.next is None
        total = _sum(total, step)
    with runtime.database.write() as connection:
        told = {"lookedAt": total.looked_at, "readable": total.readable, "changing": total.changing}
        actions.note(connection, Kind.READ_AGAIN, actor, now=now, detail=told)
    return total


def summarize(reread: Sequence[Reread]) -> Summary:
    return Summary(
        looked_at=len(reread),
        readable=sum(one.readable for one in reread),
        changing=sum(bool(one.after.change) for one in reread),
        next=reread[-1].before.id if len(reread) == AT_ONCE else None,
    )


def _sum(total: Summary, step: Summary) -> Summary:
    return Summary(
        looked_at=total.looked_at + step.looked_at,
        readable=total.readable + step.readable,
        changing=total.changing + step.changing,
        next=step.next,
    )


def _read_some_again(
    runtime: Runtime, wanted: Quarantined, *, now: datetime, actor: Actor, before: int | None
) -> Summary:
    with runtime.database.write() as connection:
        told = quarantine.find(connection, wanted, limit=AT_ONCE, before=before)
        readings = [_read(one) for one in told]
        known = tasks.load_or_create(connection, _first_seen(told, readings))
        reread = list(_plan(told, readings, known, now=now, rules=runtime.settings.rules))
        _apply(connection, reread, known)
        for one in reread:
            if one.readable and one.after.task_id:
                told_of = {"delivery": one.before.id, "result": one.after.result}
                actions.note(
                    connection, Kind.READ_AGAIN, actor, now=now, task_id=one.after.task_id, detail=told_of
                )
    return summarize(reread)


def _read(told: StoredDelivery) -> Reading:
    return payloads.read_again(told.body or b"", source=told.source, task_id=told.task_id)


def _first_seen(told: Sequence[StoredDelivery], readings: Sequence[Reading]) -> dict[str, datetime]:
    """When each task was first told of by one of these deliveries."""
    first: dict[str, datetime] = {}
    for one, reading in zip(told, readings, strict=True):
        if reading.task_id and reading.kind is not payloads.Kind.UNSUPPORTED:
            first[reading.task_id] = min(one.received_at, first.get(reading.task_id, one.received_at))
    return first


def _plan(
    told: Sequence[StoredDelivery],
    readings: Sequence[Reading],
    known: Mapping[str, Task],
    *,
    now: datetime,
    rules: Rules,
) -> Iterator[Reread]:
    first_seen = _first_seen(told, readings)
    current = {
        key: known.get(key) or Task(task_id=key, first_seen_at=seen) for key, seen in first_seen.items()
    }
    for one, reading in zip(told, readings, strict=True):
        was = current.get(reading.task_id or "")
        task = was and _taken_in(was, one, reading, now=now, rules=rules)
        if task:
            current[task.task_id] = task
        yield Reread(
            before=one,
            after=_as_read(one, reading, change(was, task) if was and task else {}),
            task_before=was,
            task_after=task,
        )


def _taken_in(was: Task, told: StoredDelivery, reading: Reading, *, now: datetime, rules: Rules) -> Task:
    if told.task_id is None:  # whose it is can be read only now: to the task it is a first callback
        heard = hear(was, reading.observation, now=now, rules=rules, lossy=bool(reading.errors))
        return replace(
            heard, last_callback_at=max(told.received_at, was.last_callback_at or told.received_at)
        )
    if reading.observation is None:
        return was
    return learn(was, reading.observation, now=now, rules=rules)


def _as_read(told: StoredDelivery, reading: Reading, changed: Change) -> StoredDelivery:
    result = result_of(reading)
    return replace(
        told,
        task_id=reading.task_id,
        result=result,
        cause=reading.kind.value if result == QUARANTINED else None,
        status=told_status(reading.observation),
        product=reading.product,
        errors=reading.errors,
        change=changed or told.change,
        digest=reading.digest,
    )


def _apply(connection: Connection, reread: Sequence[Reread], known: Mapping[str, Task]) -> None:
    after = {one.task_after.task_id: one.task_after for one in reread if one.task_after}
    counts: Tallies = Counter()
    for one in reread:
        hour, source = tallies.hour_of(one.before.received_at), one.before.source
        counts[hour, source, one.before.result] -= 1
        counts[hour, source, one.after.result] += 1
    quarantine.rewrite(connection, [one.after for one in reread if one.after != one.before])
    tasks.save(connection, [(known[key], task) for key, task in after.items()], also=counts)
