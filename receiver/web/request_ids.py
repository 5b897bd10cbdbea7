"""Each request has an id: in its response, and on every line logged for it."""

import re
import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from receiver.logs import request_id

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HEADER = "X-Request-Id"
SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")


def new_id() -> str:
    return secrets.token_hex(16)


def with_request_ids(application: "WSGIApplication") -> "WSGIApplication":
    """Take the id that a proxy or a client sent, or a new one."""

    def call(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        sent = environ.get("HTTP_X_REQUEST_ID", "")
        own_id = sent if SANE.fullmatch(sent) else new_id()

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            return start_response(status, [*headers, (HEADER, own_id)], exc_info)

        request_id.set(own_id)
        try:
            return application(environ, start)
        finally:
            request_id.set(None)  # the thread goes on to another request

    return call
