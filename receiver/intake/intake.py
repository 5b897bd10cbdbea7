"""The one way in: callbacks and answers to polls become stored deliveries and reconciled tasks."""

import logging
import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime

from receiver.core.observation import Source
from receiver.core.results import RefusalReason
from receiver.core.task import Rules
from receiver.group_commit import GroupCommit
from receiver.intake.applied import Result
from receiver.intake.batch import Batch
from receiver.intake.delivery import Delivery
from receiver.metrics import Metrics
from receiver.store import hourly_counts, recent_failures, tasks
from receiver.store.cap import Cap
from receiver.store.caps import caps_on_unregistered_data
from receiver.store.database import Database, StoreUnavailableError
from receiver.store.recent_failures import UnsavedFailures

log = logging.getLogger("receiver.intake")


class Intake:
    """Stores deliveries, many in one durable transaction.

    `accept` is the transaction; `submit` is for callers that come one by one and share it.
    """

    def __init__(
        self,
        database: Database,
        rules: Rules,
        *,
        jitter: Callable[[], float] = lambda: random.uniform(-1, 1),
        metrics: Metrics | None = None,
        caps: Sequence[Cap] | None = None,
    ) -> None:
        self._database = database
        self._rules = rules
        self._jitter = jitter
        self._metrics = metrics or Metrics()
        self._group = GroupCommit(self._commit)
        self._caps = caps_on_unregistered_data(database) if caps is None else caps
        self._refusals_lock = threading.Lock()
        self._unsaved_refusals: hourly_counts.Tallies = Counter()
        self.failures = UnsavedFailures()

    def submit(self, delivery: Delivery) -> Result:
        """Store one delivery, durably; raises `StoreUnavailableError` when that cannot be promised."""
        result = self._group.submit(delivery)
        _log_delivery(delivery, result)  # here, where the line gets the id of its own request
        if result.capped_bytes:
            self._enforce_caps(result.capped_bytes)
        return result

    def accept(self, batch: Sequence[Delivery]) -> Sequence[Result]:
        """Store and reconcile a batch in one transaction; the results are as durable as it is."""
        if not batch:
            return []
        results = self._commit(batch)
        for delivery, result in zip(batch, results, strict=True):
            _log_delivery(delivery, result)
        return results

    def accept_answers(self, answers: Sequence[Delivery]) -> Sequence[Result]:
        """The same for record-info's answers; one about a task that was deleted meanwhile is dropped."""
        if not answers:
            return []
        with self._metrics.commits.time(), self._database.write() as connection:
            task_ids = {answer.parsed.task_id or "" for answer in answers}
            locked = tasks.lock_or_create(connection, {}, if_known=task_ids)
            answers = [answer for answer in answers if answer.parsed.task_id in locked]
            results = self._batch(answers).store(connection)
        for delivery, result in zip(answers, results, strict=True):
            _log_delivery(delivery, result)
        return results

    def count_refusal(self, reason: RefusalReason, *, now: datetime) -> None:
        """Count a request of which nothing is stored; the count itself is stored by `flush_counts`."""
        with self._refusals_lock:
            self._unsaved_refusals[hourly_counts.hour_of(now), Source.CALLBACK, reason] += 1
        self.failures.note(reason, now=now)

    def flush_counts(self) -> None:
        """Store the counts of requests that were refused or failed."""
        with self._refusals_lock:
            counts, self._unsaved_refusals = self._unsaved_refusals, Counter()
        failures = self.failures.take()
        if not counts and not failures:
            return
        try:
            with self._database.write() as connection:
                hourly_counts.add(connection, counts)
                recent_failures.add(connection, failures)
        except StoreUnavailableError:
            with self._refusals_lock:
                self._unsaved_refusals += counts
            self.failures.put_back(failures)
            raise

    def _enforce_caps(self, size: int) -> None:
        """Enforce each cap that `size` more bytes exceed. What was stored is stored, whatever becomes of this."""
        try:
            for cap in self._caps:
                if cap.stored(size):
                    cap.enforce()
        except StoreUnavailableError as error:
            log.warning("what strangers stored was not dropped: %s", error)

    def _commit(
        self, deliveries: Sequence[Delivery], take_more: Callable[[], Sequence[Delivery]] = lambda: ()
    ) -> Sequence[Result]:
        """One transaction; while it waits for the lock, it takes more deliveries that have come meanwhile."""
        batch = self._batch(deliveries[:1])

        def prepare(some: Sequence[Delivery]) -> bool:
            nonlocal batch
            if some:
                with self._database.read() as connection:
                    batch = batch.with_prepared(connection, some)
            return bool(some)

        with self._metrics.commits.time():
            if len(deliveries) > 1:  # nobody waits for one that comes alone
                batch = self._batch(())
                prepare(deliveries)
            with self._database.write(meanwhile=lambda: prepare(take_more())) as connection:
                return batch.store(connection)

    def _batch(self, deliveries: Sequence[Delivery]) -> Batch:
        return Batch(rules=self._rules, jitter=self._jitter, deliveries=deliveries)


def _log_delivery(delivery: Delivery, result: Result) -> None:
    fields = {
        "source": delivery.source,
        "task": delivery.parsed.task_id,
        "result": result.result,
        "status": delivery.parsed.status,
        "outcome": result.outcome,
        "bytes": len(delivery.body),
    }
    log.info(
        "delivery",
        extra={"fields": {name: value for name, value in fields.items() if value not in (None, "")}},
    )
