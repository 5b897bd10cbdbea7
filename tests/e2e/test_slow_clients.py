"""Without a proxy: clients that send half of a request, or read half of an answer, keep nobody waiting."""

import json
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests

from receiver.serving import worker
from tests.conftest import API_TOKEN, CALLBACK_TOKEN, eventually
from tests.servers.processes import Deployment, deployed

SMALL = {"WORKERS": "1", "THREADS": "4", "POLLER": "off"}
PATHS = (f"/callbacks/{CALLBACK_TOKEN}", "/callbacks/an-attackers-guess-1", "/api/tasks", "/admin/sign-in")
LONG = b"Content-Length: 100000\r\nContent-Type: application/json\r\n"
KINDS = {
    "nothing": b"",
    "half a line": b"POST /callb",
    "half the headers": b"POST %s HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    "half a body": b"POST %s HTTP/1.1\r\nHost: x\r\n" + LONG + b'\r\n{"code": ',
    "half a chunk": b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n ",
    "no sign to go on": b"POST %s HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n" + LONG + b"\r\n",
}


def callback(task_id: str) -> dict[str, object]:
    return {"code": 200, "data": {"callbackType": "text", "task_id": task_id, "data": [{"id": "a"}]}}


class Drip:
    """So many connections of this kind, each of which sends a byte a second and comes again when it is cut off."""

    def __init__(self, port: int, kind: bytes, count: int, paths: tuple[str, ...]) -> None:
        self.cut_off = 0
        self.ages: list[float] = []
        self._port, self._kind, self._paths = port, kind, paths
        self._waiting = selectors.DefaultSelector()
        self._stop = threading.Event()
        for number in range(count):
            self._connect(number)
        self._thread = threading.Thread(target=self._drip)
        self._thread.start()

    def _connect(self, number: int) -> None:
        path = self._paths[number % len(self._paths)].encode()
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=20)
        connection.sendall(self._kind.replace(b"%s", path))
        connection.setblocking(False)
        self._waiting.register(connection, selectors.EVENT_READ, (number, time.monotonic()))

    def _drip(self) -> None:
        while not self._stop.wait(1):
            for key in list(self._waiting.get_map().values()):
                if not self._alive(key.fileobj):  # type: ignore[arg-type]
                    number, since = key.data
                    self.cut_off += 1
                    self.ages.append(time.monotonic() - since)
                    self._close(key.fileobj)  # type: ignore[arg-type]
                    self._connect(number)

    def _alive(self, connection: socket.socket) -> bool:
        try:
            if self._kind:
                connection.send(b"x")
            while data := connection.recv(4096):
                if b" 100 " not in data:
                    return False
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _close(self, connection: socket.socket) -> None:
        self._waiting.unregister(connection)
        connection.close()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        for key in list(self._waiting.get_map().values()):
            self._close(key.fileobj)  # type: ignore[arg-type]


@contextmanager
def dripping(port: int, kind: str, count: int, *, paths: tuple[str, ...] = PATHS) -> Iterator[Drip]:
    drip = Drip(port, KINDS[kind], count, paths)
    try:
        yield drip
    finally:
        drip.stop()


def send_honestly(receiver: Deployment, name: str, count: int) -> list[float]:
    """The seconds that each callback took, all of which were answered 200."""
    took = []
    for number in range(count):
        began = time.monotonic()
        answer = requests.post(receiver.callback_url, json=callback(f"{name}-{number}"), timeout=20)
        took.append(time.monotonic() - began)
        assert answer.status_code == 200
    return took


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("slow"), **SMALL) as (running,):
        yield running


@pytest.mark.parametrize("kind", KINDS)
def test_more_half_requests_than_threads_delay_no_callback(receiver: Deployment, kind: str) -> None:
    with dripping(receiver.port, kind, 64):
        took = send_honestly(receiver, kind.replace(" ", "-"), 40)
        assert max(took) < 2, f"{kind}: {max(took):.2f} s"


LIMITS_S = {"half the headers": worker.HEAD_S, "half a body": worker.BODY_S}


