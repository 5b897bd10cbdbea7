"""gunicorn's threaded worker, with requests that are handed to a thread only once they are here whole.

gunicorn reads a request in a thread, for as long as its client likes: as many half requests as there are threads would
stop all others. Here the loop that waits for connections collects them. A thread then neither waits for what a client
sends nor for long for a client that reads slowly.
"""

import contextlib
import errno
import selectors
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

from receiver.serving.refusals import StatusRecorder, check_transfer_coding, new_request_id, refusal
from receiver.serving.request_buffer import RequestBuffer, Stage

HEAD_S = 10.0  # from the connection, or the request before, to the end of the headers
BODY_S = 20.0  # from there to the end of the body
SEND_S = 10.0  # until a client has taken an answer
LINGER_S = 2.0  # how long an answer that ends a connection may still be on its way
CHECK_INTERVAL_S = 0.25
RECEIVE_BYTES = 256 * 1024
MAX_CLOSED_AT_ONCE = 32
MAX_BUFFERED_BYTES = 64 * 1024 * 1024  # of all requests on their way into one worker
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
REFUSED = {Stage.HEAD_TOO_LARGE: 431, Stage.NO_REQUEST: 400}


class _Nothing:
    """What a thread may read from the connection beyond what is here."""

    def recv(self, _: int) -> bytes:
        return b""


class Connection(TConn):  # type: ignore[misc]
    """A connection with the request that arrives on it."""

    buffer: RequestBuffer
    received = b""
    complete = True
    deadline = 0.0

    def init(self) -> None:
        """In the thread: give gunicorn's parser what has arrived, and nothing else to wait for."""
        super().init()
        self.parser.unreader.sock = _Nothing()
        self.parser.unreader.unread(self.received)
        self.received = b""
        self.sock.settimeout(SEND_S)


