"""Honest senders beside an attacker who knows the callback URL: `python -m benchmarks.hostile --minutes 10`.

The real gunicorn on SQLite, with the poller against a simulated upstream. Honest senders register tasks and call back
at a steady pace; the attacker sends the worst bodies that are known, back to back, on some connections, and holds half
requests open on others. In the end it tells what the honest senders were answered, how long they waited, and how much
disk and memory the attacker has cost.
"""

import gzip
import http.client
import itertools
import json
import os
import random
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import requests
from rich.console import Console
from rich.table import Table

from benchmarks.load import ROOT, callback_body, free_address, wait_until_ready
from benchmarks.site import ENVIRONMENT
from receiver.simulator import Simulator, SimulatorServer

TOKEN = ENVIRONMENT["RECEIVER_CALLBACK_TOKENS"]
PATH = f"/callbacks/{TOKEN}"
LIMIT = 1_048_576
TIMEOUT_S = 30
MARKER = "evil-task-id-000"  # in whose place each body gets an id of its own
HALF_REQUEST = f"POST {PATH} HTTP/1.1\r\nHost: receiver\r\nContent-Length: 500\r\n"


def stage(task_id: str, rows: list[Any], kind: str = "complete") -> bytes:
    data = {"callbackType": kind, "task_id": task_id, "data": rows}
    return json.dumps({"code": 200, "msg": "ok", "data": data}, ensure_ascii=False).encode()


