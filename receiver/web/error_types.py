"""Every type of error that a response can have."""

from enum import Enum


class ErrorType(Enum):
    """The kinds of errors. `slug` is stable: programs compare it, and `/docs#slug` explains it."""

    BAD_REQUEST = (
        "bad-request",
        400,
        "Bad request",
        "The request cannot be read as HTTP. Nothing is stored. Check its request line, headers and body.",
    )
    NOT_JSON = (
        "not-json",
        400,
        "Not JSON",
        "The body is not JSON, or is nested too deeply. Send one JSON object.",
    )
    BODY_INCOMPLETE = (
        "body-incomplete",
        400,
        "Body incomplete",
        "The connection ended before the whole body arrived. Nothing is stored. Send the request again.",
    )
    UNAUTHORIZED = (
        "unauthorized",
        401,
        "Unauthorized",
        "The request has no valid API token. Send `Authorization: Bearer` and one of `RECEIVER_API_TOKENS`.",
    )
    SIGNATURE_REFUSED = (
        "signature-refused",
        401,
        "Signature refused",
        (
            "`RECEIVER_SIGNING_KEY` is set, and the callback's signature is missing, wrong or too old. "
            "Nothing is stored. Sign with that key, or unset it."
        ),
    )
    NOT_FOUND = "not-found", 404, "Not found", "No endpoint has this path. `/docs` lists all of them."
    UNKNOWN_TASK = (
        "unknown-task",
        404,
        "Unknown task",
        (
            "No task has this id: nobody registered it, no callback named it, or it was deleted. "
            "Register it with `POST /api/tasks`."
        ),
    )
    UNKNOWN_CALLBACK_URL = (
        "unknown-callback-url",
        404,
        "Unknown callback URL",
        "Nothing is stored. The last part of a callback URL must be one of `RECEIVER_CALLBACK_TOKENS`.",
    )
    METHOD_NOT_ALLOWED = (
        "method-not-allowed",
        405,
        "Method not allowed",
        "The endpoint has no such method. The `Allow` header names those it has.",
    )
    REQUEST_TIMEOUT = (
        "request-timeout",
        408,
        "Request timeout",
        (
            "The headers did not arrive within 10 seconds, or the body within 20. Nothing is stored. "
            "Send the request again."
        ),
    )
    BODY_TOO_LARGE = (
        "body-too-large",
        413,
        "Body too large",
        "Nothing is stored. Callbacks have the limit `RECEIVER_MAX_BODY_BYTES`, API calls 131,072 bytes.",
    )
    REQUEST_LINE_TOO_LONG = (
        "request-line-too-long",
        414,
        "Request line too long",
        "Nothing is stored. The method, the path and the query have 8,190 bytes together at most.",
    )
    UNSUPPORTED_MEDIA_TYPE = (
        "unsupported-media-type",
        415,
        "Unsupported media type",
        "The API reads JSON only. Send the body with `Content-Type: application/json`.",
    )
    EXPECTATION_UNSUPPORTED = (
        "expectation-unsupported",
        417,
        "Expectation unsupported",
        "Nothing is stored. The only value of `Expect` is `100-continue`.",
    )
    INVALID_REQUEST = (
        "invalid-request",
        422,
        "Invalid request",
        "`errors` names each parameter or field that is unknown, missing, invalid or given twice, and why.",
    )
    NO_TASK_ID = (
        "no-task-id",
        422,
        "No task id",
        "The callback is JSON, but names no task. It is stored in quarantine, where you can read it.",
    )
    HEADERS_TOO_LARGE = (
        "headers-too-large",
        431,
        "Headers too large",
        "Nothing is stored. There are 100 headers at most, of 8,190 bytes each and 64 kB together.",
    )
    INTERNAL_ERROR = (
        "internal-error",
        500,
        "Internal error",
        (
            "A fault of the receiver, not of the request. The receiver's log has the cause, under the id in the "
            "response's `X-Request-Id`."
        ),
    )
    TRANSFER_CODING_UNSUPPORTED = (
        "transfer-coding-unsupported",
        501,
        "Transfer coding unsupported",
        (
            "Nothing is stored. The only value of `Transfer-Encoding` is `chunked`. "
            "Send a compressed callback with `Content-Encoding`."
        ),
    )
    DATABASE_UNAVAILABLE = (
        "database-unavailable",
        503,
        "The database cannot be used",
        (
            "The receiver cannot use its database now. Nothing is stored. "
            "Send the same request again after `Retry-After` seconds."
        ),
    )
    SERVER_BUSY = (
        "server-busy",
        503,
        "Server busy",
        "Too many requests are under way. Nothing is stored. Send it again after `Retry-After` seconds.",
    )

    def __init__(self, slug: str, status: int, title: str, meaning: str) -> None:
        self.slug = slug
        self.status = status
        self.title = title
        self.meaning = meaning

    @property
    def detail(self) -> str:
        """`meaning` as plain text."""
        return self.meaning.replace("`", "")

    @property
    def uri(self) -> str:
        """The problem's `type`: a reference to the error's section in the documentation."""
        return f"/docs#{self.slug}"


COMMON_ERRORS = (ErrorType.BAD_REQUEST, ErrorType.INTERNAL_ERROR)
"""Those of every endpoint."""
OTHER_ERRORS = (
    ErrorType.NOT_FOUND,
    ErrorType.METHOD_NOT_ALLOWED,
    ErrorType.REQUEST_TIMEOUT,
    ErrorType.REQUEST_LINE_TOO_LONG,
    ErrorType.EXPECTATION_UNSUPPORTED,
    ErrorType.HEADERS_TOO_LARGE,
    ErrorType.TRANSFER_CODING_UNSUPPORTED,
    ErrorType.SERVER_BUSY,
)
"""Those that no endpoint has: path or method are others, or the request was refused before it was read."""
