"""What a worker process does beside its requests: it polls, writes counts and cleans up."""

import logging
import os
import random
import socket
from datetime import timedelta
from threading import Event
from uuid import uuid4

from receiver.clock import utc_now
from receiver.maintenance import Maintenance
from receiver.polling import Poller
from receiver.runtime import Runtime
from receiver.scheduler import Scheduler
from receiver.store.database import StoreUnavailableError
from receiver.upstream.client import UpstreamClient

log = logging.getLogger(__name__)


class Background:
    """The background tasks of this process, which can be started once it is forked."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._tasks: _BackgroundTasks | None = None

    def start(self) -> None:
        """Begin in this process: the lease's holder is named by its pid, so only after a fork."""
        self._tasks = _BackgroundTasks(self._runtime)
        self._tasks.start()

    def stop(self) -> None:
        """Finish what is under way and give the lease back."""
        if self._tasks is not None:
            self._tasks.stop()
            self._tasks = None


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
        self._maintenance = Maintenance(
            runtime.database, retention=timedelta(days=settings.retention_days), name=name
        )
        work = (self._flush_counts, self._poll, self._maintain)
        self._scheduler = Scheduler(work, tick_s=settings.poll_tick)

    def start(self) -> None:
        self._scheduler.start()

    def stop(self) -> None:
        self._scheduler.stop()
        try:
            self._runtime.intake.flush_counts()
            self._poller.give_back()
        except StoreUnavailableError as error:
            log.warning("the lease was not given back; it expires by itself: %s", error)
        self._client.close()

    def _flush_counts(self, _: Event) -> None:
        self._runtime.intake.flush_counts()

    def _poll(self, stop: Event) -> None:
        if self._runtime.settings.poller:
            self._poller.run_once(stop)

    def _maintain(self, _: Event) -> None:
        self._maintenance.run_once(now=utc_now())
