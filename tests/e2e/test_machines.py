"""Two machines and a database server, each on a host of its own: one poller, whose end is survived, and one quota."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from receiver.simulator import Simulator, SimulatorServer
from tests.conftest import eventually
from tests.e2e.deployment import Deployment
from tests.e2e.network import ADDRESSES, Network, network
from tests.e2e.test_gunicorn import FAST, callback
from tests.postgres import PostgresServer

HOSTS = ("home", "database", "one", "two")
QUOTA = 8
TAKEOVER_S = 15
ANSWER_S = 15  # what the upstream waits

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", *(ADDRESSES.format(n + 1) for n in range(len(HOSTS)))])


class Machines:
    """The upstream and we are at home; the receiver runs on `one` and `two`."""

    def __init__(self, folder: Path, wires: Network) -> None:
        self.wires = wires
        with wires.inside("database"):
            (folder / "postgres").mkdir(mode=0o700)
            self.postgres = PostgresServer(folder / "postgres", wires.address("database"))
            self.postgres.start()
        self.simulator = Simulator(speed=1, api_key="upstream-key")
        self.upstream = SimulatorServer(self.simulator, host=wires.address("home"))
        self.upstream.__enter__()
        self.nodes = {name: self._deploy(folder, name) for name in ("one", "two")}

    def _deploy(self, folder: Path, name: str) -> Deployment:
        changes = {
            "DATABASE_URL": self.postgres.url,
            "UPSTREAM_URL": self.upstream.url,
            "POLL_LIMIT": f"{QUOTA}/second",
            "POLL_TIMEOUT": "3",
        }
        with self.wires.inside(name):
            return Deployment(folder, HOSTS.index(name), FAST | changes, address=self.wires.address(name))

    def holder(self, *, asked: str) -> str:
        """On which machine the poller runs, as the other one knows it."""
        pid = self.nodes[asked].holder_pid
        return next((name for name, node in self.nodes.items() if _descends(pid, node.process.pid)), "gone")

    def send(self, name: str, task_id: str) -> int:
        """The status that a callback is answered with there, in the time that the upstream waits."""
        answer = requests.post(self.nodes[name].callback_url, json=callback(task_id), timeout=ANSWER_S)
        return answer.status_code

    def close(self) -> None:
        for node in self.nodes.values():
            node.stop(signal.SIGKILL)
        self.upstream.__exit__(None, None, None)
        self.postgres.stop("immediate")


def _descends(pid: int, ancestor: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and f"\nPPid:\t{ancestor}\n" in status.read_text()


def _other(name: str) -> str:
    return {"one": "two", "two": "one"}[name]


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with network(*HOSTS) as wires, wires.inside("home"):
        running = Machines(tmp_path_factory.mktemp("machines"), wires)
        try:
            for node in running.nodes.values():
                eventually(lambda node=node: node.ready, within_s=30, why="the receiver starts")
            for number in range(30):
                told = {"taskId": f"task-{number}", "status": "PENDING"}
                running.simulator.put(f"task-{number}", {"code": 200, "data": told})
                running.nodes["one"].post("/api/tasks", {"taskId": f"task-{number}"})
            yield running
        finally:
            running.close()


@pytest.fixture(autouse=True)
def at_home(machines: Machines) -> Iterator[None]:
    with machines.wires.inside("home"):
        yield


def _polls_on(machines: Machines) -> None:
    calls = machines.simulator.stats()["calls"]
    eventually(lambda: machines.simulator.stats()["calls"] > calls, why="tasks are polled")


def test_callbacks_are_taken_by_any_machine_and_one_polls(machines: Machines) -> None:
    assert [machines.send(name, f"to-{name}") for name in machines.nodes] == [200, 200]
    assert machines.nodes["two"].get("/api/tasks/to-one")["callbacks"] == 1
    eventually(lambda: machines.nodes["one"].poller["holder"])
    assert machines.holder(asked="one") == machines.holder(asked="two")
    _polls_on(machines)


def test_when_the_polling_machine_is_cut_off_the_other_takes_over(machines: Machines) -> None:
    cut = machines.holder(asked="one")
    other = _other(cut)
    machines.wires.cut(cut)
    cut_at = time.monotonic()
    try:
        eventually(lambda: machines.holder(asked=other) == other, within_s=TAKEOVER_S, why="takeover")
        assert time.monotonic() - cut_at < TAKEOVER_S
        _polls_on(machines)
        assert machines.send(other, "while-cut") == 200
        with machines.wires.inside(cut):  # its own proxy still reaches it, and must be told in time
            assert machines.send(cut, "cannot-be-stored") == 503
    finally:
        machines.wires.mend(cut)
    eventually(lambda: machines.send(cut, "mended") == 200, why="the machine heals by itself")
    assert machines.holder(asked=cut) == other


def test_when_the_polling_machine_is_killed_the_other_takes_over(machines: Machines) -> None:
    killed = machines.holder(asked="one")
    other = _other(killed)
    os.killpg(machines.nodes[killed].process.pid, signal.SIGKILL)
    killed_at = time.monotonic()
    eventually(lambda: machines.holder(asked=other) == other, within_s=TAKEOVER_S, why="takeover")
    assert time.monotonic() - killed_at < TAKEOVER_S
    _polls_on(machines)


def test_a_database_server_that_is_restarted_is_a_503_meanwhile_and_heals(machines: Machines) -> None:
    (name,) = (name for name, node in machines.nodes.items() if node.process.poll() is None)
    machines.postgres.stop("immediate")
    assert machines.send(name, "meanwhile") == 503
    with machines.wires.inside("database"):
        machines.postgres.start()
    eventually(lambda: machines.send(name, "healed") == 200, why="the pool heals")
    _polls_on(machines)


def test_the_quota_was_held_throughout(machines: Machines) -> None:
    stats = machines.simulator.stats()
    assert stats["calls"] > QUOTA  # type: ignore[operator]
    assert stats["busiestSecond"] <= QUOTA  # type: ignore[operator]
    assert stats["busiestTaskSecond"] <= 3  # type: ignore[operator]
    assert stats["concurrentTask"] == 1
