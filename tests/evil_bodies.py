"""Bodies as an attacker would make them: each kind grows as large as asked for, and would cost more than it should."""

import json
from collections.abc import Callable, Mapping
from typing import Any

MARKS = "\u0315\u0300\u0345\u0344"

Body = Callable[[int], bytes]


def stage(rows: Any, **more: Any) -> bytes:
    data = {"callbackType": "complete", "task_id": "evil", "data": rows, **more}
    return json.dumps({"code": 200, "data": data}, ensure_ascii=False).encode()


def inside(before: str, unit: str, after: str) -> Body:
    """A body of a beginning, a piece as often as it fits, and an end."""

    def of(size: int) -> bytes:
        left = size - len((before + after).encode())
        return (before + unit * (left // len(unit.encode())) + after).encode()

    return of


def in_field(field: str, unit: str) -> Body:
    row = f'{{"code": 200, "data": {{"callbackType": "complete", "task_id": "evil", "data": [{{"id": "a", "{field}": "'
    return inside(row, unit, '"}]}}')


def rows_of(row: Callable[[int], Any]) -> Body:
    def of(size: int) -> bytes:
        rows: list[Any] = []
        left = size - len(stage([]))
        while (left := left - len(json.dumps(row(len(rows)), ensure_ascii=False).encode()) - 2) > 0:
            rows.append(row(len(rows)))
        return stage(rows)

    return of


OPEN = '{"code": 200, "data": {"callbackType": "complete", "task_id": "evil", "x": '
TITLED = ("title", "tags", "prompt", "id", "audio_url", "model_name", "createTime", "duration")

EVIL: Mapping[str, Body] = {
    **{f"marks in {field}": in_field(field, MARKS) for field in TITLED},
    **{f"letters in {field}": in_field(field, "ж") for field in TITLED},
    "two runs of marks": lambda size: stage(
        [{"id": "a", "title": "a" + "\u0315" * (size // 4) + "\u0300" * (size // 4 - 100)}]
    ),
    "marks in the titles of many rows": rows_of(lambda n: {"id": str(n), "title": MARKS * 100}),
    "small rows": rows_of(lambda n: {"id": f"i-{n}"}),
    "one row again and again": rows_of(lambda n: {"id": "a", "title": f"Tides {n}"}),
    "rows without an id": rows_of(lambda n: {"title": str(n)}),
    "rows that are numbers": rows_of(lambda n: 1),
    "rows with every field wrong": rows_of(lambda n: dict.fromkeys(TITLED, [n])),
    "a long status word": inside('{"code": 200, "data": {"taskId": "evil", "status": "', "Q", '"}}'),
    "a long type": inside(
        '{"code": 200, "data": {"taskId": "evil", "status": "SUCCESS", "type": "', "ж", '"}}'
    ),
    "a long error": inside(
        '{"code": 500, "msg": "', MARKS, '", "data": {"task_id": "evil", "callbackType": "error"}}'
    ),
    "a long param": inside(
        '{"code": 200, "data": {"taskId": "evil", "status": "PENDING", "param": "', '\\\\\\"', '"}}'
    ),
    "a long task id": inside('{"code": 200, "data": {"taskId": "', "x", '"}}'),
    "a response that is text": inside('{"code": 200, "data": {"taskId": "evil", "response": "{', "[", '"}}'),
    "deep lists": inside(OPEN, "[", ""),
    "deep lists that end": lambda size: (
        OPEN + "[" * (size // 2 - 99) + "]" * (size // 2 - 99) + "}}"
    ).encode(),
    "deep objects": inside(OPEN, '{"a":', ""),
    "a million keys": lambda size: (
        OPEN + "{" + ",".join(f'"{number:06x}":1' for number in range(size // 12)) + "}}}"
    ).encode(),
    "keys that are spelled alike": lambda size: (
        "{" + ",".join(f'"data{"_" * (number % 90)}":{number}' for number in range(size // 70)) + "}"
    ).encode(),
    "one key again and again": inside(OPEN + "{", '"a":1,', '"a":1}}}'),
    "tiny texts": inside(OPEN + "[", '"",', '""]}}'),
    "empty lists": inside(OPEN + "[", "[],", "[]]}}"),
    "large integers": inside(OPEN + "[", "9" * 4000 + ",", "9]}}"),
    "one integer": inside(OPEN, "9", "}}"),
    "one fraction": inside(OPEN + "1.", "3", "}}"),
    "large floats": inside(OPEN + "[", "1e308,1e999,", "9]}}"),
    "escapes": in_field("title", "\\u0315\\u0300"),
    "halves of surrogate pairs": in_field("title", "\\ud800"),
    "NULs": in_field("title", "\\u0000"),
    "places of a token": inside(OPEN + '"', "callbacks/", '"}}'),
    "escaped places of a token": inside(OPEN + '"callbacks', "\\\\", '"}}'),
    "no JSON": inside("", "<html>", ""),
    "no UTF-8": lambda size: b"\xff" * size,
    "white space": inside(OPEN, " ", "1}}"),
    "no task id": inside('{"code": 200, "data": {"x": "', "ж", '"}}'),
    "a sister product": inside('{"data": {"task_id": "evil", "audioWavUrl": "', "x", '"}}'),
}
