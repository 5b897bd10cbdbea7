"""Answers of every kind end in time, in bounded memory, and change nothing for the next call: raw bytes over sockets."""

import gzip
import logging
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from receiver.core.payloads import Trouble
from receiver.upstream.client import PollFailure, PollResponse, UpstreamClient
from receiver.upstream.http_probe import send_probe, time_at
from receiver.upstream.transport import MAX_RESPONSE_BYTES, new_session
from tests.conftest import T0

OK = b"HTTP/1.1 200 OK\r\n"
MOVED = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
TRAILER = CHUNKED + b"2\r\n{}\r\n0\r\n"
LONG = b"Content-Length: 400000000\r\n\r\n"
GOOD = OK + b'Content-Length: 21\r\n\r\n{"code":451,"msg":""}'
TIMEOUT_S = 0.3
SOON_S = 5.0  # far below any answer without a deadline, and enough for a machine with much to do


@dataclass
class RawServer:
    """Answers each request with `start`, then with `again` until the caller leaves."""

    start: bytes = GOOD
    again: bytes = b""
    pause_s: float = 0.02
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    done: threading.Event = field(default_factory=threading.Event)
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections += 1
                threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while request := connection.recv(65536):
                self.requests.append(request)
                connection.sendall(self.start)
                while self.again and not self.done.is_set():
                    connection.sendall(self.again)
                    self.done.wait(self.pause_s) if self.pause_s else None


@pytest.fixture
def serving() -> Iterator[Callable[..., RawServer]]:
    servers: list[RawServer] = []

    def make(start: bytes = GOOD, again: bytes = b"", pause_s: float = 0.02) -> RawServer:
        servers.append(RawServer(start=start, again=again, pause_s=pause_s))
        threading.Thread(target=servers[-1].serve, daemon=True).start()
        return servers[-1]

    yield make
    for server in servers:
        server.done.set()
        with suppress(OSError):
            server.listener.shutdown(socket.SHUT_RDWR)
        server.listener.close()


@pytest.fixture
def client_of() -> Iterator[Callable[..., UpstreamClient]]:
    clients: list[UpstreamClient] = []

    def make(server: RawServer, scheme: str = "http", timeout_s: float = TIMEOUT_S) -> UpstreamClient:
        url = f"{scheme}://127.0.0.1:{server.port}"
        clients.append(UpstreamClient(url=url, api_key="key", timeout_s=timeout_s, concurrency=2))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


TRICKLES = {
    "the status line": (b"", b"H"),
    "the status line's reason": (b"HTTP/1.1 200 ", b"x"),
    "a header's name": (OK, b"x"),
    "a header's value": (OK + b"X: ", b"x"),
    "a folded header": (OK + b"X: y\r\n", b" z"),
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a header of 100 Continue": (b"HTTP/1.1 100 Continue\r\nX: ", b"x"),
    "the body": (OK + LONG, b" "),
    "a body without length": (OK + b"\r\n", b" "),
    "a chunk's length": (CHUNKED, b"0"),
    "a chunk's extension": (CHUNKED + b"5;x=", b"x"),
    "chunks": (CHUNKED, b"1\r\n \r\n"),
    "a trailer": (TRAILER + b"X: ", b"x"),
    "trailers": (TRAILER, b"X: y\r\n"),
    "a gzip header": (OK + b"Content-Encoding: gzip\r\n" + LONG + b"\x1f\x8b\x08\x08\0\0\0\0\0\0", b"x"),
    "empty gzip members": (OK + b"Content-Encoding: gzip\r\n" + LONG, gzip.compress(b"")),
    "a redirect's header": (MOVED + b"X: ", b"x"),
    "a redirect's body": (MOVED + LONG, b"x"),
    "a server error's body": (b"HTTP/1.1 500 No\r\n" + LONG, b"x"),
}


