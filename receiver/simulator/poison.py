"""What record-info answers about a poisoned task, whoever asks and however often."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from .answers import CALL_FAULT_ANSWERS, NO_ACCESS, Answer, code_answer, json_answer

HANG = "poison-hang"
BROKEN_PARAM = "poison-param"
LONG_STATUS_LETTERS = 2800


@dataclass(frozen=True, kw_only=True)
class Trickle:
    """Raw bytes instead of an answer: the `start`, and then `again` for as long as the caller waits."""

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


def _plain(text: str, http_status: int) -> Answer:
    return Answer(body=text.encode(), http_status=http_status, content_type="text/plain")


def _record(task_id: str, **told: object) -> Answer:
    return json_answer({"code": 200, "msg": "success", "data": {"taskId": task_id, **told}})


ANSWERS: Mapping[str, Callable[[str], Answer]] = MappingProxyType(
    {
        "poison-code-451": lambda _: code_answer(451, "Failed to fetch the audio."),
        "poison-code-500": lambda _: code_answer(500, "Internal Error, Please try again later."),
        "poison-code-401": lambda _: NO_ACCESS,
        "poison-http-401": lambda _: _plain("Unauthorized", 401),
        "poison-http-403": lambda _: _plain("error code: 1010", 403),
        "poison-http-500": lambda _: CALL_FAULT_ANSWERS["server-error"],
        "poison-http-429": lambda _: CALL_FAULT_ANSWERS["rate-limited"],
        "poison-redirect": lambda _: Answer(body=b"", http_status=302, headers={"Location": "/elsewhere"}),
        "poison-html": lambda _: CALL_FAULT_ANSWERS["html"],
        "poison-junk": lambda _: json_answer(["junk", {"of": "a task"}]),
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


def with_broken_param(answer: Answer) -> Answer:
    """The same record with its `param` escaped once too little, as it was seen on the wire."""
    envelope = json.loads(answer.body)
    data = envelope["data"]
    if not isinstance(data, dict):
        return answer
    inner = json.dumps({"input": data["param"]}, ensure_ascii=False)
    once = json.dumps(inner, ensure_ascii=False)[1:-1].replace('\\\\\\"', '\\\\"')
    whole = json.dumps(envelope | {"data": data | {"param": "PARAM"}}, ensure_ascii=False)
    return Answer(body=whole.replace('"PARAM"', f'"{once}"', 1).encode())
