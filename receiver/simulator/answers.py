"""Ready answers of record-info: pinned ones and the faults of single calls."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True)
class Answer:
    body: bytes
    http_status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def json_answer(body: object, *, http_status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    encoded = json.dumps(body, ensure_ascii=False).encode()
    return Answer(body=encoded, http_status=http_status, headers=dict(headers or {}))


def code_answer(code: int, msg: str, *, http_status: int = 200) -> Answer:
    return json_answer({"code": code, "msg": msg, "data": None}, http_status=http_status)


NO_CALLBACK_URL = code_answer(422, "Please enter callBackUrl.")
NO_TASK_ID = code_answer(422, "Please enter taskId.")
NO_ACCESS = code_answer(401, "You do not have access permissions")
UNKNOWN_TASK = code_answer(200, "success")

CALL_FAULT_ANSWERS: Mapping[str, Answer] = MappingProxyType(
    {
        "rate-limited": json_answer(
            {"code": 429, "msg": "Your call frequency is too high. Please try again later.", "data": None},
            http_status=429,
            headers={"Retry-After": "1"},
        ),
        "maintenance": code_answer(455, "The service is under maintenance. Please try again later."),
        "server-error": code_answer(500, "Internal Error, Please try again later.", http_status=500),
        "html": Answer(
            body=b"<!doctype html><title>One moment</title><p>Checking your browser.</p>",
            content_type="text/html; charset=utf-8",
        ),
        "refused": NO_ACCESS,
    }
)