@pytest.mark.parametrize("kind", TRICKLES)
def test_an_answer_that_trickles_in_anywhere_ends_at_the_timeout(
    serving: Callable[..., RawServer], client_of: Callable[..., UpstreamClient], kind: str
) -> None:
    client = client_of(serving(*TRICKLES[kind]))
    began = time.monotonic()
    failure = client.fetch("t", now=T0)
    assert failure == PollFailure(trouble=Trouble.NETWORK, detail="no answer in time")
    assert time.monotonic() - began < SOON_S


def test_a_handshake_that_trickles_in_ends_at_the_timeout(
    serving: Callable[..., RawServer], client_of: Callable[..., UpstreamClient]
) -> None:
    client = client_of(serving(b"\x16\x03\x03\x40\x00", b"\x02"), "https")
    began = time.monotonic()
    assert isinstance(client.fetch("t", now=T0), PollFailure)
    assert time.monotonic() - began < SOON_S


def bomb(*, layers: int = 1, size: int = 48 * 1024 * 1024) -> bytes:
    block, packer = bytes(1024 * 1024), zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join(packer.compress(block) for _ in range(size // len(block))) + packer.flush()
    for _ in range(layers - 1):
        packed = gzip.compress(packed)
    return packed


def packed(head: bytes, encoding: str = "gzip", **more: int) -> tuple[bytes, bytes]:
    body = bomb(**more)
    return head + f"Content-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body, b""


BLOCK = b"x" * 1024 * 1024
FLOODS: dict[str, Callable[[], tuple[bytes, bytes]]] = {
    "a status line": lambda: (b"HTTP/1.1 200 ", BLOCK),
    "a header": lambda: (OK + b"X: ", BLOCK),
    "headers": lambda: (OK, b"X: " + b"y" * 60_000 + b"\r\n"),
    "100 Continue": lambda: (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 4000),
    "a body": lambda: (OK + LONG, BLOCK),
    "a body without length": lambda: (OK + b"\r\n", BLOCK),
    "a chunk": lambda: (CHUNKED + b"fffffff\r\n", BLOCK),
    "a chunk's length": lambda: (CHUNKED, BLOCK),
    "a chunk's extension": lambda: (CHUNKED + b"5;", BLOCK),
    "a trailer": lambda: (TRAILER + b"X: ", BLOCK),
    "trailers": lambda: (TRAILER, b"X: y\r\n" * 4000),
    "a redirect": lambda: (MOVED + LONG, BLOCK),
    "a server error": lambda: (b"HTTP/1.1 500 No\r\n" + LONG, BLOCK),
    "a packed body": lambda: packed(OK),
    "a body packed twice": lambda: packed(OK, "gzip, gzip", layers=2),
    "a packed redirect": lambda: packed(MOVED),
    "a packed server error": lambda: packed(b"HTTP/1.1 500 No\r\n"),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_an_answer_of_any_size_takes_little_memory(
    serving: Callable[..., RawServer], client_of: Callable[..., UpstreamClient], kind: str
) -> None:
    server = serving(*FLOODS[kind](), pause_s=0)
    client = client_of(server, timeout_s=10)
    tracemalloc.start()
    try:
        response = client.fetch("t", now=T0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(response, PollFailure)
    assert response.trouble in (Trouble.NETWORK, Trouble.NOT_RECORD_INFO)
    assert peak < 4 * MAX_RESPONSE_BYTES


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 302 Found\r\nLocation: \xff\xfe\x00http://[\r\n",
        b"HTTP/1.1 301 Moved\r\nLocation: //[::1\r\n",
        b"HTTP/1.1 307 Moved\r\nLocation: \xe2\x82\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n",
        b"HTTP/1.1 200 OK\r\nno header at all\r\n",
        b"HTTP/1.1 200 OK\r\n: nameless\r\n",
        b"HTTP/1.1 200 OK\r\nX\xff\x00: y\r\n",
        b"HTTP/1.1 999 Odd\r\n",
    ],
)
def test_an_odd_head_is_a_failure_that_is_logged_in_one_line(
    serving: Callable[..., RawServer],
    client_of: Callable[..., UpstreamClient],
    caplog: pytest.LogCaptureFixture,
    head: bytes,
) -> None:
    client = client_of(serving(head + b"Content-Length: 2\r\n\r\n{}"))
    with caplog.at_level(logging.WARNING):
        assert isinstance(client.fetch("t", now=T0), PollFailure)
    assert not caplog.records


def test_no_answer_leaves_a_cookie_for_the_next_call(
    serving: Callable[..., RawServer], client_of: Callable[..., UpstreamClient]
) -> None:
    server = serving(
        GOOD.replace(b"Content-Length", b"Set-Cookie: a=b\r\nSet-Cookie: c=d; Path=/\r\nContent-Length")
    )
    client = client_of(server)
    for _ in range(2):
        assert isinstance(client.fetch("t", now=T0), PollResponse)
    assert b"cookie" not in b"".join(server.requests).lower()


def test_calls_that_are_answered_use_one_connection(
    serving: Callable[..., RawServer], client_of: Callable[..., UpstreamClient]
) -> None:
    server = serving()
    client = client_of(server, timeout_s=10)
    for _ in range(3):
        assert client.fetch("t", now=T0) == PollResponse(body=b'{"code":451,"msg":""}')
    assert (server.connections, len(server.requests)) == (1, 3)


def test_what_is_said_to_the_check_trickles_no_longer_than_to_the_poller(
    serving: Callable[..., RawServer],
) -> None:
    server = serving(OK + b"X: ", b"x")
    with new_session(timeout_s=TIMEOUT_S) as session, pytest.raises(OSError, match="timed out"):
        session.head(f"http://127.0.0.1:{server.port}/")
    flood = serving(MOVED + LONG, BLOCK, 0)
    assert send_probe(f"http://127.0.0.1:{flood.port}/").status == 302
    assert time_at(f"http://127.0.0.1:{flood.port}/") is None


# Connecting

ADDRESSES = [f"127.0.0.{number}" for number in range(1, 60)]


def resolver(*addresses: str) -> Callable[..., object]:
    """Stands in for a name server: it names these addresses, whatever it is asked."""
    real = socket.getaddrinfo

    def getaddrinfo(host: str, *args: object, **more: object) -> list[object]:
        hosts = addresses if host == "upstream.example" else (host,)
        return [address for name in hosts for address in real(name, *args, **more)]  # type: ignore[arg-type]

    return getaddrinfo


@pytest.mark.allow_hosts(ADDRESSES)
def test_the_first_address_that_answers_is_taken(
    serving: Callable[..., RawServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serving()
    monkeypatch.setattr(socket, "getaddrinfo", resolver(*reversed(ADDRESSES)))
    client = UpstreamClient(
        url=f"http://upstream.example:{server.port}", api_key="key", timeout_s=10, concurrency=1
    )
    assert isinstance(client.fetch("t", now=T0), PollResponse)
    assert b"Host: upstream.example" in server.requests[0]
    client.close()


@pytest.mark.allow_hosts(ADDRESSES)
def test_many_addresses_that_do_not_answer_take_no_longer_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolver(*ADDRESSES))
    with socket.socket() as full:
        full.bind(("0.0.0.0", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for connection in waiting:
            connection.setblocking(False)
            connection.connect_ex(("127.0.0.1", full.getsockname()[1]))
        url = f"http://upstream.example:{full.getsockname()[1]}"
        client = UpstreamClient(url=url, api_key="key", timeout_s=TIMEOUT_S, concurrency=1)
        began = time.monotonic()
        assert isinstance(client.fetch("t", now=T0), PollFailure)
        assert time.monotonic() - began < SOON_S < TIMEOUT_S * len(ADDRESSES)
        client.close()
        for connection in waiting:
            connection.close()
