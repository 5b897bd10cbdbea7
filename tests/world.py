"""A receiver's poller and its upstream, with a clock that the test sets: real HTTP, a real store."""

import threading
from typing import Any

from receiver.core.task import Task
from receiver.core.upstream_health import UpstreamHealth
from receiver.intake import Intake
from receiver.operations import register_task
from receiver.polling import PassCounts, Poller
from receiver.runtime import Runtime
from receiver.simulator import Simulator
from receiver.store import tasks, upstream_status
from receiver.store.audit_log import Actor
from receiver.upstream.client import UpstreamClient
from tests.clock import Clock

SOMEBODY = Actor(via="test")


class World:
    """A receiver's poller and its upstream."""

    def __init__(
        self,
        runtime: Runtime,
        upstream: Simulator,
        clock: Clock,
        name: str = "one",
        kind: type[Intake] = Intake,
    ) -> None:
        self.runtime, self.upstream, self.clock = runtime, upstream, clock
        settings = runtime.settings
        self.client = UpstreamClient(
            url=settings.upstream_url,
            api_key=settings.upstream_api_key,
            timeout_s=settings.poll_timeout,
            concurrency=8,
        )
        self.poller = Poller(
            settings=settings,
            database=runtime.database,
            intake=kind(runtime.database, settings.rules, jitter=lambda: 0.0),
            client=self.client,
            name=name,
            clock=lambda _connection: clock(),
            jitter=lambda: 0.0,
        )

    def register(self, *task_ids: str) -> None:
        for task_id in task_ids:
            register_task(self.runtime, task_id, label=None, now=self.clock.now, actor=SOMEBODY)

    def answers(self, task_id: str, status: str = "PENDING", *rows: Any, **data: Any) -> None:
        record = {"taskId": task_id, "status": status, "response": {"sunoData": list(rows)}, **data}
        self.upstream.put(task_id, {"code": 200, "msg": "success", "data": record})

    def poison(self, *kinds: str) -> list[str]:
        """A task of each kind, known to the upstream; nobody can call back about it."""
        made = []
        for kind in kinds:
            self.upstream.set_faults({kind: 1.0})
            made.append(self.upstream.submit({"callBackUrl": "http://127.0.0.1:9/nowhere"}))
        self.upstream.set_faults({})
        return made

    def run(self, after_s: float = 0) -> PassCounts:
        self.clock.advance(after_s)
        return self.poller.run_once(threading.Event())

    def task(self, task_id: str) -> Task:
        with self.runtime.database.read() as connection:
            found = tasks.load(connection, task_id)
        assert found is not None
        return found

    def health(self) -> UpstreamHealth:
        with self.runtime.database.read() as connection:
            return upstream_status.read_health(connection)

    @property
    def calls(self) -> int:
        return int(self.upstream.stats()["calls"])
