"""The real command: several workers and process groups, one poller, kill -9."""

import json
import os
import re
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from receiver.simulator import Simulator, SimulatorServer
from receiver.store.database import Database
from receiver.store.deliveries import of_task
from tests.conftest import CALLBACK_TOKEN, eventually
from tests.servers.processes import GUNICORN, SERVE, Deployment, deployed

FAST = {"POLL_TICK": "0.2", "CALLBACK_GRACE": "0.5", "POLL_INTERVAL": "0.5", "POLL_MAX_INTERVAL": "2"}


def callback(task_id: str, kind: str = "complete") -> dict[str, object]:
    rows = [{"id": "a", "audio_url": "https://example.org/a.mp3", "title": f"of {task_id}"}]
    return {"code": 200, "data": {"callbackType": kind, "task_id": task_id, "data": rows}}


class HalfSent:
    """A callback that a worker has begun to read, and whose second half is still on its way."""

    def __init__(self, receiver: Deployment, task_id: str) -> None:
        body = json.dumps(callback(task_id)).encode()
        head = f"POST /callbacks/{CALLBACK_TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        self._connection = socket.create_connection(("127.0.0.1", receiver.port), timeout=20)
        self._connection.sendall(head.encode() + b"Expect: 100-continue\r\n\r\n")
        self._answers = self._connection.makefile("rb")
        assert b" 100 " in self._answers.readline() and self._answers.readline() == b"\r\n"
        self._connection.sendall(body[:20])
        self._rest = body[20:]

    def finish(self) -> bytes:
        """Send the rest; the answer's status line."""
        with self._connection, self._answers:
            self._connection.sendall(self._rest)
            return self._answers.readline()


def workers_of(receiver: Deployment) -> set[int]:
    return set(map(int, re.findall(r"Booting worker with pid: (\d+)", receiver.log.read_text())))


@pytest.mark.slow
def test_a_stopping_server_gives_the_lease_back_at_once_and_finishes_what_it_began(tmp_path: Path) -> None:
    with deployed(tmp_path, 2, **FAST) as (group_a, group_b), ThreadPoolExecutor() as pool:
        group_a.post("/api/tasks", {"taskId": "waited-for"})
        eventually(lambda: group_a.poller["holder"])
        first, other = (group_a, group_b) if group_a.holder_pid in workers_of(group_a) else (group_b, group_a)
        reader = pool.submit(first.get, "/api/tasks/waited-for?wait=60")
        half_sent = HalfSent(first, "half-sent")
        first.process.send_signal(signal.SIGTERM)
        eventually(
            lambda: other.holder_pid in workers_of(other), within_s=3, why="the other group takes over"
        )
        assert reader.result(timeout=3)["outcome"] == "in_progress"
        assert first.process.poll() is None, "a callback is still on its way"
        assert b" 200 " in half_sent.finish()
        assert first.process.wait(timeout=10) == 0
        assert other.get("/api/tasks/half-sent")["callbacks"] == 1


def test_a_reload_keeps_the_callbacks_that_are_on_their_way_and_moves_the_poller(tmp_path: Path) -> None:
    with deployed(tmp_path, **FAST) as (receiver,):
        eventually(lambda: receiver.poller["holder"])
        old = workers_of(receiver)
        half_sent = [HalfSent(receiver, f"half-{number}") for number in range(3)]
        receiver.process.send_signal(signal.SIGHUP)
        eventually(lambda: receiver.holder_pid not in old, within_s=5, why="a new worker takes over")
        assert all(b" 200 " in request.finish() for request in half_sent)
        assert {receiver.get(f"/api/tasks/half-{number}")["callbacks"] for number in range(3)} == {1}


@pytest.mark.slow
def test_recycled_workers_lose_no_callback_and_hand_the_poller_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send(sender: int) -> list[int]:
        with requests.Session() as session:
            return [
                session.post(
                    receiver.callback_url, json=callback(f"task-{sender}-{n}"), timeout=20
                ).status_code
                for n in range(30)
            ]

    # gunicorn reads its own arguments from this variable, after the configuration file.
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--max-requests 15 --max-requests-jitter 5")
    with deployed(tmp_path, **FAST) as (receiver,), ThreadPoolExecutor() as pool:
        eventually(lambda: receiver.poller["holder"])
        answers = [status for codes in pool.map(send, range(4)) for status in codes]
        assert answers == [200] * 120
        assert receiver.log.read_text().count("Autorestarting worker") >= 4
        assert receiver.get("/api/stats")["deliveries"]["callback"] == {"accepted": 120}
        eventually(lambda: Path(f"/proc/{receiver.holder_pid}").exists(), within_s=5, why="another one polls")
        eventually(lambda: receiver.poller["heartbeatAge"] < 5, within_s=5)


