"""Errors as `application/problem+json` (RFC 9457), from one table."""

import logging
from collections.abc import Mapping
from typing import Any

from flask import Flask, Response, json
from werkzeug.exceptions import HTTPException

from receiver.store.database import StoreUnavailableError

log = logging.getLogger(__name__)

RETRY_AFTER_S = 10


class ProblemError(Exception):
    """An answer other than success: `detail` says what to do, `errors` which fields are at fault."""

    def __init__(
        self, status: int, title: str, detail: str, *, errors: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.errors = errors


def problem(status: int, title: str, detail: str, errors: Mapping[str, Any] | None = None) -> Response:
    told = {"title": title, "status": status, "detail": detail} | ({"errors": errors} if errors else {})
    return Response(json.dumps(told), status=status, content_type="application/problem+json")


def register_problems(app: Flask) -> None:
    @app.errorhandler(ProblemError)
    def _told(error: ProblemError) -> Response:
        return problem(error.status, error.title, str(error), error.errors)

    @app.errorhandler(StoreUnavailableError)
    def _unavailable(error: StoreUnavailableError) -> Response:
        log.error("the database cannot be used: %s", error)
        detail = "The database cannot be used now; nothing was stored. Send it again later."
        answer = problem(503, "Storage unavailable", detail)
        answer.headers["Retry-After"] = str(RETRY_AFTER_S)
        return answer

    @app.errorhandler(HTTPException)
    def _http(error: HTTPException) -> Response:
        answer = problem(error.code or 500, error.name, error.description or error.name)
        kept = ("Allow", "Location", "Retry-After")
        answer.headers.extend([(name, value) for name, value in error.get_headers() if name in kept])
        return answer

    @app.errorhandler(Exception)
    def _ours(error: Exception) -> Response:
        log.error("unexpected error", exc_info=error)
        return problem(500, "Internal error", "A fault of this receiver, not of the request; see its log.")
