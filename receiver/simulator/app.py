"""The simulator's routes: the upstream's own, the tracks' files, and /simulator for those who test with it."""

import json
from collections.abc import Mapping

from flask import Flask, Response, abort, request
from werkzeug.wrappers import Response as WsgiResponse

from receiver.simulator.connection import Connection
from receiver.simulator.responses import NO_CALLBACK_URL, HttpResponse, error_response, json_response
from receiver.simulator.simulation import Simulator


def create_app(simulator: Simulator) -> Flask:
    """The WSGI application of a simulator."""
    app = Flask(__name__, static_folder=None)

    @app.before_request
    def read_whole_body() -> None:
        # What is left unread would be taken for the next request of a kept-alive connection.
        request.get_data()

    _add_upstream_routes(app, simulator)
    _add_simulator_routes(app, simulator)
    return app


def _add_upstream_routes(app: Flask, simulator: Simulator) -> None:
    @app.post("/api/v1/generate")
    def generate() -> Response:
        body: object = request.get_json(force=True, silent=True)
        if not isinstance(body, dict) or not _has_callback_url(body):
            return _flask_response(NO_CALLBACK_URL)
        # The host by which the caller has just reached this server, whatever address it listens on.
        task_id = simulator.submit(body, f"{request.host_url}files")
        return _flask_response(json_response({"code": 200, "msg": "success", "data": {"taskId": task_id}}))

    @app.get("/api/v1/generate/record-info")
    def record_info() -> Response:
        authorization = request.headers.get("Authorization", "")
        connection = Connection(request.environ.get("werkzeug.socket"))
        return _flask_response(
            simulator.record_info(request.args.get("taskId", ""), authorization, connection)
        )

    @app.get("/files/<track_id>/<name>")
    def media(track_id: str, name: str) -> WsgiResponse:
        file = simulator.media(track_id, name) or abort(404)
        return _flask_response(file).make_conditional(
            request, accept_ranges=True, complete_length=len(file.body)
        )


def _add_simulator_routes(app: Flask, simulator: Simulator) -> None:
    @app.get("/simulator/tasks")
    def tasks() -> Response:
        return _flask_response(json_response({"tasks": simulator.truths()}))

    @app.get("/simulator/tasks/<task_id>")
    def task(task_id: str) -> Response:
        truth = simulator.truth(task_id)
        return _flask_response(
            json_response(truth) if truth else error_response(404, "unknown task", http_status=404)
        )

    @app.put("/simulator/tasks/<task_id>")
    def pin(task_id: str) -> Response:
        try:
            body = json.loads(request.get_data())
        except ValueError:
            return _flask_response(error_response(400, "the body is not JSON", http_status=400))
        simulator.put(task_id, body)
        return Response(status=204)

    @app.delete("/simulator/tasks/<task_id>")
    def unpin(task_id: str) -> Response:
        return Response(status=204 if simulator.unpin(task_id) else 404)

    @app.get("/simulator/stats")
    def stats() -> Response:
        window = request.args.get("window", 1.0, type=float)
        if not window > 0:
            return _flask_response(error_response(400, "the window must be greater than 0", http_status=400))
        return _flask_response(json_response(simulator.stats(window)))


def _has_callback_url(body: Mapping[str, object]) -> bool:
    url = body.get("callBackUrl")
    return isinstance(url, str) and bool(url.strip())


def _flask_response(response: HttpResponse) -> Response:
    return Response(
        response.body,
        status=response.http_status,
        content_type=response.content_type,
        headers=dict(response.headers),
    )