@pytest.mark.slow
@pytest.mark.longest
def test_two_groups_of_three_workers_keep_one_quota_and_one_poller_even_when_it_is_killed(
    tmp_path: Path,
) -> None:
    with (
        SimulatorServer(Simulator(speed=1, api_key="upstream-key")) as upstream,
        deployed(tmp_path, 2, WORKERS="3", UPSTREAM_URL=upstream.url, POLL_LIMIT="8/second", **FAST) as (
            group_a,
            group_b,
        ),
    ):
        for number in range(30):
            task_id = f"task-{number}"
            upstream.simulator.put(task_id, {"code": 200, "data": {"taskId": task_id, "status": "PENDING"}})
            (group_a, group_b)[number % 2].post("/api/tasks", {"taskId": task_id})
        eventually(lambda: upstream.simulator.stats()["calls"] >= 20)
        holder, killed_at = group_a.holder_pid, time.monotonic()
        os.kill(holder, signal.SIGKILL)
        eventually(lambda: group_a.holder_pid != holder, within_s=15, why="another one takes over")
        assert time.monotonic() - killed_at < 15
        calls_before = upstream.simulator.stats()["calls"]
        eventually(lambda: upstream.simulator.stats()["calls"] >= calls_before + 30, within_s=40)
        stats = upstream.simulator.stats()
        assert stats["busiestSecond"] <= 8
        assert stats["busiestTaskSecond"] <= 3
        assert stats["concurrentTask"] == 1


def test_every_callback_answered_200_survives_kill_9(tmp_path: Path) -> None:
    acknowledged: list[str] = []

    def send(thread: int, url: str, stop: threading.Event) -> None:
        with requests.Session() as session:
            session.trust_env = False
            for number in range(2000):
                task_id = f"task-{thread}-{number}"
                try:
                    answer = session.post(url, json=callback(task_id), timeout=20)
                except requests.RequestException:
                    return
                if answer.status_code == 200:
                    acknowledged.append(task_id)
                if stop.is_set():
                    return

    with deployed(tmp_path, WORKERS="2") as (receiver,):
        stop = threading.Event()
        senders = [threading.Thread(target=send, args=(n, receiver.callback_url, stop)) for n in range(8)]
        for sender in senders:
            sender.start()
        eventually(lambda: len(acknowledged) > 200, why="callbacks are answered")
        receiver.kill_group()
        stop.set()
        for sender in senders:
            sender.join()
        receiver.process.wait()

    database = Database(f"sqlite:///{tmp_path}/receiver.db")
    with database.read() as connection:
        missing = [task_id for task_id in acknowledged if not of_task(connection, task_id)]
    database.engine.dispose()
    assert len(acknowledged) > 200
    assert missing == []


def test_waiting_readers_never_keep_a_callback_waiting(tmp_path: Path) -> None:
    with deployed(tmp_path, WORKERS="1", THREADS="4") as (receiver,):
        receiver.post("/api/tasks", {"taskId": "t"})
        readers = [threading.Thread(target=receiver.get, args=("/api/tasks/t?wait=8",)) for _ in range(12)]
        for reader in readers:
            reader.start()
        started = time.monotonic()
        for number in range(20):
            answer = requests.post(receiver.callback_url, json=callback(f"other-{number}"), timeout=20)
            assert answer.status_code == 200
        assert time.monotonic() - started < 6, "callbacks waited for readers"
        requests.post(receiver.callback_url, json=callback("t"), timeout=20)
        for reader in readers:
            reader.join()


def test_the_log_is_one_line_a_callback_and_holds_no_secret(tmp_path: Path) -> None:
    with deployed(tmp_path, LOG_FORMAT="json") as (receiver,):
        requests.post(receiver.callback_url, json=callback("logged"), timeout=20)
        requests.post(f"{receiver.url}/callbacks/an-attackers-guess-1", json=callback("x"), timeout=20)
        lines = [line for line in receiver.log.read_text().splitlines() if line.startswith("{")]
        entries = [json.loads(line) for line in lines]
        assert [entry["result"] for entry in entries if entry.get("task") == "logged"] == ["accepted"]
        for secret in (receiver.callback_url.rsplit("/", 1)[1], "an-attackers-guess-1", "of logged"):
            assert secret not in receiver.log.read_text()


@pytest.mark.parametrize("command", [GUNICORN, SERVE], ids=["gunicorn", "serve"])
def test_wrong_settings_stop_the_start_with_one_message(tmp_path: Path, command: Sequence[str]) -> None:
    broken = Deployment(tmp_path, 0, {"WORKERS": "none", "SECRET_KEY": "short"}, command=command)
    assert broken.process.wait(timeout=30) == os.EX_CONFIG
    log = broken.log.read_text()
    broken.session.close()
    assert "RECEIVER_WORKERS: " in log
    assert "RECEIVER_SECRET_KEY: " in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("command", "arguments"),
    [(GUNICORN, "--access-logfile /dev/null --preload"), (SERVE, "--worker-class sync")],
    ids=["gunicorn", "serve"],
)
def test_arguments_of_gunicorn_that_break_a_promise_stop_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Sequence[str], arguments: str
) -> None:
    monkeypatch.setenv("GUNICORN_CMD_ARGS", arguments)
    broken = Deployment(tmp_path, 0, {}, command=command)
    assert broken.process.wait(timeout=30) == os.EX_CONFIG
    log = broken.log.read_text()
    broken.session.close()
    assert f"  {arguments.split(maxsplit=1)[0]}: " in log
    assert "Booting worker" not in log
    assert "Traceback" not in log