def fill(before: str, piece: str, after: str) -> bytes:
    """A body just under the limit, most of it the same piece again and again."""
    room = LIMIT - 64 - len(before.encode()) - len(after.encode())
    return (before + piece * (room // len(piece.encode())) + after).encode()


def marks(task_id: str) -> bytes:
    """A title of combining marks, which are slow to normalize."""
    title = "a" + "\u0315" * 120_000 + "\u0300" * 120_000
    return stage(task_id, [{"id": "a", "title": title, "audio_url": "https://evil.example/1.mp3"}])


def rows(task_id: str) -> bytes:
    return stage(task_id, [{"id": f"{task_id}-{number}"} for number in range(20_000)])


def one_task(task_id: str) -> bytes:
    return stage("one-task", [{"id": task_id, "title": task_id * 40, "prompt": "x" * 16_000}], kind="first")


def keys(task_id: str) -> bytes:
    return json.dumps(
        {"data": {"task_id": task_id}} | {f"{task_id}{number}": 1 for number in range(40_000)}
    ).encode()


def deep(task_id: str) -> bytes:
    return fill(f'{{"data": {{"task_id": "{task_id}", "data": ', "[", "")


def junk(task_id: str) -> bytes:
    return fill(task_id, "<html>", "")


def no_task(task_id: str) -> bytes:
    return fill(f'{{"note": "{task_id}', "x", '"}')


def numbers(task_id: str) -> bytes:
    return fill(f'{{"data": {{"task_id": "{task_id}", "data": [{{"duration": ', "9", "}]}}")


def bomb(_: str) -> bytes:
    return gzip.compress(b" " * 100 * LIMIT)


ATTACKS: dict[str, Callable[[str], bytes]] = {
    "combining marks": marks,
    "20,000 rows": rows,
    "one task again and again": one_task,
    "40,000 keys": keys,
    "nested deeply": deep,
    "not JSON": junk,
    "no task id": no_task,
    "digits": numbers,
    "a gzip bomb": bomb,
    "a small orphan": lambda task_id: stage(
        task_id, [{"id": "a", "audio_url": "https://evil.example/1.mp3"}]
    ),
}


@dataclass
class Answers:
    """What somebody was answered, by status or by what went wrong, and how long each answer took."""

    statuses: Counter[str] = field(default_factory=Counter)
    times_s: list[float] = field(default_factory=list)

    def add(self, status: str, took_s: float) -> None:
        self.statuses[status] += 1
        self.times_s.append(took_s)

    def quantile_ms(self, share: float) -> float:
        ordered = sorted(self.times_s)
        return 1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


class Sender:
    """One connection that is kept open, and opened anew where it was closed."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._connection: http.client.HTTPConnection | None = None

    def post(self, body: bytes, answers: Answers, **headers: str) -> None:
        began = time.monotonic()
        try:
            status = str(self._send(body, headers))
        except (OSError, http.client.HTTPException) as error:
            self._connection = None
            status = type(error).__name__
        answers.add(status, time.monotonic() - began)

    def _send(self, body: bytes, headers: dict[str, str]) -> int:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._address, timeout=TIMEOUT_S)
        self._connection.request("POST", PATH, body, headers)
        answer = self._connection.getresponse()
        answer.read()
        if answer.will_close:
            self._connection = None
        return answer.status


@click.command()
@click.option("--minutes", type=click.FloatRange(min=0.1), default=10.0, show_default=True)
@click.option(
    "--attackers", type=click.IntRange(0), default=4, show_default=True, help="Connections, back to back."
)
@click.option(
    "--half-open", type=click.IntRange(0), default=16, show_default=True, help="Half requests held open."
)
@click.option("--honest", type=click.IntRange(1), default=4, show_default=True, help="Honest connections.")
@click.option(
    "--pace", type=click.FloatRange(min=0.1), default=5.0, show_default=True, help="A second, each."
)
def main(minutes: float, attackers: int, half_open: int, honest: int, pace: float) -> None:
    """Tell whether honest callbacks are answered while somebody does their worst."""
    stop = threading.Event()
    theirs = [Answers() for _ in range(honest)]
    attacks = {name: Answers() for name in ATTACKS}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        upstream = stack.enter_context(
            SimulatorServer(Simulator(api_key=ENVIRONMENT["RECEIVER_UPSTREAM_API_KEY"]))
        )
        server, address = stack.enter_context(_serving(folder, upstream.url))
        workers = [threading.Thread(target=_honest, args=(address, one, pace, stop)) for one in theirs]
        workers += [threading.Thread(target=_attack, args=(address, attacks, stop)) for _ in range(attackers)]
        workers += [threading.Thread(target=_hold_half_open, args=(address, stop)) for _ in range(half_open)]
        for worker in workers:
            worker.start()
        time.sleep(minutes * 60)
        stop.set()
        for worker in workers:
            worker.join()
        memory_mb = _memory_mb(server.pid)
        disk_mb = sum(file.stat().st_size for file in folder.glob("receiver.db*")) / 1e6
    _report(theirs, attacks, disk_mb=disk_mb, memory_mb=memory_mb)


@contextmanager
def _serving(folder: Path, upstream_url: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    address = free_address()
    given = ENVIRONMENT | {
        "RECEIVER_BIND": address,
        "RECEIVER_DATABASE_URL": f"sqlite:///{folder}/receiver.db",
        "RECEIVER_UPSTREAM_URL": upstream_url,
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.conf.py", "wsgi:app"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=os.environ | given, stdout=log, stderr=log)  # noqa: S603  our own
    try:
        wait_until_ready(f"http://{address}/readyz", server)
        yield server, address
    finally:
        server.terminate()
        server.wait()


def _honest(address: str, answers: Answers, pace: float, stop: threading.Event) -> None:
    sender, session, body = Sender(address), requests.Session(), callback_body()
    session.headers["Authorization"] = f"Bearer {ENVIRONMENT['RECEIVER_API_TOKENS']}"
    for number in itertools.count():
        task_id = f"honest-{id(answers)}-{number}"
        with_id = body.replace(b"0" * 32, task_id.encode())
        if number % 4 == 0:
            session.post(f"http://{address}/api/tasks", json={"taskId": task_id}, timeout=TIMEOUT_S)
        sender.post(with_id, answers)
        if stop.wait(random.expovariate(pace)):
            return


def _attack(address: str, attacks: dict[str, Answers], stop: threading.Event) -> None:
    sender = Sender(address)
    bodies = {name: make(MARKER) for name, make in ATTACKS.items()}
    for number in itertools.count():
        name = random.choice(list(ATTACKS))
        headers = {"Content-Encoding": "gzip"} if "gzip" in name else {}
        task_id = f"{threading.get_ident() % 10**8:08}{number:08}".encode()
        sender.post(bodies[name].replace(MARKER.encode(), task_id), attacks[name], **headers)
        if stop.is_set():
            return


def _hold_half_open(address: str, stop: threading.Event) -> None:
    """Half of the headers, or half of the body, for as long as the receiver waits."""
    host, port = address.split(":")
    for number in itertools.count():
        try:
            with socket.create_connection((host, int(port)), timeout=TIMEOUT_S) as connection:
                connection.sendall((HALF_REQUEST + ("\r\nhalf" if number % 2 else "X-Half: ")).encode())
                connection.settimeout(1)
                while not stop.is_set() and _is_open(connection):
                    pass
        except OSError:
            stop.wait(0.2)
        if stop.is_set():
            return


def _is_open(connection: socket.socket) -> bool:
    try:
        return connection.recv(1024) != b""
    except TimeoutError:
        return True


def _memory_mb(master: int) -> float:
    """Of all workers, the largest."""
    children = Path(f"/proc/{master}/task/{master}/children").read_text(encoding="ascii").split()
    pages = [int(Path(f"/proc/{child}/statm").read_text(encoding="ascii").split()[1]) for child in children]
    return max(pages, default=0) * resource.getpagesize() / 1e6


def _report(theirs: list[Answers], attacks: dict[str, Answers], *, disk_mb: float, memory_mb: float) -> None:
    honest = Answers(
        statuses=sum((one.statuses for one in theirs), Counter()),
        times_s=[took for one in theirs for took in one.times_s],
    )
    table = Table("who", "sent", "answered", "median ms", "p99 ms", "longest ms")
    for name, answers in {"honest senders": honest, **attacks}.items():
        told = ", ".join(f"{status} × {count}" for status, count in sorted(answers.statuses.items()))
        times = [f"{answers.quantile_ms(share):.0f}" for share in (0.5, 0.99, 1)]
        table.add_row(name, str(answers.statuses.total()), told, *times)
    console = Console(width=120)
    console.print(table)
    console.print(f"database {disk_mb:.0f} MB, largest worker {memory_mb:.0f} MB")
    failed = honest.statuses.total() - honest.statuses["200"]
    slow = honest.quantile_ms(0.99) > 1000
    console.print(
        json.dumps(
            {
                "honest": honest.statuses.total(),
                "failed": failed,
                "medianMs": round(statistics.median(honest.times_s) * 1000, 1),
                "p99Ms": round(honest.quantile_ms(0.99), 1),
            }
        )
    )
    sys.exit(bool(failed) or slow)


if __name__ == "__main__":
    main()
