"""Errors as `application/problem+json` (RFC 9457): every kind of error, and what is sent about one."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from flask import Flask, Response, json
from werkzeug.exceptions import HTTPException

from receiver.store.database import StoreUnavailableError

log = logging.getLogger(__name__)

RETRY_AFTER_S = 10
CONTENT_TYPE = "application/problem+json"


class ErrorType(Enum):
    """The kinds of errors. `slug` is stable: programs compare it, and `/docs#slug` explains it."""

    BAD_REQUEST = (
        "bad-request",
        400,
        "Bad request",
        "The request cannot be read. Check its headers and its body.",
    )
    NOT_JSON = "not-json", 400, "Not JSON", "The body is not valid JSON. Send one JSON object."
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
    BODY_TOO_LARGE = (
        "body-too-large",
        413,
        "Body too large",
        "Nothing is stored. Callbacks have the limit `RECEIVER_MAX_BODY_BYTES`, API calls 131,072 bytes.",
    )
    UNSUPPORTED_MEDIA_TYPE = (
        "unsupported-media-type",
        415,
        "Unsupported media type",
        "The API reads JSON only. Send the body with `Content-Type: application/json`.",
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
    INTERNAL_ERROR = (
        "internal-error",
        500,
        "Internal error",
        (
            "A fault of the receiver, not of the request. The receiver's log has the cause, under the id in the "
            "response's `X-Request-Id`."
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

    def __init__(self, slug: str, status: int, title: str, meaning: str) -> None:
        self.slug = slug
        self.status = status
        self.title = title
        self.meaning = meaning

    @property
    def uri(self) -> str:
        """The problem's `type`: a reference to the error's section in the documentation."""
        return f"/docs#{self.slug}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error as it is sent: `detail` says what to do, `errors` which fields are at fault."""

    type: ErrorType
    status: int
    detail: str
    errors: Mapping[str, Sequence[str]] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class ProblemError(Exception):
    """Ends a request with an error of this type."""

    def __init__(
        self, error_type: ErrorType, detail: str, *, errors: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        super().__init__(detail)
        headers = {"WWW-Authenticate": "Bearer"} if error_type is ErrorType.UNAUTHORIZED else {}
        self.problem = Problem(
            type=error_type, status=error_type.status, detail=detail, errors=errors, headers=headers
        )


def register_problems(app: Flask) -> None:
    """Respond to every error with a problem."""
    app.register_error_handler(Exception, lambda error: problem_response(describe(error)))


def describe(error: Exception) -> Problem:
    """What to send about an error, whoever raised it. Logs those that are the receiver's own fault."""
    if isinstance(error, ProblemError):
        return error.problem
    if isinstance(error, HTTPException) and (status := error.code or 500) < 500:
        return _describe_http(error, status)
    if isinstance(error, StoreUnavailableError):
        return _describe_unavailable(error)
    log.error("unexpected error", exc_info=error)
    detail = "This is a fault of the receiver, not of the request. Its log has the cause."
    return Problem(type=ErrorType.INTERNAL_ERROR, status=500, detail=detail)


def _describe_http(error: HTTPException, status: int) -> Problem:
    headers = {name: value for name, value in error.get_headers() if name == "Allow"}
    error_type, detail = {
        404: (ErrorType.NOT_FOUND, "No endpoint has this path. GET /docs lists all of them."),
        405: (ErrorType.METHOD_NOT_ALLOWED, f"Use one of these methods: {headers.get('Allow')}."),
        413: (ErrorType.BODY_TOO_LARGE, "The body is larger than this endpoint reads. Nothing is stored."),
    }.get(status, (ErrorType.BAD_REQUEST, "The request cannot be read. Check its headers and its body."))
    return Problem(type=error_type, status=status, detail=detail, headers=headers)


def _describe_unavailable(error: StoreUnavailableError) -> Problem:
    log.error("the database cannot be used: %s", error)
    return Problem(
        type=ErrorType.DATABASE_UNAVAILABLE,
        status=503,
        detail=f"The database cannot be used now. Nothing is stored. Send it again after {RETRY_AFTER_S} seconds.",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


def problem_response(problem: Problem) -> Response:
    """The problem as JSON, in the documented order of its keys."""
    body = {
        "title": problem.type.title,
        "status": problem.status,
        "detail": problem.detail,
        "type": problem.type.uri,
    }
    body |= {"errors": problem.errors} if problem.errors else {}
    return Response(
        json.dumps(body), status=problem.status, content_type=CONTENT_TYPE, headers=dict(problem.headers)
    )
