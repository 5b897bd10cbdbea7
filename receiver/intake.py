"""The one way in: callbacks and answers to polls alike become deliveries, observations and reconciled states."""

import logging
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from receiver.core.change import Change, change
from receiver.core.observation import Observation, Source
from receiver.core.payloads import Kind, Reading, read_answer, read_callback
from receiver.core.task import Rules, Task, answer, give_up, hear, hear_again
from receiver.group_commit import GroupCommit
from receiver.metrics import Metrics
from receiver.store import deliveries, tallies, tasks
from receiver.store.database import Database, StoreUnavailableError
from receiver.store.deliveries import DUPLICATE, QUARANTINED, Content, StoredDelivery

log = logging.getLogger(__name__)

GIVEN_UP_AT_ONCE = 256
OWN_PATH = re.compile(rb"(callbacks(?:\\*/|%2[Ff]))[\w.~%-]+")
REMOVED = rb"\1[removed]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """What somebody told us, read but not yet believed."""

    source: Source
    body: bytes
    received_at: datetime
    reading: Reading


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What became of a delivery: `result` as the contract names it, and its task as it now is."""

    result: str
    task: Task | None = None


def callback_delivery(body: bytes, *, now: datetime, secrets: Iterable[str]) -> Delivery:
    """The delivery in a callback's body."""
    body = without_secrets(body, secrets)
    return Delivery(source=Source.CALLBACK, body=body, received_at=now, reading=read_callback(body))


def poll_delivery(body: bytes, asked: str, *, now: datetime, secrets: Iterable[str]) -> Delivery:
    """The delivery in record-info's answer about the task `asked` for."""
    body = without_secrets(body, secrets)
    return Delivery(source=Source.POLL, body=body, received_at=now, reading=read_answer(body, asked))


def without_secrets(body: bytes, secrets: Iterable[str]) -> bytes:
    """The body without the callback token, which the upstream sends back in `param.callBackUrl`.

    Tokens are made of characters that neither JSON nor a URL escapes, so they are found as they are; one that
    is no longer accepted is found by its place after `/callbacks/`.
    """
    for secret in secrets:
        body = body.replace(secret.encode(), b"[removed]")
    return OWN_PATH.sub(REMOVED, body) if b"callbacks" in body else body


