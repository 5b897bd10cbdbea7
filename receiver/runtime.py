"""The composition root's product: everything a process of the receiver works with."""

import logging
import os
import random
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event
from uuid import uuid4

from receiver.intake import Intake
from receiver.maintenance import Maintenance
from receiver.metrics import Metrics
from receiver.polling import Poller
from receiver.scheduler import Scheduler
from receiver.settings import Settings
from receiver.store.database import Database, StoreUnavailableError
from receiver.upstream.client import UpstreamClient

log = logging.getLogger(__name__)


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Runtime:
    settings: Settings
    database: Database
    intake: Intake
    metrics: Metrics


def build_runtime(settings: Settings) -> Runtime:
    """Open the database and bring it up to date; starts nothing."""
    database = Database(settings.database_url)
    database.migrate()
    metrics = Metrics()
    intake = Intake(database, settings.rules, metrics=metrics)
    return Runtime(settings=settings, database=database, intake=intake, metrics=metrics)


class Background:
    """What runs beside the requests of a worker process: the poller and the counts' way to the database."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._running: _BackgroundTasks | None = None

    def start(self) -> None:
        """Begin in this process: who polls is known by its pid, so only after a fork."""
        self._running = _BackgroundTasks(self._runtime)
        self._running.scheduler.start()

    def stop(self) -> None:
        """Finish what is under way and give the lease back."""
        if self._running is not None:
            self._running.stop()
            self._running = None


class _BackgroundTasks:
    def __init__(self, runtime: Runtime) -> None:
        settings = runtime.settings
        name = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._runtime = runtime
        self._client = UpstreamClient(
            url=settings.upstream_url,
            api_key=settings.upstream_api_key,
            timeout_s=settings.poll_timeout,
            concurrency=settings.poll_concurrency,
        )
        self._poller = Poller(
            settings=settings,
            database=runtime.database,
            intake=runtime.intake,
            client=self._client,
            name=name,
            jitter=lambda: random.uniform(-1, 1),
        )
        self._housekeeper = Maintenance(
            runtime.database, retention=timedelta(days=settings.retention_days), name=name
        )
        self.scheduler = Scheduler(self._tick, tick_s=settings.poll_tick)

    def stop(self) -> None:
        self.scheduler.stop()
        try:
            self._runtime.intake.flush_counts()
            self._poller.give_back()
        except StoreUnavailableError as error:
            log.warning("the lease was not given back; it runs out by itself: %s", error)
        self._client.close()

    def _tick(self, stop: Event) -> None:
        """Each part by itself: what keeps one from its work must not keep the others from theirs."""
        for work in (self._runtime.intake.flush_counts, partial(self._poll, stop), self._maintain):
            try:
                work()
            except StoreUnavailableError as error:
                log.warning("the database cannot be used: %s", error)
            except Exception:
                log.exception("a part of the pass failed; the next one tries again")

    def _poll(self, stop: Event) -> None:
        if self._runtime.settings.poller:
            self._poller.run_once(stop)

    def _maintain(self) -> None:
        self._housekeeper.run_once(now=utc_now())
