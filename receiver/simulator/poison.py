"""The responses of record-info about a poisoned task, whoever calls and however often."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from receiver.simulator.responses import (
    CALL_FAULT_RESPONSES,
    NO_ACCESS,
    HttpResponse,
    error_response,
    json_response,
)

HANG = "poison-hang"
BROKEN_PARAM = "poison-param"
LONG_STATUS_LETTERS = 2800


@dataclass(frozen=True, kw_only=True)
class Trickle:
    """Raw bytes instead of a response: `start`, and then `again` for as long as the caller waits."""

    start: bytes
    again: bytes = b" "


TRICKLES: Mapping[str, Trickle] = MappingProxyType(
    {
        "poison-slow-head": Trickle(start=b"HTTP/1.1 200 OK\r\nX-Slow: ", again=b"x"),
        "poison-slow-body": Trickle(start=b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"),
        "poison-slow-redirect": Trickle(
            start=b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 1000000\r\n\r\n"
        ),
        "poison-continue": Trickle(start=b"", again=b"HTTP/1.1 100 Continue\r\n\r\n"),
    }
)


def _plain_text(text: str, http_status: int) -> HttpResponse:
    return HttpResponse(body=text.encode(), http_status=http_status, content_type="text/plain")


def _record(task_id: str, **fields: object) -> HttpResponse:
    return json_response({"code": 200, "msg": "success", "data": {"taskId": task_id, **fields}})


RESPONSES: Mapping[str, Callable[[str], HttpResponse]] = MappingProxyType(
    {
        "poison-code-451": lambda _: error_response(451, "Failed to fetch the audio."),
        "poison-code-500": lambda _: error_response(500, "Internal Error, Please try again later."),
        "poison-code-401": lambda _: NO_ACCESS,
        "poison-http-401": lambda _: _plain_text("Unauthorized", 401),
        "poison-http-403": lambda _: _plain_text("error code: 1010", 403),
        "poison-http-500": lambda _: CALL_FAULT_RESPONSES["server-error"],
        "poison-http-429": lambda _: CALL_FAULT_RESPONSES["rate-limited"],
        "poison-redirect": lambda _: HttpResponse(
            body=b"", http_status=302, headers={"Location": "/elsewhere"}
        ),
        "poison-html": lambda _: CALL_FAULT_RESPONSES["html"],
        "poison-junk": lambda _: json_response(["junk", {"of": "a task"}]),
        "poison-other-product": lambda task_id: _record(
            task_id,
            musicId="m",
            successFlag="SUCCESS",
            response={"audioWavUrl": "https://files.example/1.wav"},
        ),
        "poison-other-task": lambda task_id: _record(f"not-{task_id}", status="SUCCESS", response=None),
        "poison-long-status": lambda task_id: _record(
            task_id, status=("ODD" * LONG_STATUS_LETTERS)[:LONG_STATUS_LETTERS], response=None
        ),
    }
)


def with_broken_param(response: HttpResponse) -> HttpResponse:
    """The same record with its `param` escaped once too little, as the real upstream has sent it."""
    envelope = json.loads(response.body)
    data = envelope["data"]
    if not isinstance(data, dict):
        return response
    param = json.dumps({"input": data["param"]}, ensure_ascii=False)
    escaped_once = json.dumps(param, ensure_ascii=False)[1:-1].replace('\\\\\\"', '\\\\"')
    body = json.dumps(envelope | {"data": data | {"param": "PARAM"}}, ensure_ascii=False)
    return HttpResponse(body=body.replace('"PARAM"', f'"{escaped_once}"', 1).encode())
