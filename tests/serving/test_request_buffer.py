"""When a request is here whole, however its bytes arrive."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.serving.callback_path import wants_body_of
from receiver.serving.request_buffer import (
    MAX_BLANK_LINES,
    MAX_CHUNKS,
    MAX_HEAD_BYTES,
    RequestBuffer,
    Stage,
)

HEAD = b"POST /x HTTP/1.1\r\nHost: x\r\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def new_buffer(*, wants_body: bool = True) -> RequestBuffer:
    return RequestBuffer(max_body=1000, wants_body=lambda _: wants_body)


COMPLETE = {
    "no body": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "empty lines before": b"\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    "a length": HEAD + b"Content-Length: 5\r\n\r\nabcde",
    "a length in odd letters": HEAD + b"CONTENT-length:5 \r\n\r\nabcde",
    "no length at all": HEAD + b"Content-Length: 0\r\n\r\n",
    "the longest body": HEAD + b"Content-Length: 1000\r\n\r\n" + b"x" * 1000,
    "chunks": CHUNKED + b"5\r\nabcde\r\n3;name=value\r\nfgh\r\n0\r\n\r\n",
    "chunks in upper case": HEAD + b"Transfer-Encoding: CHUNKED\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
    "chunks with a trailer": CHUNKED + b"1\r\na\r\n0\r\nName: value\r\n\r\n",
}
INCOMPLETE = {
    "too long": HEAD + b"Content-Length: 1001\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde",
    "a negative length": HEAD + b"Content-Length: -5\r\n\r\n",
    "a length with a sign": HEAD + b"Content-Length: +5\r\n\r\n",
    "a length in words": HEAD + b"Content-Length: five\r\n\r\n",
    "an endless length": HEAD + b"Content-Length: " + b"9" * 400 + b"\r\n\r\n",
    "a length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "an unknown coding": HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
    "two codings": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "no size of a chunk": CHUNKED + b"zz\r\n",
    "a size with a sign": CHUNKED + b"-5\r\n",
    "a size as Python writes it": CHUNKED + b"0x5\r\n",
    "a size without end": CHUNKED + b"0" * 5000,
    "a trailer without end": CHUNKED + b"0\r\n" + b"a" * 5000,
    "more in chunks than may be": CHUNKED + b"3e8\r\n" + b" " * 1000 + b"\r\n1\r\na\r\n",
    "a chunk of more than may be": CHUNKED + b"ffffffffffffffff\r\n" + b" " * 1001,
}
WAITING = {
    "nothing": b"",
    "a line": b"POST /x HTTP/1.1\r\n",
    "half a body": HEAD + b"Content-Length: 5\r\n\r\nabc",
    "half a chunk": CHUNKED + b"5\r\nabc",
    "no end of chunks": CHUNKED + b"5\r\nabcde\r\n",
    "half of the end": CHUNKED + b"5\r\nabcde\r\n0\r\n",
    "an enormous chunk that has begun": CHUNKED + b"ffffffffffffffff\r\n",
}


@pytest.mark.parametrize("name", COMPLETE)
@pytest.mark.parametrize("step", [1, 2, 7, 100_000])
def test_a_request_is_complete_with_its_last_byte(name: str, step: int) -> None:
    request, buffer = COMPLETE[name], new_buffer()
    for place in range(0, len(request), step):
        assert buffer.stage is not Stage.READY, "before its end"
        buffer.feed(request[place : place + step])
    assert (buffer.stage, buffer.complete) == (Stage.READY, True)
    assert buffer.take() == request.lstrip(b"\r\n")


@pytest.mark.parametrize("name", INCOMPLETE)
@pytest.mark.parametrize("step", [1, 100_000])
def test_what_cannot_be_waited_for_is_handed_on_and_its_connection_is_over(name: str, step: int) -> None:
    request, buffer = INCOMPLETE[name], new_buffer()
    for place in range(0, len(request), step):
        buffer.feed(request[place : place + step])
    assert (buffer.stage, buffer.complete) == (Stage.READY, False)


@pytest.mark.parametrize("name", WAITING)
def test_half_a_request_is_waited_for(name: str) -> None:
    assert new_buffer().feed(WAITING[name]) in (Stage.HEAD, Stage.BODY)


def test_a_head_without_end_is_refused() -> None:
    buffer = new_buffer()
    while buffer.feed(b"X: " + b"a" * 1000 + b"\r\n") is Stage.HEAD:
        assert len(buffer) <= MAX_HEAD_BYTES
    assert buffer.stage is Stage.HEAD_TOO_LARGE


@pytest.mark.parametrize("step", [1, 2, 3, 64, 100_000])
@pytest.mark.parametrize("tail", [b"", b"\r", REQUEST])
def test_more_blank_lines_than_a_few_are_refused_however_they_come(step: int, tail: bytes) -> None:
    flood, buffer = b"\r\n" * (MAX_BLANK_LINES + 1) + tail, new_buffer()
    for place in range(0, len(flood), step):
        if buffer.feed(flood[place : place + step]) is not Stage.HEAD:
            break
    assert buffer.stage is Stage.NO_REQUEST


@pytest.mark.parametrize("step", [1, 3, 100_000])
def test_a_few_blank_lines_are_no_part_of_a_request(step: int) -> None:
    request, buffer = b"\r\n" * MAX_BLANK_LINES + REQUEST, new_buffer()
    for place in range(0, len(request), step):
        buffer.feed(request[place : place + step])
    assert (buffer.stage, buffer.take()) == (Stage.READY, REQUEST)


def test_a_flood_of_blank_lines_costs_one_step() -> None:
    flood, began = b"\r\n" * 4_000_000, time.process_time()
    assert new_buffer().feed(flood) is Stage.NO_REQUEST
    assert time.process_time() - began < 0.1


@pytest.mark.parametrize("lines", [b"\r", b"\r\r", b"\n", b"\n\r", b"\r\n\r", b"\r\n\n"])
def test_what_is_only_like_a_blank_line_counts_as_a_head(lines: bytes) -> None:
    buffer = new_buffer()
    while buffer.feed(lines + b"x" * 1000) is Stage.HEAD:
        assert len(buffer) <= MAX_HEAD_BYTES
    assert buffer.stage is Stage.HEAD_TOO_LARGE


def test_crumbs_are_not_collected_for_ever() -> None:
    buffer = RequestBuffer(max_body=10**9, wants_body=lambda _: True)
    buffer.feed(CHUNKED)
    buffer.feed(b"1\r\na\r\n" * (MAX_CHUNKS + 1))
    assert (buffer.stage, buffer.complete) == (Stage.READY, False)


def test_a_body_that_nobody_wants_is_not_waited_for() -> None:
    buffer = new_buffer(wants_body=False)
    buffer.feed(HEAD + b"Content-Length: 5\r\n\r\nab")
    assert (buffer.stage, buffer.complete) == (Stage.READY, False)
    whole = new_buffer(wants_body=False)
    whole.feed(HEAD + b"Content-Length: 2\r\n\r\nab")
    assert whole.complete


def test_who_asks_whether_to_go_on_is_answered_here_and_not_again() -> None:
    buffer = new_buffer()
    buffer.feed(HEAD + b"Content-Length: 5\r\nExpect: 100-continue\r\nA: b\r\n\r\n")
    assert (buffer.stage, buffer.asks_to_continue) == (Stage.BODY, True)
    assert buffer.feed(b"abcde") is Stage.READY
    assert buffer.take() == HEAD + b"Content-Length: 5\r\nA: b\r\n\r\nabcde"
    at_once = new_buffer()
    at_once.feed(HEAD + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\nab")
    assert (at_once.complete, at_once.asks_to_continue) == (True, False)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_any_bytes_are_taken(pieces: list[bytes]) -> None:
    buffer = new_buffer()
    for piece in [HEAD, *pieces]:
        buffer.feed(piece)
    assert len(buffer) <= MAX_HEAD_BYTES + len(HEAD) + 300


TOKENS = ("token-00000000001", "token-00000000002")


@pytest.mark.parametrize(
    ("line", "wants_body"),
    [
        (b"POST /callbacks/token-00000000001 HTTP/1.1", True),
        (b"POST /callbacks/token-00000000002/ HTTP/1.1", True),
        (b"POST /callbacks/token-00000000002/submission HTTP/1.1", True),
        (b"POST //callbacks//token-00000000001?orderId=1 HTTP/1.1", True),
        (b"POST /callbacks/token%2D00000000001 HTTP/1.1", True),
        (b"POST /callbacks/token-0000000000 HTTP/1.1", False),
        (b"POST /callbacks/token-000000000010 HTTP/1.1", False),
        (b"PUT /callbacks/x?token-00000000001 HTTP/1.1", False),
        (b"POST /callbacks/\xff\xfe HTTP/1.1", False),
        (b"POST /api/tasks HTTP/1.1", True),
        (b"POST /admin/sign-in HTTP/1.1", True),
        (b"junk", True),
        (b"", True),
    ],
)
def test_the_body_for_a_callback_address_that_does_not_exist_is_not_wanted(
    line: bytes, wants_body: bool
) -> None:
    assert wants_body_of(TOKENS)(line + b"\r\n\r\n") is wants_body
