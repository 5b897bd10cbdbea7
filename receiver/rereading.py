"""Quarantined deliveries read again by the present schemas: first what would change, then the change itself."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from receiver.core import payloads
from receiver.core.change import Change, change
from receiver.core.payloads import Reading
from receiver.core.task import Rules, Task, hear, learn, with_query
from receiver.intake import result_of, told_status, within_bounds
from receiver.runtime import Runtime
from receiver.store import actions, quarantine, tallies, tasks
from receiver.store.actions import Actor, Kind
from receiver.store.deliveries import QUARANTINED, StoredDelivery
from receiver.store.quarantine import Quarantined
from receiver.store.tallies import Tallies

AT_ONCE = 100
MOST_AT_ONCE = 400  # as many as a preview shows the effect of, where they are not too large for that


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


def preview(runtime: Runtime, told: Sequence[StoredDelivery], *, now: datetime) -> Sequence[Reread]:
    """What reading these again would change; changes nothing."""
    readings = [_read(one) for one in told]
    with runtime.database.read() as connection:
        known = tasks.load_many(connection, _first_seen(told, readings))
    return list(_plan(told, readings, known, now=now, rules=runtime.settings.rules))


def read_again(
    runtime: Runtime, wanted: Quarantined, *, now: datetime, actor: Actor, before: int | None = None
) -> tuple[Summary, int | None]:
    """Read the newest that match again, from before the id `before`, and take in what can be read now.

    At most `MOST_AT_ONCE`, in small transactions, so that no callback is held up; where there are more, the id
    to go on before is told too.
    """
    with runtime.database.read() as connection:
        found, older = quarantine.page(connection, wanted, limit=MOST_AT_ONCE, before=before)
    total = Summary()
    for first in range(0, len(found), AT_ONCE):
        some = found[first : first + AT_ONCE]
        total += summarize(_read_some_again(runtime, some, now=now, actor=actor))
    with runtime.database.write() as connection:
        told = {"lookedAt": total.looked_at, "readable": total.readable, "changing": total.changing}
        actions.note(connection, Kind.READ_AGAIN, actor, now=now, detail=told)
    return total, older


def summarize(reread: Sequence[Reread]) -> Summary:
    return Summary(
        looked_at=len(reread),
        readable=sum(one.readable for one in reread),
        changing=sum(one.changes for one in reread),
        bodiless=sum(one.before.body is None for one in reread),
    )


def _read_some_again(
    runtime: Runtime, found: Sequence[StoredDelivery], *, now: datetime, actor: Actor
) -> Sequence[Reread]:
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
                told_of = {"delivery": one.before.id, "result": one.after.result}
                actions.note(
                    connection, Kind.READ_AGAIN, actor, now=now, task_id=one.after.task_id, detail=told_of
                )
    return reread


def _read(told: StoredDelivery) -> Reading | None:
    """What can be made of it now; None where retention has left nothing to read."""
    if told.body is None:
        return None
    return payloads.read_again(told.body, source=told.source, task_id=told.task_id)


def _first_seen(told: Sequence[StoredDelivery], readings: Sequence[Reading | None]) -> dict[str, datetime]:
    """When each task was first told of by one of these deliveries."""
    first: dict[str, datetime] = {}
    for one, reading in zip(told, readings, strict=True):
        if reading and reading.task_id and reading.kind is not payloads.Kind.UNSUPPORTED:
            first[reading.task_id] = min(one.received_at, first.get(reading.task_id, one.received_at))
    return first


def _plan(
    told: Sequence[StoredDelivery],
    readings: Sequence[Reading | None],
    known: Mapping[str, Task],
    *,
    now: datetime,
    rules: Rules,
) -> Iterator[Reread]:
    first_seen = _first_seen(told, readings)
    current = {
        key: known.get(key) or Task(task_id=key, first_seen_at=seen) for key, seen in first_seen.items()
    }
    for one, read in zip(told, readings, strict=True):
        if read is None:
            yield Reread(before=one, after=one)
            continue
        was = current.get(read.task_id or "")
        reading = within_bounds(read, was.state) if was else read
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
    if told.task_id != reading.task_id:
        was = with_query(was, told.query or "")
        # Whose it is can be read only now: to the task it is a first callback.
        heard = hear(was, reading.observation, now=now, rules=rules, lossy=bool(reading.errors))
        return replace(
            heard, last_callback_at=max(told.received_at, was.last_callback_at or told.received_at)
        )
    if reading.observation is None:
        return was
    return learn(was, reading.observation, now=now, rules=rules, lossy=bool(reading.errors))


def _as_read(told: StoredDelivery, reading: Reading, changed: Change) -> StoredDelivery:
    result = result_of(reading)
    return replace(
        told,
        task_id=reading.task_id,
        result=result,
        cause=reading.kind.value if result == QUARANTINED else None,
        status=told_status(reading.to_reconcile),
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
        counts[hour, "reread", source] += one.after.result != one.before.result
    quarantine.rewrite(connection, [one.after for one in reread if one.after != one.before])
    tasks.save(connection, [(known[key], task) for key, task in after.items()], also=counts)
