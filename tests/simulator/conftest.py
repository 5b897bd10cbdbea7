from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass(frozen=True, kw_only=True)
class Received:
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(kw_only=True)
class CallbackReceiver:
    """Notes every POST and answers with `status`, after `release` if it is told to hold."""

    url: str = ""
    status: int = 200
    received: list[Received] = field(default_factory=list)
    held_path: str = ""
    release: threading.Event = field(default_factory=threading.Event)


def wait_until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.005)


@pytest.fixture
def callback_receiver() -> Iterator[CallbackReceiver]:
    noted = CallbackReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            noted.received.append(Received(path=self.path, headers=dict(self.headers), body=body))
            if noted.held_path and self.path == noted.held_path:
                noted.release.wait(10)
            self.send_response(noted.status)
            self.send_header("Content-Length", "0")
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        noted.url = f"http://127.0.0.1:{server.server_port}"
        yield noted
        noted.release.set()
        server.shutdown()
        thread.join()