class BufferingWorker(ThreadWorker):  # type: ignore[misc]
    """Made by `buffering_worker`, with what its requests' buffers need."""

    max_body: int
    wants_body: Callable[[bytes], bool]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._incoming: dict[Connection, None] = {}  # in the order in which they began
        self._lingering: dict[Connection, None] = {}
        self._buffered = 0
        self._looked_at = 0.0

    def accept(self, listener: socket.socket) -> None:
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._make_room()
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                raise
            return
        self.nr_conns += 1
        self._await_request(Connection(self.cfg, client, address, listener.getsockname()))

    def on_client_socket_readable(self, conn: Connection, client: socket.socket) -> None:
        """The next request on a connection that stayed open."""
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._await_request(conn)

    def handle_request(self, req: Any, conn: Connection) -> Any:
        check_transfer_coding(req.headers)
        if not conn.complete:
            req.force_close()  # where the next request would begin is unknown
        return super().handle_request(req, conn)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """What was wrong stands in gunicorn's log; the client gets an error in JSON in place of its page."""
        recorder = StatusRecorder()
        with new_request_id() as own_id:
            super().handle_error(req, recorder, addr, exc)
        if recorder.status:
            _send(client, refusal(recorder.status, own_id))

    def finish_request(self, conn: Connection, fs: "Future[Any]") -> None:
        keep = not fs.cancelled() and fs.exception() is None and fs.result()
        more = conn.parser.unreader.take_buffered() if keep else b""
        if more:  # the next request came together with this one
            self._await_request(conn, more)
        elif keep:
            super().finish_request(conn, fs)
        else:
            self._linger(conn)

    def murder_pending(self) -> None:
        """Look at what takes too long; gunicorn asks once in each turn of its loop."""
        super().murder_pending()
        now = time.monotonic()
        if self.nr_conns >= self.worker_connections:
            self._make_room()
        if now - self._looked_at < CHECK_INTERVAL_S:
            return
        self._looked_at = now
        for conn in [conn for conn in self._incoming if self._is_late(conn, now)]:
            self._refuse(conn, 408) if len(conn.buffer) else self._forget(conn)
        for conn in [conn for conn in self._lingering if conn.deadline <= now]:
            self._forget(conn)

    def _is_late(self, conn: Connection, now: float) -> bool:
        if not self.alive and not len(conn.buffer):
            conn.deadline = min(conn.deadline, now + STOP_KEEPALIVE_LINGER)
        return conn.deadline <= now

    def _await_request(self, conn: Connection, begun: bytes = b"") -> None:
        conn.sock.settimeout(0)
        conn.buffer = RequestBuffer(max_body=self.max_body, wants_body=type(self).wants_body)
        conn.deadline = time.monotonic() + HEAD_S
        self._incoming[conn] = None
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._read, conn))
        if begun:
            self._take_in(conn, begun)
        else:
            self._read(conn, conn.sock)  # most requests come with their connection

    def _read(self, conn: Connection, _: socket.socket) -> None:
        try:
            data = conn.sock.recv(RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if data:
            self._take_in(conn, data)
        elif conn.buffer.stage is Stage.BODY:
            self._hand_on(conn)  # the response says that it was cut off
        else:
            self._forget(conn)

    def _take_in(self, conn: Connection, data: bytes) -> None:
        before, length = conn.buffer.stage, len(conn.buffer)
        stage = conn.buffer.feed(data)
        self._buffered += len(conn.buffer) - length
        if stage is Stage.READY:
            self._hand_on(conn)
        elif stage in REFUSED:
            self._refuse(conn, REFUSED[stage])
        elif stage is Stage.BODY and before is Stage.HEAD:
            conn.deadline = time.monotonic() + BODY_S
            if conn.buffer.asks_to_continue:
                _send(conn.sock, CONTINUE)
        if self._buffered > max(MAX_BUFFERED_BYTES, 2 * self.max_body):
            self._refuse(max(self._incoming, key=lambda other: len(other.buffer)), 503)

    def _hand_on(self, conn: Connection) -> None:
        self._drop(conn)
        conn.complete = conn.buffer.complete
        conn.received = conn.buffer.take()
        conn.data_ready = True
        self.enqueue_req(conn)

    def _refuse(self, conn: Connection, status: int) -> None:
        self._drop(conn)
        conn.buffer.take()
        with new_request_id() as own_id:
            self.log.warning("request refused", extra={"fields": {"status": status}})
        _send(conn.sock, refusal(status, own_id))
        self._linger(conn)

    def _drop(self, conn: Connection) -> None:
        """Wait for no more of this request."""
        self.poller.unregister(conn.sock)
        del self._incoming[conn]
        self._buffered -= len(conn.buffer)

    def _linger(self, conn: Connection) -> None:
        """Let the answer arrive before the connection is closed; gunicorn would stop its loop for that."""
        try:
            conn.sock.settimeout(0)
            conn.sock.shutdown(socket.SHUT_WR)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._discard, conn))
        except (OSError, ValueError, KeyError):
            self.nr_conns -= 1
            conn.close()
            return
        conn.deadline = time.monotonic() + LINGER_S
        self._lingering[conn] = None

    def _discard(self, conn: Connection, _: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError, InterruptedError):
            try:
                ended = not conn.sock.recv(RECEIVE_BYTES)
            except ConnectionError:
                ended = True
            if ended:
                self._forget(conn)

    def _forget(self, conn: Connection) -> None:
        """Close it without a word."""
        if conn in self._incoming:
            self._drop(conn)
        else:
            self._lingering.pop(conn, None)
            self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()

    def _make_room(self) -> None:
        """Of too many connections those go first that have waited longest."""
        for conn in [*self._lingering, *self._incoming][:MAX_CLOSED_AT_ONCE]:
            self._forget(conn)


def buffering_worker(*, max_body: int, wants_body: Callable[[bytes], bool]) -> type[BufferingWorker]:
    """A worker class that waits for these requests."""
    made = {"max_body": max_body, "wants_body": staticmethod(wants_body)}
    return type("BufferingWorker", (BufferingWorker,), made)


def _send(client: socket.socket, answer: bytes) -> None:
    """A few bytes that a client's buffer has room for, or nothing."""
    with contextlib.suppress(OSError):
        client.send(answer)
