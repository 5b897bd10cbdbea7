"""`/metrics` of the real command: right whichever worker or machine is asked, and after one was killed."""

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import CALLBACK_TOKEN, eventually
from tests.e2e.test_gunicorn import callback
from tests.servers.processes import Deployment, deployed

SENT = 40
WORKERS = 2


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Deployment]]:
    """Two process groups on one database, the second with --preload; nobody polls, so that counts stand still."""
    folder = tmp_path_factory.mktemp("metrics")
    given = {"WORKERS": str(WORKERS), "POLLER": "off", "LOG_FORMAT": "json"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        with deployed(folder, **given) as (first,):
            patch.setenv("GUNICORN_CMD_ARGS", "--preload")
            second = Deployment(folder, 1, given)
            eventually(lambda: second.ready, within_s=30)
            yield [first, second]
            first.process.terminate()  # both at the same time
            second.stop()
    assert not list(folder.glob("receiver-metrics-*")), "nothing is left behind"


def read(machine: Deployment) -> dict[str, float]:
    """What any one of its workers tells, by name and labels."""
    answer = requests.get(f"{machine.url}/metrics", timeout=20)  # each on its own connection
    assert answer.status_code == 200, answer.text
    return {
        sample.name.removeprefix("receiver_")
        + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def timed(machine: Deployment) -> tuple[float, float]:
    """How many callbacks and commits its workers have timed together."""
    samples = read(machine)
    requests_timed = samples["http_request_duration_seconds_count POST callbacks.receive 2xx"]
    return requests_timed, samples["commit_duration_seconds_count"]


def send(machine: Deployment, name: str, count: int = SENT) -> None:
    def post(number: int) -> int:
        body = callback(f"{name}-{number}")
        return requests.post(machine.callback_url, json=body, timeout=20).status_code

    with ThreadPoolExecutor(8) as senders:
        assert set(senders.map(post, range(count))) == {200}


def workers_of(machine: Deployment) -> set[int]:
    """Its living workers."""
    born = re.findall(r"Booting worker with pid: (\d+)", machine.log.read_text())
    return {pid for pid in map(int, born) if Path(f"/proc/{pid}/cmdline").exists()}


@pytest.mark.parametrize("number", [0, 1])
def test_each_worker_tells_of_all_and_a_killed_one_takes_nothing_with_it(
    machines: list[Deployment], number: int
) -> None:
    machine = machines[number]
    before = timed(machine)
    send(machine, f"first-{number}")
    counted = {timed(machine) for _ in range(8)}
    assert len(counted) == 1, "workers tell different things"
    after, commits = counted.pop()
    assert after - before[0] == SENT
    assert 0 < commits - before[1] <= SENT

    killed = workers_of(machine)
    assert len(killed) == WORKERS
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: len(workers_of(machine) - killed) == WORKERS, why="others are born for them")
    eventually(lambda: machine.ready)
    send(machine, f"second-{number}")
    assert {timed(machine)[0] for _ in range(8)} == {after + SENT}
    for folder in machine.log.parent.glob("receiver-metrics-*"):
        assert folder.stat().st_mode & 0o777 == 0o700
        assert len(list(folder.iterdir())) <= WORKERS + 1, "more than of the workers at once and the master"


def test_all_machines_tell_the_same_of_the_database(machines: list[Deployment]) -> None:
    send(machines[0], "shared", 5)
    first, second = read(machines[0]), read(machines[1])
    moving = re.compile("duration_seconds|_age_seconds|disk_free_bytes")
    assert first["callbacks_total accepted"] >= 5
    same = {name: value for name, value in first.items() if not moving.search(name)}
    assert same == {name: value for name, value in second.items() if not moving.search(name)}
    assert first["poller_heartbeat_age_seconds"] == second["poller_heartbeat_age_seconds"] == float("inf")


def test_each_line_of_the_log_is_json_and_none_quotes_a_sender(machines: list[Deployment]) -> None:
    machine = machines[0]
    rejected = [
        f"GET /callbacks/{CALLBACK_TOKEN} no HTTP\r\n\r\n",
        f"POST /callbacks/{CALLBACK_TOKEN} HTTP/1.1\r\nAuthorization secret-token\r\n\r\n",
        f"POST /callbacks/{CALLBACK_TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}our lyrics\r\n\r\n",
        f"POST /callbacks/{CALLBACK_TOKEN} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nour lyrics\r\n",
    ]
    for raw in rejected:
        with socket.create_connection(("127.0.0.1", machine.port), timeout=20) as connection:
            connection.sendall(raw.encode())
            assert b" 4" in connection.makefile("rb").readline()
    text = ""

    def all_logged() -> bool:
        nonlocal text
        text = machine.log.read_text()
        return text.count("Invalid request from ip=127.0.0.1") >= len(rejected) - 1

    eventually(all_logged)
    entries = [json.loads(line) for line in text.splitlines()]
    assert {entry["logger"] for entry in entries} >= {"gunicorn.error", "receiver.intake"}
    for hidden in (CALLBACK_TOKEN, "secret-token", "lyrics"):
        assert hidden not in text
