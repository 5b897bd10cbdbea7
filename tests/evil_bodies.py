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


def own_urls(behind: str, urls: int) -> Body:
    """Callback URLs of ours, each with so much behind it that together they fill the body."""

    def of(size: int) -> bytes:
        before, after = '{"data": {"task_id": "evil", "x": "', '"}}'
        length = (size - len(before + after)) // urls - len("callbacks/x? ")
        url = "callbacks/x?" + behind * (length // len(behind.encode())) + " "
        return (before + url * urls + after).encode()

    return of


def rows_with(**fields: str) -> Body:
    """As many rows as are read, with these fields, and the rest of the body in what stands beside them."""

    def of(size: int) -> bytes:
        rows = [{"id": str(number), **fields} for number in range(32)]
        left = size - len(stage(rows, x=""))
        return stage(rows, x="x" * left)

    return of


URLS = ("audioUrl", "streamAudioUrl", "imageUrl", "sourceAudioUrl", "sourceStreamAudioUrl", "sourceImageUrl")
LISTS = (
    "data",
    "sunoData",
    "items",
    "tracks",
    "songs",
    "clips",
    "musics",
    "music",
    "audios",
    "results",
    "rows",
)


def json_in_texts(*names: str) -> Body:
    """JSON in each of these fields, each of which ends too early."""

    def of(size: int) -> bytes:
        text = '{"x":[' + "[]," * ((size - 1000) // (3 * len(names)))
        return json.dumps({"data": {"task_id": "evil", **dict.fromkeys(names, text)}}).encode()

    return of


# What each pattern that redacts repeats or gives up on, behind a few long URLs of ours and behind many short ones.
REPEATED = ("\\", "\\u00", "\\u0026", "\\/", "%25", "%", "%2", "&", "a&", "a=b&", "=", "?", "&amp;", ";")
URL_COUNTS = (140, 5000)

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
    "rows with every field wrong": rows_of(lambda n: {field: [n] for field in TITLED}),
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
    **{
        f"{repeated} behind {urls} URLs": own_urls(repeated, urls)
        for repeated in REPEATED
        for urls in URL_COUNTS
    },
    "backslashes that end as no escape": lambda size: (
        b'{"data": {"task_id": "evil", "x": "'
        + (b"callbacks/x?" + b"\\" * 7900 + b"u0061 ") * ((size - 100) // 7920)
        + b'"}}'
    ),
    "backslashes that part tokens": inside(OPEN + '"', "callbacks/x" + "\\" * 7900 + "/y ", '"}}'),
    "escaped slashes behind callbacks": inside(OPEN + '"', "callbacks\\u002fx ", '"}}'),
    "beginnings of our token": inside(OPEN + '"', "callback-token-000", '"}}'),
    "beginnings of our token, escaped": inside(OPEN + '"', "\\u0063", '"}}'),
    "backslashes before letters of our token": inside(OPEN + '"', "\\c", '"}}'),
    "percent signs before letters of our token": inside(OPEN + '"', "%2563", '"}}'),
    "addresses with long queries": rows_with(**dict.fromkeys(URLS, "http://a?" + "a=b&" * 500)),
    "addresses with broken escapes": rows_with(**dict.fromkeys(URLS, "http://a?" + "%%=%%&" * 330)),
    "addresses that are nearly placeholders": rows_with(**dict.fromkeys(URLS, "image_" * 340)),
    "addresses with odd hosts": rows_with(**dict.fromkeys(URLS, "https://" + "\u0315\u0300" * 400)),
    "JSON in every field that may be a list": json_in_texts(*LISTS),
    "JSON in the response": json_in_texts("response"),
    "a form of percent signs": inside("payload=", "%41", ""),
    "numbers that are none": inside(OPEN + "[", "NaN,-Infinity,", "9]}}"),
    "small floats": inside(OPEN + "[", "5e-324,", "9]}}"),
    "no JSON": inside("", "<html>", ""),
    "no UTF-8": lambda size: b"\xff" * size,
    "white space": inside(OPEN, " ", "1}}"),
    "no task id": inside('{"code": 200, "data": {"x": "', "ж", '"}}'),
    "a sister product": inside('{"data": {"task_id": "evil", "audioWavUrl": "', "x", '"}}'),
}