@pytest.mark.slow
@pytest.mark.longest
def test_half_a_request_is_cut_off_in_time(receiver: Deployment) -> None:
    with ExitStack() as both:
        drips = {
            kind: both.enter_context(dripping(receiver.port, kind, 8, paths=PATHS[:1])) for kind in LIMITS_S
        }
        eventually(
            lambda: all(drip.cut_off >= 8 for drip in drips.values()), within_s=max(LIMITS_S.values()) + 8
        )
        send_honestly(receiver, "meanwhile", 1)
    for kind, limit_s in LIMITS_S.items():
        assert limit_s - 1 < min(drips[kind].ages) <= max(drips[kind].ages) < limit_s + 8


def raw(receiver: Deployment, request: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", receiver.port), timeout=20)
    connection.sendall(request)
    return connection


def test_a_wrong_token_is_refused_before_its_body_is_here(receiver: Deployment) -> None:
    head = b"POST /callbacks/an-attackers-guess-1 HTTP/1.1\r\nHost: x\r\n"
    for framing in (b"Content-Length: 200000\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\nFFFF\r\n{"):
        with raw(receiver, head + framing) as connection:
            answer = connection.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b"Connection: close" in answer


def test_two_requests_in_one_packet_and_one_and_a_half_are_each_answered(receiver: Deployment) -> None:
    body = json.dumps(callback("piped")).encode()
    head = f"POST /callbacks/{CALLBACK_TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    request_bytes = head.encode() + body
    with (
        raw(receiver, request_bytes + request_bytes + request_bytes[:-10]) as connection,
        connection.makefile("rb") as answers,
    ):
        for _ in range(2):
            assert answers.readline().startswith(b"HTTP/1.1 200 ")
            length = next(int(line[15:]) for line in answers if line.lower().startswith(b"content-length"))
            while answers.readline() != b"\r\n":
                pass
            answers.read(length)
        connection.sendall(request_bytes[-10:])
        assert answers.readline().startswith(b"HTTP/1.1 200 ")


def test_what_follows_a_body_that_is_not_read_is_never_taken_for_a_request(receiver: Deployment) -> None:
    hidden = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    for head in (b"POST /callbacks/an-attackers-guess-1", f"POST /callbacks/{CALLBACK_TOKEN}".encode()):
        request = head + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n" + hidden * 3
        with raw(receiver, request) as connection:
            assert connection.makefile("rb").read().count(b"HTTP/1.1 ") == 1


def test_who_never_closes_a_connection_that_is_over_delays_nobody(receiver: Deployment) -> None:
    request = b"GET /healthz HTTP/1.0\r\n\r\n"
    held = [raw(receiver, request) for _ in range(64)]
    try:
        assert max(send_honestly(receiver, "lingering", 20)) < 2
    finally:
        for connection in held:
            connection.close()


@pytest.mark.slow
def test_who_does_not_read_the_answer_keeps_no_thread_for_long(receiver: Deployment) -> None:
    lyrics = [{"id": str(number), "prompt": "la " * 5000} for number in range(12)]
    for number in range(40):
        body = {"code": 200, "data": {"callbackType": "text", "task_id": f"large-{number}", "data": lyrics}}
        assert requests.post(receiver.callback_url, json=body, timeout=20).status_code == 200
    request = (
        f"GET /api/tasks?limit=200 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_TOKEN}\r\n\r\n".encode()
    )
    held = []
    for _ in range(4):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", receiver.port))
        connection.sendall(request)
        held.append(connection)
    try:
        assert max(send_honestly(receiver, "unread", 20)) < worker.SEND_S + 4
    finally:
        for connection in held:
            connection.close()


@pytest.mark.slow
def test_a_server_that_stops_does_not_wait_for_half_requests(tmp_path: Path) -> None:
    with deployed(tmp_path, **SMALL) as (receiver,):
        held = [
            raw(receiver, kind.replace(b"%s", PATHS[0].encode())) for kind in (b"", b"") for _ in range(8)
        ]
        began = time.monotonic()
        assert receiver.stop() == 0
        assert time.monotonic() - began < 9, "half requests held it up"
        for connection in held:
            connection.close()
