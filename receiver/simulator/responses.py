"""HTTP responses of record-info, and those that the faults of single calls return."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True)
class HttpResponse:
    body: bytes
    http_status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def json_response(
    body: object, *, http_status: int = 200, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """`body` as JSON."""
    encoded = json.dumps(body, ensure_ascii=False).encode()
    return HttpResponse(body=encoded, http_status=http_status, headers=dict(headers or {}))


def error_response(code: int, msg: str, *, http_status: int = 200) -> HttpResponse:
    """The upstream's envelope without data: most errors have HTTP status 200 and a `code` of their own."""
    return json_response({"code": code, "msg": msg, "data": None}, http_status=http_status)


NO_CALLBACK_URL = error_response(422, "Please enter callBackUrl.")
NO_TASK_ID = error_response(422, "Please enter taskId.")
NO_ACCESS = error_response(401, "You do not have access permissions")
UNKNOWN_TASK = error_response(200, "success")

CALL_FAULT_RESPONSES: Mapping[str, HttpResponse] = MappingProxyType(
    {
        "rate-limited": json_response(
            {"code": 429, "msg": "Your call frequency is too high. Please try again later.", "data": None},
            http_status=429,
            headers={"Retry-After": "1"},
        ),
        "maintenance": error_response(455, "The service is under maintenance. Please try again later."),
        "server-error": error_response(500, "Internal Error, Please try again later.", http_status=500),
        "html": HttpResponse(
            body=b"<!doctype html><title>One moment</title><p>Checking your browser.</p>",
            content_type="text/html; charset=utf-8",
        ),
        "refused": NO_ACCESS,
    }
)
