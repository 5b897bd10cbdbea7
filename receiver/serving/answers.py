"""What is answered before there is a request for the application: problems (RFC 9457), as the application's own are."""

import json
from http import HTTPStatus

DETAILS = {
    400: "This cannot be read as an HTTP request; nothing was stored.",
    403: "This is not accepted here; nothing was stored.",
    408: "The request did not arrive in time; nothing was stored. Send it again.",
    414: "The request line has 8,190 bytes at most; nothing was stored.",
    417: "Only Expect: 100-continue is supported; nothing was stored.",
    431: "At most 100 headers, of 8,190 bytes each and 64 kB together, are read here; nothing was stored.",
    500: "A fault of this receiver, not of the request; see its log.",
    501: "Send the body with its length or in chunks, and in no other Transfer-Encoding; nothing was stored.",
    503: "Too many requests are under way; nothing was stored. Send it again later.",
}
BUSY_RETRY_S = 5


def problem(status: int) -> bytes:
    """The whole answer, after which the connection is closed."""
    title, detail = HTTPStatus(status).phrase, DETAILS[status if status in DETAILS else 400]
    body = json.dumps({"title": title, "status": status, "detail": detail}).encode()
    lines = [
        f"HTTP/1.1 {status} {title}",
        "Connection: close",
        "Content-Type: application/problem+json",
        *([f"Retry-After: {BUSY_RETRY_S}"] if status == HTTPStatus.SERVICE_UNAVAILABLE else []),
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Page:
    """Stands in a client's place for gunicorn's own page about an error, and takes only its status."""

    status: int | None = None

    def gettimeout(self) -> float:
        return 0.0

    def sendall(self, page: bytes) -> None:
        self.status = int(page.split(b" ", 2)[1])
