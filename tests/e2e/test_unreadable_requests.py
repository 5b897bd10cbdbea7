"""What never gets to the application is answered by the real command as the application answers: with a problem."""

import json
import socket
from collections.abc import Iterator
from http.client import HTTPResponse
from urllib.parse import quote

import pytest

from receiver.web.error_types import ErrorType
from tests.conftest import API_TOKEN, CALLBACK_TOKEN
from tests.servers.processes import Deployment, deployed

CALLBACK = f"POST /callbacks/{CALLBACK_TOKEN} HTTP/1.1\r\nHost: x\r\n".encode()
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
REFUSED = {
    "no HTTP": (b"junk\r\n\r\n", 400),
    "TLS on a plain port": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "no version": (b"GET /healthz\r\n\r\n", 400),
    "another version": (b"GET /healthz HTTP/3.0\r\n\r\n", 400),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "a method in small letters": (b"get /healthz HTTP/1.1\r\n\r\n", 400),
    "letters outside of ASCII": ("GET /healthz/é HTTP/1.1\r\n\r\n".encode(), 400),
    "a line that ends otherwise": (b"GET /healthz HTTP/1.1\nHost: x\r\n\r\n", 400),
    "a line too long": (b"GET /healthz?" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
    "only blank lines": (b"\r\n" * 2000, 400),
    "no name of a header": (GET + b": x\r\n\r\n", 400),
    "a header without a value": (GET + b"nothing\r\n\r\n", 400),
    "a header in two lines": (GET + b"X: a\r\n b\r\n\r\n", 400),
    "NUL in a header": (GET + b"X: a\0b\r\n\r\n", 400),
    "two hosts": (GET + b"Host: y\r\n\r\n", 400),
    "a header too large": (GET + b"X: " + b"a" * 9000 + b"\r\n\r\n", 431),
    "too many headers": (GET + b"X: a\r\n" * 200 + b"\r\n", 431),
    "a head without end": (GET + b"X: aaaaaaaa\r\n" * 10_000, 431),
    "an expectation nobody knows": (CALLBACK + b"Expect: a miracle\r\n\r\n", 417),
    "no length": (CALLBACK + b"Content-Length: abc\r\n\r\n", 400),
    "a negative length": (CALLBACK + b"Content-Length: -1\r\n\r\n", 400),
    "a length with a sign": (CALLBACK + b"Content-Length: +1\r\n\r\nx", 400),
    "two lengths": (CALLBACK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400),
    "a length and chunks": (CALLBACK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "a coding nobody knows": (CALLBACK + b"Transfer-Encoding: magic\r\n\r\n", 501),
    **{
        f"more than chunks: {coding!r}": (CALLBACK + b"Transfer-Encoding: %b\r\n\r\n" % coding, 501)
        for coding in (
            b"gzip, chunked",
            b"deflate,chunked",
            b"compress, chunked",
            b"identity, chunked",
            b"GZIP\t, Chunked",
            b"chunked,",
            b"chunked;q=1",
            b"gzip\r\nTransfer-Encoding: chunked",
            b"gzip, chunked\r\n\r\n2\r\n{}\r\n0",
        )
    },
    "a coding without chunks": (CALLBACK + b"Transfer-Encoding: gzip\r\n\r\n", 400),
    "chunks of HTTP/1.0": (
        CALLBACK.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    **{
        f"no size of a chunk for {path}": (
            b"POST %s HTTP/1.1\r\nHost: x\r\n" % path.encode()
            + b"Authorization: Bearer %s\r\nContent-Type: %s\r\n" % (API_TOKEN.encode(), media_type)
            + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
            400,
        )
        for path, media_type in (
            (f"/callbacks/{CALLBACK_TOKEN}", b"application/json"),
            ("/api/tasks", b"application/json"),
        )
    },
}


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("unreadable"), WORKERS="1", POLLER="off") as (running,):
        yield running


def ask(receiver: Deployment, raw: bytes, *, ends: bool = False) -> HTTPResponse:
    """The one answer to these bytes, after which the connection is closed. With `ends` no more can come."""
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=20) as connection:
        connection.sendall(raw)
        if ends:
            connection.shutdown(socket.SHUT_WR)
        answer = HTTPResponse(connection)
        answer.begin()
        answer.body = answer.read()  # type: ignore[attr-defined]
        assert connection.recv(1) == b""
    return answer


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_read_is_answered_as_a_problem_without_quoting_it(
    receiver: Deployment, kind: str
) -> None:
    raw, status = REFUSED[kind]
    answer = ask(receiver, raw)
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
    problem = json.loads(answer.body)  # type: ignore[attr-defined]
    assert list(problem) == ["title", "status", "detail", "type"]
    [error] = [error for error in ErrorType if error.uri == problem["type"]]
    assert (problem["status"], problem["title"], error.status) == (status, error.title, status)
    assert "`" not in problem["detail"]
    assert CALLBACK_TOKEN not in str(problem)
    log = receiver.log.read_text()
    assert CALLBACK_TOKEN not in log
    own_id = answer.headers["X-Request-Id"]
    assert f"request={own_id}" in log or (own_id and kind == "no size of a chunk for /api/tasks")
    assert not receiver.get("/api/quarantine")["deliveries"], "nothing is stored"


@pytest.mark.parametrize("path", [f"/callbacks/{CALLBACK_TOKEN}", "/api/tasks"])
def test_a_body_that_ends_early_is_refused_though_what_came_could_be_read(
    receiver: Deployment, path: str
) -> None:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_TOKEN}\r\nContent-Length: 50\r\n\r\n"
    )
    answer = ask(receiver, head.encode() + b'{"taskId": "a"}', ends=True)
    assert (answer.status, json.loads(answer.body)["type"]) == (400, "/docs#body-incomplete")  # type: ignore[attr-defined]
    assert not receiver.get("/api/tasks")["tasks"]


@pytest.mark.parametrize("letter", ["a", "é", "語", "🎵"])
def test_the_longest_search_fits_in_any_alphabet(receiver: Deployment, letter: str) -> None:
    head = f"GET /api/tasks?q={quote(letter * 500)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    answer = ask(receiver, f"{head}Authorization: Bearer {API_TOKEN}\r\n\r\n".encode())
    assert answer.status == 200
