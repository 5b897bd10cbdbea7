"""Responses to requests that never reach Flask: the same errors (RFC 9457) as the application's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from gunicorn.http.errors import UnsupportedTransferCoding

from receiver.logs import request_id
from receiver.web.api_errors import CONTENT_TYPE, ErrorResponse
from receiver.web.error_types import ErrorType
from receiver.web.request_ids import HEADER, new_id

BUSY_RETRY_S = 5
TYPES = {
    kind.status: kind
    for kind in (
        ErrorType.BAD_REQUEST,
        ErrorType.REQUEST_TIMEOUT,
        ErrorType.REQUEST_LINE_TOO_LONG,
        ErrorType.EXPECTATION_UNSUPPORTED,
        ErrorType.HEADERS_TOO_LARGE,
        ErrorType.INTERNAL_ERROR,
        ErrorType.TRANSFER_CODING_UNSUPPORTED,
        ErrorType.SERVER_BUSY,
    )
}
"""What is refused here, by the status that the worker or gunicorn gives it."""


@contextmanager
def new_request_id() -> Iterator[str]:
    """An id for the response and for each line that is logged meanwhile."""
    given = new_id()
    token = request_id.set(given)
    try:
        yield given
    finally:
        request_id.reset(token)


def refusal(status: int, own_id: str) -> bytes:
    """The whole response, after which the connection is closed."""
    kind = TYPES.get(status, ErrorType.BAD_REQUEST)
    body = ErrorResponse(type=kind, status=kind.status, detail=kind.detail).to_json().encode()
    lines = [
        f"HTTP/1.1 {kind.status} {HTTPStatus(kind.status).phrase}",
        "Connection: close",
        f"Content-Type: {CONTENT_TYPE}",
        *([f"Retry-After: {BUSY_RETRY_S}"] if kind is ErrorType.SERVER_BUSY else []),
        f"{HEADER}: {own_id}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class StatusRecorder:
    """Takes the error page that gunicorn writes to a client, and keeps only its status."""

    status: int | None = None

    def gettimeout(self) -> float:
        return 0.0

    def sendall(self, page: bytes) -> None:
        self.status = int(page.split(b" ", 2)[1])


def check_transfer_coding(headers: list[tuple[str, str]]) -> None:
    """Gunicorn also lets codings through that nobody would undo: the body would be stored as it was sent."""
    codings = [value for name, value in headers if name == "TRANSFER-ENCODING"]
    if codings and [coding.lower() for coding in codings] != ["chunked"]:
        raise UnsupportedTransferCoding(", ".join(codings))
