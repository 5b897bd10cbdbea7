"""A receiver of callbacks on a port of its own."""

import threading
from collections.abc import Iterator, Mapping
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
    """Records every POST and responds with `status`; below `held_path` only after `release`."""

    url: str = ""
    status: int = 200
    received: list[Received] = field(default_factory=list)
    held_path: str = ""
    release: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def callback_receiver() -> Iterator[CallbackReceiver]:
    receiver = CallbackReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.received.append(Received(path=self.path, headers=dict(self.headers), body=body))
            if receiver.held_path and self.path == receiver.held_path:
                receiver.release.wait(10)
            self.send_response(receiver.status)
            self.send_header("Content-Length", "0")
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        receiver.url = f"http://127.0.0.1:{server.server_port}"
        yield receiver
        receiver.release.set()
        server.shutdown()
        thread.join()
