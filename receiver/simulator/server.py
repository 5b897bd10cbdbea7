"""The simulator over HTTP."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import threading
from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import Any

from flask import Flask, Response, abort, request
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Response as WsgiResponse

from .answers import NO_CALLBACK_URL, Answer, code_answer, json_answer
from .simulation import Simulator

STOP_GRACE_S = 2.0


def create_app(simulator: Simulator) -> Flask:
    app = Flask(__name__, static_folder=None)

    @app.before_request
    def read_whole_body() -> None:
        # What is left unread would be taken for the next request of a kept-alive connection.
        request.get_data()

    @app.post("/api/v1/generate")
    def generate() -> Response:
        body: object = request.get_json(force=True, silent=True)
        if not isinstance(body, dict) or not _has_callback_url(body):
            return _response(NO_CALLBACK_URL)
        # The caller has just reached this server by that host, whatever address it was told to listen on.
        task_id = simulator.submit(body, f"{request.host_url}files")
        return _response(json_answer({"code": 200, "msg": "success", "data": {"taskId": task_id}}))

    @app.get("/api/v1/generate/record-info")
    def record_info() -> Response:
        authorization = request.headers.get("Authorization", "")
        connection = request.environ.get("werkzeug.socket")
        task_id = request.args.get("taskId", "")
        left, send = partial(_left, connection), partial(_send, connection)
        return _response(simulator.record_info(task_id, authorization, left, send))

    @app.get("/files/<track_id>/<name>")
    def media(track_id: str, name: str) -> WsgiResponse:
        answer = simulator.media(track_id, name) or abort(404)
        return _response(answer).make_conditional(
            request, accept_ranges=True, complete_length=len(answer.body)
        )

    _add_simulator_routes(app, simulator)
    return app


def _add_simulator_routes(app: Flask, simulator: Simulator) -> None:
    @app.get("/simulator/tasks")
    def tasks() -> Response:
        return _response(json_answer({"tasks": simulator.truths()}))

    @app.get("/simulator/tasks/<task_id>")
    def task(task_id: str) -> Response:
        truth = simulator.truth(task_id)
        return _response(json_answer(truth) if truth else code_answer(404, "unknown task", http_status=404))

    @app.put("/simulator/tasks/<task_id>")
    def pin(task_id: str) -> Response:
        try:
            body = json.loads(request.get_data())
        except ValueError:
            return _response(code_answer(400, "the body is not JSON", http_status=400))
        simulator.put(task_id, body)
        return Response(status=204)

    @app.delete("/simulator/tasks/<task_id>")
    def unpin(task_id: str) -> Response:
        return Response(status=204 if simulator.unpin(task_id) else 404)

    @app.get("/simulator/stats")
    def stats() -> Response:
        window = request.args.get("window", 1.0, type=float)
        if not window > 0:
            return _response(code_answer(400, "the window must be greater than 0", http_status=400))
        return _response(json_answer(simulator.stats(window)))


def _has_callback_url(body: Mapping[str, object]) -> bool:
    url = body.get("callBackUrl")
    return isinstance(url, str) and bool(url.strip())


def _left(connection: socket.socket | None) -> bool:
    """Whether the caller has closed its end."""
    if connection is None:
        return False
    try:
        readable = select.select([connection], [], [], 0)[0]
        return bool(readable) and connection.recv(1, socket.MSG_PEEK) == b""
    except (OSError, ValueError):
        return True


def _send(connection: socket.socket | None, data: bytes) -> bool:
    """Whether the caller still takes raw bytes."""
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.sendall(data)
            return True
    return False


def _response(answer: Answer) -> Response:
    return Response(
        answer.body,
        status=answer.http_status,
        content_type=answer.content_type,
        headers=dict(answer.headers),
    )


class _Connections:
    """The open connections, so that stopping can close those that are kept alive."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._open: set[socket.socket] = set()
        self._closed = False

    def add(self, connection: socket.socket) -> None:
        with self._changed:
            self._open.add(connection)
            if self._closed:
                _shut_down(connection)

    def discard(self, connection: socket.socket) -> None:
        with self._changed:
            self._open.discard(connection)
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            for connection in self._open:
                _shut_down(connection)
            self._changed.wait_for(lambda: not self._open, STOP_GRACE_S)


def _shut_down(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    connections: _Connections

    def setup(self) -> None:
        super().setup()
        self.connections.add(self.connection)

    def finish(self) -> None:
        try:
            super().finish()
        finally:
            self.connections.discard(self.connection)

    def run_wsgi(self) -> None:
        # werkzeug's own closes every connection and waits 10 ms for a rest of the request to discard.
        environ = self.make_environ()
        with WsgiResponse.from_app(self.server.app, environ, buffered=True) as response:
            body = response.get_data()
        self.send_response(response.status_code)
        response.headers.pop("Date", None)  # send_response has written one
        for name, value in response.headers:
            self.send_header(name, value)
        if response.status_code != 204 and "Content-Length" not in response.headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        pass


class SimulatorServer:
    """Runs a simulator on a port of its own; port 0 takes a free one."""

    def __init__(self, simulator: Simulator, host: str = "127.0.0.1", port: int = 0) -> None:
        self.simulator = simulator
        self._host = host
        self._port = port
        self._connections = _Connections()
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        return self._server.port if self._server else self._port

    @property
    def url(self) -> str:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def start(self) -> None:
        self._connections = _Connections()
        handler = type("_BoundHandler", (_Handler,), {"connections": self._connections})
        try:
            self._server = make_server(
                self._host, self._port, create_app(self.simulator), threaded=True, request_handler=handler
            )
        except SystemExit:
            # werkzeug leaves the process when the port is taken; a library must not.
            raise OSError(f"cannot listen on {self._host}:{self._port}") from None
        self._thread = threading.Thread(target=self._serve, name="simulator-server", daemon=True)
        self._thread.start()
        self.simulator.start()

    def stop(self) -> None:
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self.simulator.stop()
        self._connections.close()
        self._server = self._thread = None

    def __enter__(self) -> SimulatorServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _serve(self) -> None:
        if self._server is not None:
            self._server.serve_forever(poll_interval=0.05)
