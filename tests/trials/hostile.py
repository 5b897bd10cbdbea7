"""Honest senders beside an attacker who knows the callback URL: `python -m tests.trials.hostile --minutes 10`.

The real gunicorn on SQLite, with the poller against a simulated upstream. Honest senders register tasks and call back
at a steady pace; the attacker sends the worst bodies that are known, back to back, on some connections, and holds half
requests open on others. In the end it tells what the honest senders were answered, how long they waited, and how much
disk and memory the attacker has cost.
"""

import gzip
import http.client
import itertools
import json
import random
import resource
import socket
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import requests
from rich.console import Console
from rich.table import Table

from benchmarks.generations import complete_callback
from receiver.simulator import Simulator, SimulatorServer
from tests.servers.processes import API_TOKEN, CALLBACK_TOKEN, Deployment, deployed

PATH = f"/callbacks/{CALLBACK_TOKEN}"
LIMIT = 1_048_576
HOST, TIMEOUT_S = "127.0.0.1", 30
SLOW_MS = 1000
MARKER = "evil-task-id-000"  # in whose place each body gets an id of its own
HALF_REQUEST = f"POST {PATH} HTTP/1.1\r\nHost: receiver\r\nContent-Length: 500\r\n"


def stage(task_id: str, rows: list[Any], kind: str = "complete") -> bytes:
    data = {"callbackType": kind, "task_id": task_id, "data": rows}
    return json.dumps({"code": 200, "msg": "ok", "data": data}, ensure_ascii=False).encode()


def fill(before: str, piece: str, after: str = "") -> bytes:
    """A body just under the limit, most of it the same piece again and again."""
    room = LIMIT - 64 - len(before.encode()) - len(after.encode())
    return (before + piece * (room // len(piece.encode())) + after).encode()


ORPHAN = {"id": "a", "audio_url": "https://evil.example/1.mp3"}
SLOW_TITLE = "a" + "\u0315" * 120_000 + "\u0300" * 120_000  # combining marks are slow to normalize
MANY_KEYS = {"data": {"task_id": MARKER}} | {f"{MARKER}{number}": 1 for number in range(40_000)}
ATTACKS = {
    "combining marks": stage(MARKER, [ORPHAN | {"title": SLOW_TITLE}]),
    "20,000 rows": stage(MARKER, [{"id": f"{MARKER}-{number}"} for number in range(20_000)]),
    "one task again and again": stage(
        "one-task", [{"id": MARKER, "title": MARKER * 40, "prompt": "x" * 16_000}], kind="first"
    ),
    "40,000 keys": json.dumps(MANY_KEYS).encode(),
    "nested deeply": fill(f'{{"data": {{"task_id": "{MARKER}", "data": ', "["),
    "not JSON": fill(MARKER, "<html>"),
    "no task id": fill(f'{{"note": "{MARKER}', "x", '"}'),
    "digits": fill(f'{{"data": {{"task_id": "{MARKER}", "data": [{{"duration": ', "9", "}]}}"),
    "a gzip bomb": gzip.compress(b" " * 100 * LIMIT),
    "a small orphan": stage(MARKER, [ORPHAN]),
}


@dataclass
class Responses:
    """What somebody got, by status or by what went wrong, and how long each response took."""

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

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: http.client.HTTPConnection | None = None

    def post(self, body: bytes, responses: Responses, **headers: str) -> None:
        began = time.monotonic()
        try:
            status = str(self._send(body, headers))
        except (OSError, http.client.HTTPException) as error:
            self._connection = None
            status = type(error).__name__
        responses.add(status, time.monotonic() - began)

    def _send(self, body: bytes, headers: dict[str, str]) -> int:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(HOST, self._port, timeout=TIMEOUT_S)
        self._connection.request("POST", PATH, body, headers)
        response = self._connection.getresponse()
        response.read()
        if response.will_close:
            self._connection = None
        return response.status


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
    theirs = [Responses() for _ in range(honest)]
    attacks = {name: Responses() for name in ATTACKS}
    simulator = Simulator(api_key="upstream-key")
    with (
        TemporaryDirectory() as name,
        SimulatorServer(simulator) as upstream,
        deployed(Path(name), UPSTREAM_URL=upstream.url) as (receiver,),
    ):
        workers = [
            threading.Thread(target=_honest, args=(receiver, responses, pace, stop)) for responses in theirs
        ]
        workers += [
            threading.Thread(target=_attack, args=(receiver, attacks, stop)) for _ in range(attackers)
        ]
        workers += [threading.Thread(target=_hold_half_open, args=(receiver, stop)) for _ in range(half_open)]
        for worker in workers:
            worker.start()
        time.sleep(minutes * 60)
        stop.set()
        for worker in workers:
            worker.join()
        memory_mb = max(map(_memory_mb, receiver.worker_pids))
        disk_mb = sum(file.stat().st_size for file in Path(name).glob("receiver.db*")) / 1e6
    _report(theirs, attacks, disk_mb=disk_mb, memory_mb=memory_mb)


def _honest(receiver: Deployment, responses: Responses, pace: float, stop: threading.Event) -> None:
    sender, session = Sender(receiver.port), requests.Session()
    session.headers["Authorization"] = f"Bearer {API_TOKEN}"
    for number in itertools.count():
        task_id = f"honest-{id(responses)}-{number}"
        if number % 4 == 0:
            session.post(f"{receiver.url}/api/tasks", json={"taskId": task_id}, timeout=TIMEOUT_S)
        sender.post(complete_callback(task_id), responses)
        if stop.wait(random.expovariate(pace)):
            return


def _attack(receiver: Deployment, attacks: dict[str, Responses], stop: threading.Event) -> None:
    sender = Sender(receiver.port)
    for number in itertools.count():
        name = random.choice(list(ATTACKS))
        headers = {"Content-Encoding": "gzip"} if "gzip" in name else {}
        task_id = f"{threading.get_ident() % 10**8:08}{number:08}".encode()
        sender.post(ATTACKS[name].replace(MARKER.encode(), task_id), attacks[name], **headers)
        if stop.is_set():
            return


def _hold_half_open(receiver: Deployment, stop: threading.Event) -> None:
    """Half of the headers, or half of the body, for as long as the receiver waits."""
    for number in itertools.count():
        try:
            with socket.create_connection((HOST, receiver.port), timeout=TIMEOUT_S) as connection:
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


def _memory_mb(pid: int) -> float:
    pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * resource.getpagesize() / 1e6


def _report(
    theirs: list[Responses], attacks: dict[str, Responses], *, disk_mb: float, memory_mb: float
) -> None:
    honest = Responses(
        statuses=sum((responses.statuses for responses in theirs), Counter()),
        times_s=[took_s for responses in theirs for took_s in responses.times_s],
    )
    table = Table("who", "sent", "responses", "median ms", "p99 ms", "longest ms")
    for name, responses in {"honest senders": honest, **attacks}.items():
        statuses = ", ".join(f"{status} × {count}" for status, count in sorted(responses.statuses.items()))
        times = [f"{responses.quantile_ms(share):.0f}" for share in (0.5, 0.99, 1)]
        table.add_row(name, str(responses.statuses.total()), statuses, *times)
    console = Console(width=120)
    console.print(table)
    console.print(f"database {disk_mb:.0f} MB, largest worker {memory_mb:.0f} MB")
    failed = honest.statuses.total() - honest.statuses["200"]
    sys.exit(bool(failed) or honest.quantile_ms(0.99) > SLOW_MS)


if __name__ == "__main__":
    main()
