"""Two machines and a database server, each on a host of its own: one poller, whose end is survived, and one quota."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from receiver.simulator import Simulator
from tests.conftest import eventually, need
from tests.e2e.test_gunicorn import FAST, callback
from tests.servers.machines import HOSTS, NODES, Machines, other, several_machines
from tests.servers.network import ADDRESSES

QUOTA = 8
TAKEOVER_S = 15
ANSWER_S = 15  # what the upstream waits

HOME = pytest.mark.allow_hosts(["127.0.0.1", *(ADDRESSES.format(n + 1) for n in range(len(HOSTS)))])


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    need("the right to make network namespaces", "root" if os.geteuid() == 0 else None)
    need("ip", shutil.which("ip"))
    simulator = Simulator(speed=1, api_key="upstream-key")
    settings = {"POLL_LIMIT": f"{QUOTA}/second", "POLL_TIMEOUT": "3"}
    with several_machines(tmp_path, simulator, **FAST, **settings) as running:
        yield running


def send(machines: Machines, name: str, task_id: str) -> int:
    """The status that a callback is answered with there, in the time that the upstream waits."""
    url = machines.nodes[name].callback_url
    return requests.post(url, json=callback(task_id), timeout=ANSWER_S).status_code


def polls_go_on(machines: Machines) -> None:
    calls = machines.simulator.stats()["calls"]
    eventually(lambda: machines.simulator.stats()["calls"] > calls, why="tasks are polled")


@pytest.mark.slow
@HOME
@pytest.mark.longest
def test_two_machines_outlive_a_cut_a_kill_and_a_crash_within_one_quota(machines: Machines) -> None:
    """One story, as each part of it takes its seconds."""
    any_machine_takes_callbacks_and_one_polls(machines)
    when_the_polling_machine_is_cut_off_the_other_takes_over(machines)
    when_the_polling_machine_is_killed_the_other_takes_over(machines)
    a_database_server_that_crashes_is_a_503_meanwhile_and_heals(machines)
    stats = machines.simulator.stats()
    assert stats["calls"] > QUOTA
    assert stats["busiestSecond"] <= QUOTA
    assert stats["busiestTaskSecond"] <= 3
    assert stats["concurrentTask"] == 1


def any_machine_takes_callbacks_and_one_polls(machines: Machines) -> None:
    assert [send(machines, name, f"to-{name}") for name in NODES] == [200, 200]
    assert machines.nodes["two"].get("/api/tasks/to-one")["callbacks"] == 1
    for number in range(30):
        record = {"taskId": f"task-{number}", "status": "PENDING"}
        machines.simulator.put(f"task-{number}", {"code": 200, "data": record})
        machines.nodes["one"].post("/api/tasks", {"taskId": f"task-{number}"})
    eventually(lambda: machines.holder(asked="one") in NODES)
    assert machines.holder(asked="one") == machines.holder(asked="two")
    polls_go_on(machines)


def when_the_polling_machine_is_cut_off_the_other_takes_over(machines: Machines) -> None:
    cut = machines.holder(asked="one")
    left = other(cut)
    machines.wires.cut(cut)
    cut_at = time.monotonic()
    try:
        eventually(lambda: machines.holder(asked=left) == left, within_s=TAKEOVER_S, why="takeover")
        assert time.monotonic() - cut_at < TAKEOVER_S
        polls_go_on(machines)
        # A 503 before it, which the upstream repeats, is honest: the database may still hold what the other had begun.
        eventually(lambda: send(machines, left, "while-cut") == 200, why="the other takes callbacks")
        with machines.wires.inside(cut):  # its own proxy still reaches it, and must get word in time
            assert send(machines, cut, "cannot-be-stored") == 503
    finally:
        machines.wires.mend(cut)
    eventually(lambda: send(machines, cut, "mended") == 200, why="the machine heals by itself")
    assert machines.holder(asked=cut) == left


def when_the_polling_machine_is_killed_the_other_takes_over(machines: Machines) -> None:
    killed = machines.holder(asked="one")
    left = other(killed)
    machines.kill(killed)
    killed_at = time.monotonic()
    eventually(lambda: machines.holder(asked=left) == left, within_s=TAKEOVER_S, why="takeover")
    assert time.monotonic() - killed_at < TAKEOVER_S
    polls_go_on(machines)


def a_database_server_that_crashes_is_a_503_meanwhile_and_heals(machines: Machines) -> None:
    (name,) = (name for name, node in machines.nodes.items() if node.process.poll() is None)
    machines.postgres.stop("immediate")
    assert send(machines, name, "meanwhile") == 503
    machines.start_database()
    eventually(lambda: send(machines, name, "healed") == 200, why="the pool heals")
    polls_go_on(machines)