class Intake:
    """Takes deliveries in, many in one durable transaction.

    `accept` is the transaction; `submit` is for callers that come one by one and share it.
    """

    def __init__(
        self,
        database: Database,
        rules: Rules,
        *,
        spread: Callable[[], float] = lambda: random.uniform(-1, 1),
        metrics: Metrics | None = None,
    ) -> None:
        self._database = database
        self._rules = rules
        self._spread = spread
        self._metrics = metrics or Metrics()
        self._group = GroupCommit(self._commit)
        self._counting = threading.Lock()
        self._uncommitted: tallies.Tallies = Counter()

    def submit(self, delivery: Delivery) -> Result:
        """Store one delivery, durably; raises `StoreUnavailableError` when that cannot be promised."""
        result = self._group.submit(delivery)
        _log_delivery(delivery, result)  # here, where the line gets the id of its own request
        return result

    def accept(self, batch: Sequence[Delivery]) -> Sequence[Result]:
        """Store and reconcile a batch in one transaction; the results are as durable as it is."""
        if not batch:
            return []
        results = self._commit(batch)
        for delivery, result in zip(batch, results, strict=True):
            _log_delivery(delivery, result)
        return results

    def note_refused(self, reason: str, *, now: datetime) -> None:
        """Count a request of which nothing is stored; the count itself is stored by `flush_counts`."""
        with self._counting:
            self._uncommitted[tallies.hour_of(now), Source.CALLBACK.value, reason] += 1

    def flush_counts(self) -> None:
        """Store the counts of refused requests."""
        with self._counting:
            counts, self._uncommitted = self._uncommitted, Counter()
        if not counts:
            return
        try:
            with self._database.write() as connection:
                tallies.add(connection, counts)
        except StoreUnavailableError:
            with self._counting:
                self._uncommitted += counts
            raise

    def give_up_overdue(self, *, first_seen_before: datetime, now: datetime) -> int:
        """Settle tasks that nothing will ever be heard of again; returns how many."""
        with self._database.read() as connection:
            ids = tasks.overdue_ids(connection, first_seen_before=first_seen_before, limit=GIVEN_UP_AT_ONCE)
        if not ids:
            return 0
        with self._database.write() as connection:
            known = tasks.load_many(connection, ids).values()
            left = [
                (task, give_up(task, now=now, rules=self._rules))
                for task in known
                if not task.verdict.settled
            ]
            tasks.save(connection, left)
        return len(left)

    def _commit(self, batch: Sequence[Delivery]) -> Sequence[Result]:
        with self._metrics.commits.time(), self._database.write() as connection:
            return self._take_in(connection, batch)

    def _take_in(self, connection: Connection, batch: Sequence[Delivery]) -> Sequence[Result]:
        contents = {_content(delivery) for delivery in batch}
        # The tasks first, which locks them: another node may be storing the same content at this moment.
        before = tasks.load_or_create(connection, _first_seen(batch))
        seen = deliveries.known_contents(connection, {c for c in contents if c})
        after = dict(before)
        rows, results = [], []
        for delivery in batch:
            content = _content(delivery)
            result = DUPLICATE if content in seen else result_of(delivery.reading)
            was = after.get(delivery.reading.task_id or "")
            task = was and self._next(was, delivery, result)
            if content:
                seen.add(content)
            if task:
                after[task.task_id] = task
            rows.append(_row(delivery, result, change(was, task) if was and task else {}))
            results.append(Result(result=result, task=task))
        deliveries.add(connection, rows)
        counts: tallies.Tallies = Counter(
            (tallies.hour_of(row.received_at), row.source, row.result) for row in rows
        )
        tasks.save(connection, [(before[key], after[key]) for key in before], also=counts)
        return results

    def _next(self, task: Task, delivery: Delivery, result: str) -> Task:
        now, seen = delivery.received_at, delivery.reading.observation
        if delivery.source is Source.POLL:
            return answer(task, seen, now=now, spread=self._spread(), rules=self._rules)
        if result == DUPLICATE or delivery.reading.kind is Kind.UNSUPPORTED:
            return hear_again(task, now=now)
        return hear(task, seen, now=now, rules=self._rules, lossy=bool(delivery.reading.errors))


def _first_seen(batch: Iterable[Delivery]) -> dict[str, datetime]:
    """When each task was first told of in the batch; a sister product's job is no task of ours.

    The task of an answer is the one that was asked about, whatever the answer is about: it must be moved on.
    """
    first: dict[str, datetime] = {}
    for delivery in batch:
        reading = delivery.reading
        if reading.task_id and (delivery.source is Source.POLL or reading.kind is not Kind.UNSUPPORTED):
            first.setdefault(reading.task_id, delivery.received_at)
    return first


def _content(delivery: Delivery) -> Content | None:
    task_id = delivery.reading.task_id
    return None if task_id is None else (task_id, delivery.source.value, delivery.reading.digest)


def result_of(reading: Reading) -> str:
    """What becomes of a delivery that is read so, unless it repeats another."""
    names = {Kind.READ: "accepted", Kind.UNSUPPORTED: "unsupported", Kind.UNKNOWN_TASK: "unknown"}
    return names.get(reading.kind, QUARANTINED)


def _row(delivery: Delivery, result: str, changed: Change) -> StoredDelivery:
    reading = delivery.reading
    return StoredDelivery(
        task_id=reading.task_id,
        source=delivery.source.value,
        received_at=delivery.received_at,
        result=result,
        status=told_status(reading.observation),
        product=reading.product,
        errors=reading.errors,
        cause=reading.kind.value if result == QUARANTINED else None,
        change=changed,
        digest=reading.digest,
        body=delivery.body,
    )


def told_status(seen: Observation | None) -> str:
    return str(seen.status) if seen else ""


def _log_delivery(delivery: Delivery, result: Result) -> None:
    told = {
        "source": delivery.source.value,
        "task": delivery.reading.task_id,
        "result": result.result,
        "status": told_status(delivery.reading.observation),
        "outcome": result.task.verdict.outcome.value if result.task else None,
        "bytes": len(delivery.body),
    }
    log.info(
        "delivery", extra={"told": {name: value for name, value in told.items() if value not in (None, "")}}
    )
