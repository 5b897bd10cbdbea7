"""Quarantined deliveries parsed again by the present schemas: first a preview, then the change itself."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from receiver.core.deliveries import apply_reprocessed, find_first_seen, within_claim_limits
from receiver.core.payloads import ParsedPayload, parse_stored
from receiver.core.results import DeliveryResult
from receiver.core.task import Rules, Task
from receiver.core.task_change import find_change
from receiver.runtime import Runtime
from receiver.store import Connection, audit_log, hourly_counts, quarantine, tasks
from receiver.store.audit_log import ActionKind, Actor
from receiver.store.deliveries import StoredDelivery
from receiver.store.hourly_counts import Tallies
from receiver.store.quarantine import QuarantineFilter

BATCH_SIZE = 100
MAX_DELIVERIES = 400  # as many as a preview shows the effect of, where they are not too large for that


@dataclass(frozen=True, kw_only=True, slots=True)
class Reprocessed:
    """One delivery as it was and as it is parsed now, with its task before and after, where it has one."""

    before: StoredDelivery
    after: StoredDelivery
    task_before: Task | None = None
    task_after: Task | None = None

    @property
    def readable(self) -> bool:
        return self.after.result is not DeliveryResult.QUARANTINED

    @property
    def changes(self) -> bool:
        if self.task_before is None or self.task_after is None:
            return False
        return self.task_before.version != self.task_after.version


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """How many were parsed again, can be read now, change their task, and have no body left to parse."""

    total: int = 0
    readable: int = 0
    changing: int = 0
    bodiless: int = 0

    def __add__(self, other: "Summary") -> "Summary":
        return Summary(
            total=self.total + other.total,
            readable=self.readable + other.readable,
            changing=self.changing + other.changing,
            bodiless=self.bodiless + other.bodiless,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reparsed:
    """A delivery with what its body says now; None where retention has left no body."""

    delivery: StoredDelivery
    parsed: ParsedPayload | None


def preview(
    runtime: Runtime, deliveries: Sequence[StoredDelivery], *, now: datetime
) -> Sequence[Reprocessed]:
    """What reprocessing these would change; changes nothing."""
    reparsed = [_reparse(delivery) for delivery in deliveries]
    with runtime.database.read() as connection:
        stored = tasks.load_many(connection, _first_seen(reparsed))
    return list(_plan(reparsed, stored, now=now, rules=runtime.settings.rules))


def reprocess(
    runtime: Runtime, filters: QuarantineFilter, *, now: datetime, actor: Actor, before: int | None = None
) -> tuple[Summary, int | None]:
    """Parse the newest that match again, from before the id `before`, and apply what can be read now.

    At most `MAX_DELIVERIES`, in small transactions, so that no callback is held up. Returns also the id before which
    to go on; None where there are no more.
    """
    with runtime.database.read() as connection:
        found, older = quarantine.page(connection, filters, limit=MAX_DELIVERIES, before=before)
    summary = Summary()
    for first in range(0, len(found), BATCH_SIZE):
        batch = found[first : first + BATCH_SIZE]
        summary += summarize(_reprocess_batch(runtime, batch, now=now, actor=actor))
    if summary.total:
        with runtime.database.write() as connection:
            detail = {"lookedAt": summary.total, "readable": summary.readable, "changing": summary.changing}
            audit_log.record(connection, ActionKind.READ_AGAIN, actor, now=now, detail=detail)
    return summary, older


def summarize(reprocessed: Sequence[Reprocessed]) -> Summary:
    return Summary(
        total=len(reprocessed),
        readable=sum(step.readable for step in reprocessed),
        changing=sum(step.changes for step in reprocessed),
        bodiless=sum(step.before.body is None for step in reprocessed),
    )


def _reprocess_batch(
    runtime: Runtime, found: Sequence[StoredDelivery], *, now: datetime, actor: Actor
) -> Sequence[Reprocessed]:
    """Those of the found that are still in quarantine once they are locked: another process may reprocess them, too."""
    reparsed = [_reparse(delivery) for delivery in found]  # takes its time, and so before anything is locked
    with runtime.database.write() as connection:
        stored = tasks.load_or_create(connection, _first_seen(reparsed))
        locked = quarantine.lock(connection, [delivery.id for delivery in found])
        reparsed = [each for each in reparsed if each.delivery.id in locked]
        reprocessed = list(_plan(reparsed, stored, now=now, rules=runtime.settings.rules))
        _save(connection, reprocessed, stored)
        for step in reprocessed:
            if step.readable and step.after.task_id:
                _record(connection, step, now=now, actor=actor)
    return reprocessed


def _reparse(delivery: StoredDelivery) -> _Reparsed:
    if delivery.body is None:
        return _Reparsed(delivery=delivery, parsed=None)
    parsed = parse_stored(delivery.body, source=delivery.source, task_id=delivery.task_id)
    return _Reparsed(delivery=delivery, parsed=parsed)


def _first_seen(reparsed: Sequence[_Reparsed]) -> dict[str, datetime]:
    return find_first_seen((each.parsed, each.delivery.received_at) for each in reparsed if each.parsed)


def _plan(
    reparsed: Sequence[_Reparsed], stored: Mapping[str, Task], *, now: datetime, rules: Rules
) -> Iterator[Reprocessed]:
    current = {
        task_id: stored.get(task_id) or Task(task_id=task_id, first_seen_at=first_seen_at)
        for task_id, first_seen_at in _first_seen(reparsed).items()
    }
    for each in reparsed:
        step = _step(each, current, now=now, rules=rules)
        if step.task_after:
            current[step.task_after.task_id] = step.task_after
        yield step


def _step(each: _Reparsed, current: Mapping[str, Task], *, now: datetime, rules: Rules) -> Reprocessed:
    delivery, parsed = each.delivery, each.parsed
    if parsed is None:
        return Reprocessed(before=delivery, after=delivery)
    before = current.get(parsed.task_id or "")
    if before is None:
        return Reprocessed(before=delivery, after=delivery.with_payload(parsed, change=delivery.change))
    parsed = within_claim_limits(before, parsed)
    after = apply_reprocessed(
        before,
        parsed,
        counted=delivery.task_id == parsed.task_id,
        received_at=delivery.received_at,
        query=delivery.query or "",
        now=now,
        rules=rules,
    )
    change = find_change(before, after) or delivery.change
    row = delivery.with_payload(parsed, change=change)
    return Reprocessed(before=delivery, after=row, task_before=before, task_after=after)


def _save(connection: Connection, reprocessed: Sequence[Reprocessed], stored: Mapping[str, Task]) -> None:
    after = {step.task_after.task_id: step.task_after for step in reprocessed if step.task_after}
    counts: Tallies = Counter()
    for step in reprocessed:
        hour, source = hourly_counts.hour_of(step.before.received_at), step.before.source
        counts[hour, source, step.before.result] -= 1
        counts[hour, source, step.after.result] += 1
        counts[hour, hourly_counts.REREAD, source] += step.after.result is not step.before.result
    quarantine.rewrite(connection, [step.after for step in reprocessed if step.after != step.before])
    tasks.save(connection, [(stored[task_id], task) for task_id, task in after.items()], also=counts)


def _record(connection: Connection, step: Reprocessed, *, now: datetime, actor: Actor) -> None:
    detail = {"delivery": step.before.id, "result": step.after.result}
    audit_log.record(
        connection, ActionKind.READ_AGAIN, actor, now=now, task_id=step.after.task_id, detail=detail
    )
