"""Each request has an id: in its response, and on every line logged for it."""

import re
from uuid import uuid4

from flask import Flask, Response, request

from receiver.logs import request_id

HEADER = "X-Request-Id"
SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")


def register_request_ids(app: Flask) -> None:
    """Take the id that a proxy or a client sent, or a new one."""

    @app.before_request
    def _begin() -> None:
        sent = request.headers.get(HEADER, "")
        request_id.set(sent if SANE.fullmatch(sent) else uuid4().hex)

    @app.after_request
    def _add_header(response: Response) -> Response:
        response.headers[HEADER] = request_id.get() or ""
        return response

    @app.teardown_request
    def _end(_: BaseException | None) -> None:
        request_id.set(None)  # the thread goes on to another request
