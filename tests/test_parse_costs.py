"""Whoever knows the callback URL chooses a body: the time and the memory that reading it takes are bounded."""

import json
import time
import tracemalloc

import pytest

from receiver.core.payloads import ParseOutcome, parse_callback, parse_poll
from receiver.redaction import redact

SIZE = 1 << 18  # of large bodies: enough that work which grows with its square takes seconds
AT_MOST_S = 0.1
HEAD = '{"code":200,"data":{"callbackType":"complete","task_id":"t",'


def fill(before: str, unit: str, after: str, parted_by: str = ",") -> bytes:
    times = (SIZE - len(before) - len(after)) // (len(unit.encode()) + len(parted_by))
    return (before + parted_by.join([unit] * times) + after).encode()


def numbered(before: str, unit: str, after: str) -> bytes:
    parts, size, number = [], len(before) + len(after), 0
    while (size := size + len(part := unit % number) + 1) <= SIZE:
        parts.append(part)
        number += 1
    return (before + ",".join(parts) + after).encode()


LARGE = {
    "bad rows": fill(HEAD + '"data":[', "1", "]}}"),
    "rows": numbered(HEAD + '"data":[', '{"id":"i-%d","audio_url":"https://e.example/a.mp3"}', "]}}"),
    "keys at the root": numbered('{"task_id":"t",', '"k%d":1', "}"),
    "keys in data": numbered(HEAD, '"k%d":1', "}}"),
    "keys in a row": numbered(HEAD + '"data":[{', '"k%d":1', "}]}}"),
    "long keys": numbered(HEAD, '"%0500d":1', "}}"),
    "objects that might wrap": numbered("{", '"k%d":{"data":{"response":{}}}', "}"),
    "texts that might wrap": numbered("{", '"k%d":{"data":"{}"}', "}"),
    "empty objects": fill(HEAD + '"x":[', "{}", "]}}"),
    "brackets": b"[" * SIZE,
    "objects in objects": b'{"a":' * (SIZE // 5),
    "deep and wide": (HEAD + '"x":' + "[" * 900 + "1," * 125_000 + "1" + "]" * 900 + "}}").encode(),
    "a title of accents": (
        HEAD + '"data":[{"title":"a' + "\u0315" * 62_500 + "\u0300" * 62_500 + '"}]}}'
    ).encode(),
    "a long URL": (HEAD + '"data":[{"audio_url":"https://e.example/' + "a" * (SIZE - 300) + '"}]}}').encode(),
    "white space": (HEAD + '"data":[{"audio_url":"' + " " * (SIZE - 300) + 'a"}]}}').encode(),
    "long integers": fill(HEAD + '"x":[', "9" * 4300, "]}}"),
    "one long integer": (HEAD + '"x":' + "7" * (SIZE - 200) + "}}").encode(),
    "one long fraction": (HEAD + '"x":1.' + "7" * (SIZE - 200) + "}}").encode(),
    "fractions": fill(HEAD + '"x":[', "1e-300", "]}}"),
    "JSON in JSON": json.dumps({"code": 200, "data": HEAD + '"x":[' + "1," * 125_000 + "1]}}"}).encode(),
    "a text in a text": json.dumps(json.dumps({"task_id": "t", "x": ["a"] * 32_500})).encode(),
    "a form": b"payload=" + b"%7B" * (SIZE // 3 - 10),
    "a form of many fields": b"a=1&" * (SIZE // 4),
    "a multipart form of many parts": b"--x\r\n" * (SIZE // 5),
    "a multipart form with a long head": b"--xx\r\nContent-Disposition: "
    + b"; name" * (SIZE // 7)
    + b"\r\n--xx--\r\n",
    "many of our URLs": fill(HEAD + '"x":[', '"callbacks/aa?a=b&c=d"', "]}}"),
    "URLs in URLs": (HEAD + '"x":"' + "callbacks/" * (SIZE // 10 - 20) + '"}}').encode(),
    "a URL with a long query": (HEAD + '"x":"callbacks/t?' + "a=b&" * (SIZE // 4 - 100) + '"}}').encode(),
    "a URL escaped": (HEAD + '"x":"callbacks/t?' + "a=b\\u0026" * (SIZE // 9 - 100) + '"}}').encode(),
    "backslashes": b'"callbacks' + b"\\" * (SIZE - 12) + b'"',
    "backslashes behind our URLs": (
        HEAD + '"x":"' + ("callbacks/x?" + "\\" * 7900 + "u0061 ") * (SIZE // 7920 - 1) + '"}}'
    ).encode(),
    "parameters behind our URLs": (
        HEAD + '"x":"' + ("callbacks/x?" + "a&" * 3980 + " ") * (SIZE // 7980 - 1) + '"}}'
    ).encode(),
    "letters of our token, escaped": (HEAD + '"x":"' + "\\u0063" * (SIZE // 6 - 20) + '"}}').encode(),
    "numbers that are none": fill(HEAD + '"x":[', "NaN", "]}}"),
    "percent signs": (HEAD + '"x":"callbacks%2f' + "%25" * (SIZE // 3 - 100) + '"}}').encode(),
    "a long value": (HEAD + '"x":"callbacks/t?a=' + "aB3" * (SIZE // 3 - 100) + '"}}').encode(),
    "question marks": (HEAD + '"x":"callbacks/t' + "?" * (SIZE - 200) + '"}}').encode(),
    "slashes": (HEAD + '"x":"callbacks' + "/" * (SIZE - 200) + '"}}').encode(),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_a_large_body_is_read_in_time(name: str) -> None:
    body = LARGE[name]
    assert 0.85 * SIZE < len(body) <= SIZE + 125_000
    parse_poll(body, "t")
    for _ in range(3):  # whatever else this machine is doing
        started = time.process_time()
        parse_callback(redact(body, ("callback-token-0001",)))
        took_s = time.process_time() - started
        if took_s < AT_MOST_S:
            break
    assert took_s < AT_MOST_S


@pytest.mark.slow
@pytest.mark.parametrize("name", ["keys in data", "long keys", "empty objects", "rows", "JSON in JSON"])
def test_a_large_body_is_read_in_bounded_memory_of_which_little_is_kept(name: str) -> None:
    tracemalloc.start()
    try:
        parsed = parse_callback(LARGE[name])
        current, most = tracemalloc.get_traced_memory()
        assert most < 120 * SIZE
        assert current < 2 * SIZE
        assert parsed.kind in ParseOutcome
    finally:
        tracemalloc.stop()
