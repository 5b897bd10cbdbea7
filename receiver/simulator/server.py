"""The simulator over HTTP, in a thread."""

import contextlib
import socket
import threading
from typing import Any, Self

from flask import Flask
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.wrappers import Response

from receiver.simulator.app import create_app
from receiver.simulator.simulation import Simulator


class SimulatorServer:
    """Runs a simulator on a port of its own; port 0 takes a free one."""

    def __init__(self, simulator: Simulator, host: str = "127.0.0.1", port: int = 0) -> None:
        self.simulator = simulator
        self._host = host
        self._port = port
        self._server: _Server | None = None
        self._thread = threading.Thread()

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return self._server.port if self._server else self._port

    @property
    def url(self) -> str:
        """The base URL by which this machine reaches it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def start(self) -> None:
        """Listen and serve. Raises OSError if the port is taken."""
        try:
            self._server = _Server(self._host, self._port, create_app(self.simulator))
        except SystemExit:
            # werkzeug leaves the process when the port is taken; a library must not.
            raise OSError(f"cannot listen on {self._host}:{self._port}") from None
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="simulator-server", daemon=True
        )
        self._thread.start()
        self.simulator.start()

    def stop(self) -> None:
        """Close every connection, and return when no request is served any more."""
        if self._server is None:
            return
        self.simulator.stop()
        self._server.shutdown()
        self._thread.join()
        self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        # werkzeug's own closes every connection and waits 10 ms for a rest of the request to discard.
        with Response.from_app(self.server.app, self.make_environ(), buffered=True) as response:
            body = response.get_data()
        self.send_response(response.status_code)
        response.headers.pop("Date", None)  # send_response has written one
        for name, value in response.headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        pass


class _Server(ThreadedWSGIServer):
    """Closes its connections with itself, also those that are kept alive."""

    daemon_threads = False  # closing waits for the threads of the requests

    def __init__(self, host: str, port: int, app: Flask) -> None:
        self._connections: set[socket.socket] = set()
        super().__init__(host, port, app, handler=_Handler)

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        super().server_close()
