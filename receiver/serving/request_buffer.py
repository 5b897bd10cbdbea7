"""One request while it arrives: how much of it is here, and whether it may be handed on. Pure.

It only decides when to hand on; what a request says is read, and refused, by gunicorn. So whatever is odd is handed on
at once, marked as incomplete: its connection is closed after the answer.
"""

import re
from collections.abc import Callable
from enum import Enum, auto

MAX_HEAD_BYTES = 64 * 1024
MAX_BLANK_LINES = 32
MAX_CHUNK_LINE = 4 * 1024
MAX_CHUNKS = 16_384
BLANK_LINES = re.compile(
    rb"(?:\r\n){0,%d}" % (MAX_BLANK_LINES + 1)
)  # allowed before a request, and no part of it
END_OF_HEAD = b"\r\n\r\n"
LENGTH = re.compile(rb"[0-9]{1,18}")
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?")
EXPECT = re.compile(rb"\r\nExpect:[ \t]*100-continue[ \t]*(?=\r\n)", re.IGNORECASE)


class Stage(Enum):
    HEAD = auto()
    BODY = auto()
    READY = auto()
    HEAD_TOO_LARGE = auto()
    NO_REQUEST = auto()


class RequestBuffer:
    """`wants_body` says by the request's head whether its body is worth waiting for."""

    def __init__(self, *, max_body: int, wants_body: Callable[[bytes], bool]) -> None:
        self.stage = Stage.HEAD
        self.complete = False
        self.asks_to_continue = False
        self._bytes = bytearray()
        self._max_body = max_body
        self._wants_body = wants_body
        self._searched = 0
        self._blank_lines = 0
        self._needed: int | None = None  # bytes of head and body together; None: it comes in chunks
        self._chunk_at = 0
        self._chunks = 0
        self._decoded = 0

    def __len__(self) -> int:
        return len(self._bytes)

    def feed(self, data: bytes) -> Stage:
        self._bytes += data
        if self.stage is Stage.HEAD:
            self._look_for_head()
        if self.stage is Stage.BODY:
            self._look_for_end()
        return self.stage

    def take(self) -> bytes:
        """All bytes that are here, once."""
        taken, self._bytes = bytes(self._bytes), bytearray()
        return taken

    def _look_for_head(self) -> None:
        self._drop_blank_lines()
        if self._blank_lines > MAX_BLANK_LINES:
            self.stage = Stage.NO_REQUEST
            return
        end = self._bytes.find(END_OF_HEAD, max(self._searched - len(END_OF_HEAD), 0))
        self._searched = len(self._bytes)
        if max(end, 0 if end >= 0 else len(self._bytes)) > MAX_HEAD_BYTES:
            self.stage = Stage.HEAD_TOO_LARGE
        elif end >= 0:
            self._begin_body(end + len(END_OF_HEAD))

    def _drop_blank_lines(self) -> None:
        """In one step: to move all bytes for each line of a flood would keep the loop from everybody else."""
        found = BLANK_LINES.match(self._bytes)
        blank = found.end() if found else 0
        if blank:
            del self._bytes[:blank]
            self._blank_lines += blank // 2
            self._searched = 0

    def _begin_body(self, head_bytes: int) -> None:
        head = bytes(self._bytes[:head_bytes])
        lengths, codings = _headers(head, b"content-length"), _headers(head, b"transfer-encoding")
        chunked = not lengths and [coding.lower() for coding in codings] == [b"chunked"]
        framed = not codings and (not lengths or (len(lengths) == 1 and LENGTH.fullmatch(lengths[0])))
        length = int(lengths[0]) if framed and lengths else 0
        if not (chunked or framed) or length > self._max_body:
            self.stage = Stage.READY
            return
        self._needed = None if chunked else head_bytes + length
        self._chunk_at = head_bytes
        self.stage = Stage.BODY
        self._look_for_end()
        if self.stage is not Stage.BODY:
            return
        if not self._wants_body(head):
            self.stage = Stage.READY
            return
        self._note_expectation(head)

    def _note_expectation(self, head: bytes) -> None:
        """Whoever asks whether to go on is answered while the body is waited for, and so not again later."""
        without = EXPECT.sub(b"", head)
        if without != head and b" HTTP/1.1\r\n" in head:
            self.asks_to_continue = True
            self._bytes[: len(head)] = without
            self._chunk_at -= len(head) - len(without)
            if self._needed is not None:
                self._needed -= len(head) - len(without)

    def _look_for_end(self) -> None:
        if self._needed is None:
            self._walk_chunks()
        elif len(self._bytes) >= self._needed:
            self._end(complete=True)

    def _walk_chunks(self) -> None:
        while True:
            end = self._bytes.find(b"\r\n", self._chunk_at, self._chunk_at + MAX_CHUNK_LINE)
            if end < 0:
                if len(self._bytes) - self._chunk_at >= MAX_CHUNK_LINE:
                    self._end(complete=False)
                return
            size = CHUNK_SIZE.fullmatch(self._bytes, self._chunk_at, end)
            if not size:
                self._end(complete=False)
                return
            length = int(size[1], 16)
            if length == 0:
                self._look_for_trailer(end + 2)
                return
            here = len(self._bytes) - (end + 2)
            if self._decoded + min(length, here) > self._max_body or self._chunks == MAX_CHUNKS:
                self._end(complete=False)
                return
            if here < length + 2:
                return
            self._chunks += 1
            self._decoded += length
            self._chunk_at = end + 2 + length + 2

    def _look_for_trailer(self, start: int) -> None:
        if self._bytes.startswith(b"\r\n", start) or self._bytes.find(END_OF_HEAD, start) >= 0:
            self._end(complete=True)
        elif len(self._bytes) - start > MAX_CHUNK_LINE:
            self._end(complete=False)

    def _end(self, *, complete: bool) -> None:
        self.complete = complete
        self.stage = Stage.READY


def _headers(head: bytes, name: bytes) -> list[bytes]:
    pairs = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return [value.strip(b" \t") for found, _, value in pairs if found.strip(b" \t").lower() == name]
