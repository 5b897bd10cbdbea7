"""Errors as `application/problem+json` (RFC 9457): what is sent about one."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flask import Flask, Response
from werkzeug.exceptions import ClientDisconnected, HTTPException

from receiver.store.database import StoreUnavailableError
from receiver.web.error_types import ErrorType

log = logging.getLogger(__name__)

RETRY_AFTER_S = 10
CONTENT_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorResponse:
    """An error as it is sent: `detail` says what to do, `errors` which fields are at fault."""

    type: ErrorType
    status: int
    detail: str
    errors: Mapping[str, Sequence[str]] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """The body, with its keys in the documented order."""
        body = {
            "title": self.type.title,
            "status": self.status,
            "detail": self.detail,
            "type": self.type.uri,
        }
        body |= {"errors": self.errors} if self.errors else {}
        return json.dumps(body)


class ApiError(Exception):
    """Ends a request with an error of this type."""

    def __init__(
        self, error_type: ErrorType, detail: str, *, errors: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        super().__init__(detail)
        headers = {"WWW-Authenticate": "Bearer"} if error_type is ErrorType.UNAUTHORIZED else {}
        self.response = ErrorResponse(
            type=error_type, status=error_type.status, detail=detail, errors=errors, headers=headers
        )


def register_error_handlers(app: Flask) -> None:
    """Respond to every error in the one format."""
    app.register_error_handler(Exception, lambda error: to_http(describe(error)))


def describe(error: Exception) -> ErrorResponse:
    """What to send about an error, whoever raised it. Logs those that are the receiver's own fault."""
    if isinstance(error, ApiError):
        return error.response
    if isinstance(error, HTTPException) and (status := error.code or 500) < 500:
        return _describe_http(error, status)
    if isinstance(error, StoreUnavailableError):
        return _describe_unavailable(error)
    log.error("unexpected error", exc_info=error)
    detail = "This is a fault of the receiver, not of the request. Its log has the cause."
    return ErrorResponse(type=ErrorType.INTERNAL_ERROR, status=500, detail=detail)


def _describe_http(error: HTTPException, status: int) -> ErrorResponse:
    if isinstance(error, ClientDisconnected):
        return ErrorResponse(
            type=ErrorType.BODY_INCOMPLETE, status=status, detail=ErrorType.BODY_INCOMPLETE.detail
        )
    headers = {name: value for name, value in error.get_headers() if name == "Allow"}
    error_type, detail = {
        404: (ErrorType.NOT_FOUND, ErrorType.NOT_FOUND.detail),
        405: (ErrorType.METHOD_NOT_ALLOWED, f"Use one of these methods: {headers.get('Allow')}."),
        413: (ErrorType.BODY_TOO_LARGE, "The body is larger than this endpoint reads. Nothing is stored."),
    }.get(status, (ErrorType.BAD_REQUEST, ErrorType.BAD_REQUEST.detail))
    return ErrorResponse(type=error_type, status=status, detail=detail, headers=headers)


def _describe_unavailable(error: StoreUnavailableError) -> ErrorResponse:
    log.error("the database cannot be used: %s", error)
    return ErrorResponse(
        type=ErrorType.DATABASE_UNAVAILABLE,
        status=503,
        detail=f"The database cannot be used now. Nothing is stored. Send it again after {RETRY_AFTER_S} seconds.",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


def to_http(response: ErrorResponse) -> Response:
    return Response(
        response.to_json(), status=response.status, content_type=CONTENT_TYPE, headers=dict(response.headers)
    )
