"""HTTP sessions whose every answer ends: one deadline for the whole of it, and a bound on its bytes.

The timeout of `requests` counts the silence between two reads of a socket. A status line, a header, a chain of
`100 Continue` or a chunk's length that comes byte by byte is never silent for long.
"""

import io
import logging
import socket
import time
from contextlib import suppress
from http.client import HTTPResponse
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from receiver.upstream.user_agent import USER_AGENT

MAX_HEAD_BYTES = 64 * 1024  # the status line and all headers, those of `100 Continue` too
MAX_RESPONSE_BYTES = 4 * 1024 * 1024  # a real one has some 10 kB
CONNECT_TIMEOUT_S = 2.5  # less than the pollers allow a call to be on its way
MIN_TIMEOUT_S = 0.001  # 0 would be a socket that does not wait

# It shows the headers that it cannot read, with a traceback, at each call.
logging.getLogger("urllib3.connection").setLevel(logging.ERROR)


class TooLargeError(OSError):
    """An answer has more bytes than are read of one."""


def new_session(
    *, timeout_s: float, connect_s: float = CONNECT_TIMEOUT_S, connections: int = 1
) -> requests.Session:
    """A session that follows no redirect and keeps no cookie; it reads a body when it is asked for it.

    Connecting, sending and the whole answer together take `timeout_s` at most, looking up the host's name apart.
    """
    session = _Session()
    session.stream = True
    session.trust_env = False  # no proxy or .netrc by accident, and a fifth less work a call
    session.headers["User-Agent"] = USER_AGENT
    # One task's answer must not change what is sent about the next one.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    timeout = Timeout(total=timeout_s, connect=min(connect_s, timeout_s))
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(timeout, connections))
    return session


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: with a target, requests reads the whole body of a redirect even where it may not follow it."""


class _BoundedReader(io.RawIOBase):
    """The bytes of one answer, until the deadline and as many as are allowed."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, *, timeout_s: float) -> None:
        self._sock = sock
        self._raw = raw
        self._ends = time.monotonic() + timeout_s
        self.allowed = MAX_HEAD_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = self._ends - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the answer did not end in time")
        if self.allowed <= 0:
            raise TooLargeError("the answer is too large")
        self._sock.settimeout(left_s)
        count: int | None = self._raw.readinto(memoryview(buffer)[: self.allowed])
        self.allowed -= count or 0
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _Response(HTTPResponse):
    """Reads its head and its body through one bounded reader, whose time began with the call."""

    def __init__(self, sock: socket.socket, *args: Any, **more: Any) -> None:
        super().__init__(sock, *args, **more)
        left_s = sock.gettimeout()  # of the whole call: urllib3 has just set it
        self._reader = _BoundedReader(sock, self.fp.detach(), timeout_s=left_s or CONNECT_TIMEOUT_S)
        self.fp = io.BufferedReader(self._reader)

    def begin(self) -> None:
        super().begin()
        self._reader.allowed = MAX_RESPONSE_BYTES


class _Connection(HTTPConnection):
    response_class = _Response

    def _new_conn(self) -> socket.socket:
        """Connect to the first of the host's addresses that answers; urllib3 gives each of them the whole time."""
        host, timeout = self._dns_host, self.timeout
        ends = time.monotonic() + float(timeout or CONNECT_TIMEOUT_S)
        *others, last = _addresses(host, self.port)
        try:
            for number, address in enumerate(others):
                with suppress(ConnectTimeoutError, NewConnectionError):
                    return self._connect_to(address, (ends - time.monotonic()) / (len(others) + 1 - number))
            return self._connect_to(last, ends - time.monotonic())
        finally:
            self._dns_host, self.timeout = host, timeout

    def _connect_to(self, address: str, within_s: float) -> socket.socket:
        self._dns_host, self.timeout = address, max(within_s, MIN_TIMEOUT_S)
        return super()._new_conn()


def _addresses(host: str, port: int | None) -> list[str]:
    """The host's addresses, each once; the name itself where it has none, so that urllib3 names the error."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return [host]
    return list(dict.fromkeys(str(entry[4][0]) for entry in found)) or [host]


class _SecureConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _Adapter(HTTPAdapter):
    def __init__(self, timeout: Timeout, connections: int) -> None:
        self._timeout = timeout
        super().__init__(pool_connections=1, pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        super().init_poolmanager(*args, **more)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:
        return super().send(request, *args, **{**more, "timeout": self._timeout})
