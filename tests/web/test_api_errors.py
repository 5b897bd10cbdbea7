"""Errors as they are sent: whose fault it is, what to do, and nothing of what is inside."""

import logging

import pytest
from flask import Flask
from werkzeug.exceptions import BadGateway, BadRequest, ImATeapot, MethodNotAllowed, RequestEntityTooLarge

from receiver.store.database import StoreUnavailableError
from receiver.web.api_errors import ApiError, describe, register_error_handlers
from receiver.web.api_input import MAX_BODY_BYTES
from receiver.web.error_types import ErrorType

SECRET = "postgresql://receiver:password@db/receiver"


@pytest.mark.parametrize(
    ("error", "error_type", "status", "headers"),
    [
        (ApiError(ErrorType.NOT_JSON, "Send JSON."), ErrorType.NOT_JSON, 400, {}),
        (
            ApiError(ErrorType.UNAUTHORIZED, "Send a token."),
            ErrorType.UNAUTHORIZED,
            401,
            {"WWW-Authenticate": "Bearer"},
        ),
        (ApiError(ErrorType.SIGNATURE_REFUSED, "Sign it."), ErrorType.SIGNATURE_REFUSED, 401, {}),
        (BadRequest("of the framework"), ErrorType.BAD_REQUEST, 400, {}),
        (ImATeapot(), ErrorType.BAD_REQUEST, 418, {}),
        (MethodNotAllowed(["GET", "PUT"]), ErrorType.METHOD_NOT_ALLOWED, 405, {"Allow": "GET, PUT"}),
        (RequestEntityTooLarge(), ErrorType.BODY_TOO_LARGE, 413, {}),
        (BadGateway(), ErrorType.INTERNAL_ERROR, 500, {}),
        (RuntimeError(SECRET), ErrorType.INTERNAL_ERROR, 500, {}),
        (StoreUnavailableError(SECRET), ErrorType.DATABASE_UNAVAILABLE, 503, {"Retry-After": "10"}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_every_error_has_a_type_own_words_and_its_headers(
    error: Exception,
    error_type: ErrorType,
    status: int,
    headers: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    response = describe(error)
    assert (response.type, response.status, response.headers) == (error_type, status, headers)
    assert (
        response.detail.endswith(".") and SECRET not in response.detail and "framework" not in response.detail
    )
    ours = status >= 500
    assert [record.levelno for record in caplog.records] == ([logging.ERROR] if ours else [])


def test_an_error_is_sent_with_its_keys_in_the_documented_order() -> None:
    app = Flask("test")
    app.json.sort_keys = False  # type: ignore[attr-defined]
    register_error_handlers(app)

    @app.get("/")
    def _fail() -> str:
        raise ApiError(ErrorType.INVALID_REQUEST, "Correct it.", errors={"limit": ["Too large."]})

    response = app.test_client().get("/")
    assert (response.status_code, response.content_type) == (422, "application/problem+json")
    assert response.text == (
        '{"title": "Invalid request", "status": 422, "detail": "Correct it.", '
        '"type": "/docs#invalid-request", "errors": {"limit": ["Too large."]}}'
    )


def test_the_limit_that_is_explained_is_the_real_one() -> None:
    assert f"{MAX_BODY_BYTES:,} bytes" in ErrorType.BODY_TOO_LARGE.meaning