def test_tables_of_a_newer_version_stop_the_start_and_are_not_touched(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/receiver.db")
    database.migrate()
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    database.engine.dispose()
    older = Deployment(tmp_path, 0, {})
    assert older.process.wait(timeout=30) == os.EX_CONFIG
    assert "version 9999" in older.log.read_text()
    assert "Traceback" not in older.log.read_text()
    older.session.close()


@pytest.mark.slow
@pytest.mark.parametrize("preload", [False, True])
def test_preloading_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preload: bool) -> None:
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--preload" if preload else "")
    with deployed(tmp_path, WORKERS="2", **FAST) as (receiver,):
        eventually(lambda: receiver.poller["holder"], why="a worker polls")
        assert receiver.holder_pid in workers_of(receiver)
        log = receiver.log.read_text()
        assert log.index("creating the tables") < log.index("Booting"), "a worker may time out"
        assert "warning receiver.store" not in log
        assert requests.post(receiver.callback_url, json=callback("t"), timeout=20).status_code == 200


def exchange(port: int, raw: bytes, *, half_close: bool = False) -> bytes:
    """Send bytes as they are; the answer's status line."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(raw)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        return connection.makefile("rb").readline()


def test_bodies_are_taken_whole_or_not_at_all(tmp_path: Path) -> None:
    body = json.dumps(callback("chunked")).encode()
    with deployed(tmp_path, MAX_BODY_BYTES="1000") as (receiver,):
        head = f"POST /callbacks/{CALLBACK_TOKEN} HTTP/1.1\r\nHost: x\r\n".encode()
        chunked = head + b"Transfer-Encoding: chunked\r\n\r\n"
        chunk = b"%x\r\n%s\r\n" % (len(body), body)
        padding = b"3e8\r\n" + b" " * 1000 + b"\r\n"
        assert b" 200 " in exchange(receiver.port, chunked + chunk + b"0\r\n\r\n")
        assert b" 413 " in exchange(receiver.port, chunked + chunk + padding + b"0\r\n\r\n")
        assert b" 400 " in exchange(receiver.port, chunked + b"zz\r\n")
        assert b" 400 " in exchange(receiver.port, head + b"Content-Length: 900\r\n\r\n{}", half_close=True)
        assert b" 413 " in exchange(receiver.port, head + b"Content-Length: 1001\r\n\r\n" + b" " * 1001)
        assert b" 413 " in exchange(receiver.port, head + b"Content-Length: 4001\r\n\r\n")
        assert receiver.get("/api/quarantine")["deliveries"] == []


@pytest.mark.slow
def test_a_locked_database_is_a_503_in_time_and_heals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--timeout 3")  # less than the callbacks wait
    with deployed(tmp_path) as (receiver,):
        other = sqlite3.connect(tmp_path / "receiver.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        started = time.monotonic()
        answers: list[requests.Response] = []

        def send(number: int) -> None:
            answers.append(
                requests.post(receiver.callback_url, json=callback(f"locked-{number}"), timeout=30)
            )

        senders = [threading.Thread(target=send, args=(number,)) for number in range(8)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        assert {answer.status_code for answer in answers} == {503}
        assert all(answer.headers["Retry-After"] for answer in answers)
        assert time.monotonic() - started < 15, "the upstream would have gone by now"
        other.rollback()
        other.close()
        assert requests.post(receiver.callback_url, json=callback("healed"), timeout=30).status_code == 200
        assert "WORKER TIMEOUT" not in receiver.log.read_text()


@pytest.mark.slow
def test_a_worker_born_while_the_database_is_locked_does_not_stop_the_server(tmp_path: Path) -> None:
    with deployed(tmp_path, WORKERS="2", **FAST) as (receiver,):
        eventually(lambda: receiver.poller["holder"])
        holder = receiver.holder_pid
        other = sqlite3.connect(tmp_path / "receiver.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        os.kill(holder, signal.SIGKILL)
        eventually(lambda: receiver.log.read_text().count("Booting worker") == 3, why="it is replaced")
        other.rollback()
        other.close()
        eventually(lambda: receiver.ready)


def test_a_process_group_with_its_poller_off_never_polls(tmp_path: Path) -> None:
    with deployed(tmp_path, POLLER="off", **FAST) as (receiver,):
        requests.post(f"{receiver.url}/callbacks/an-attackers-guess-1", json=callback("x"), timeout=20)
        # The count reaches the database with the very tick that would have polled.
        eventually(lambda: receiver.get("/api/stats")["deliveries"].get("callback") == {"wrong_token": 1})
        assert receiver.poller["holder"] is None
        assert receiver.poller["state"] == "off"
