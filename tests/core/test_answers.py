"""What an answer of record-info is worth: HTTP status and body `code` are both read."""

import json
from pathlib import Path

import pytest

from receiver.core.payloads import Trouble, trouble_with

SAMPLES = Path(__file__).parent.parent / "payloads"
REFUSED, LIMITED, MAINTENANCE = Trouble.REFUSED, Trouble.LIMITED, Trouble.MAINTENANCE
BROKEN, OTHER = Trouble.SERVER_ERROR, Trouble.NOT_RECORD_INFO
FINE = None

# Down: HTTP status. Across: the body's `code`.
CODES = (200, 401, 404, 422, 405, 429, 430, 455, 500, 505, 400, None)
TABLE = {
    200: (FINE, REFUSED, FINE, FINE, LIMITED, LIMITED, LIMITED, MAINTENANCE, BROKEN, BROKEN, OTHER, OTHER),
    201: (FINE, REFUSED, FINE, FINE, LIMITED, LIMITED, LIMITED, MAINTENANCE, BROKEN, BROKEN, OTHER, OTHER),
    401: (REFUSED,) * len(CODES),
    403: (REFUSED,) * len(CODES),
    500: (BROKEN, REFUSED, "?", "?", LIMITED, LIMITED, LIMITED, MAINTENANCE, BROKEN, BROKEN, BROKEN, BROKEN),
    502: (BROKEN, REFUSED, "?", "?", LIMITED, LIMITED, LIMITED, MAINTENANCE, BROKEN, BROKEN, BROKEN, BROKEN),
    404: (FINE, "?", FINE, FINE, "?", "?", "?", "?", "?", "?", FINE, FINE),
    422: (FINE, "?", FINE, FINE, "?", "?", "?", "?", "?", "?", FINE, FINE),
    405: (LIMITED, "?", *(LIMITED,) * 5, "?", *(LIMITED,) * 4),
    429: (LIMITED, "?", *(LIMITED,) * 5, "?", *(LIMITED,) * 4),
    430: (LIMITED, "?", *(LIMITED,) * 5, "?", *(LIMITED,) * 4),
    455: (MAINTENANCE, "?", MAINTENANCE, MAINTENANCE, "?", "?", "?", *(MAINTENANCE,) * 5),
    302: (OTHER, REFUSED, FINE, FINE, LIMITED, LIMITED, LIMITED, MAINTENANCE, BROKEN, BROKEN, OTHER, OTHER),
    400: (OTHER, REFUSED, FINE, FINE, LIMITED, LIMITED, LIMITED, MAINTENANCE, BROKEN, BROKEN, OTHER, OTHER),
}
CASES = [
    (http, code, trouble)
    for http, row in TABLE.items()
    for code, trouble in zip(CODES, row, strict=True)
    if trouble != "?"  # the two contradict each other, and the contract names no winner
]


def body(code, data=None):
    told = {"msg": "whatever", "data": data}
    return json.dumps(told if code is None else {"code": code, **told}).encode()


@pytest.mark.parametrize(("http", "code", "trouble"), CASES)
def test_http_status_and_code_together_tell_the_trouble(http, code, trouble):
    assert trouble_with(http, body(code)) is trouble


@pytest.mark.parametrize("code", [200, "200", 200.0, " 200 "])
def test_the_code_may_be_spelled_as_any_number(code):
    assert trouble_with(200, body(code)) is None
    assert trouble_with(200, body(str(int(code) + 201))) is REFUSED


@pytest.mark.parametrize(
    "raw", [b"", b"<html>busy</html>", b"null", b"[]", b"200", b"\xff", b"{}", b'{"code": NaN}']
)
def test_a_body_that_is_not_record_info_is_trouble_though_http_says_200(raw):
    assert trouble_with(200, raw) is OTHER


@pytest.mark.parametrize("raw", [b"", b"<html>busy</html>", b"[]", b"\xff", b"[" * 100_000])
def test_without_a_readable_body_the_http_status_alone_tells(raw):
    told = {
        status: trouble_with(status, raw)
        for status in (401, 404, 422, 429, 405, 430, 455, 500, 503, 204, 302)
    }
    assert told == {
        401: REFUSED,
        404: FINE,
        422: FINE,
        429: LIMITED,
        405: LIMITED,
        430: LIMITED,
        455: MAINTENANCE,
        500: BROKEN,
        503: BROKEN,
        204: OTHER,
        302: OTHER,
    }


@pytest.mark.parametrize("data", ["text", 100, [], True])
def test_an_answer_of_another_service_with_code_200_is_not_record_info(data):
    assert trouble_with(200, body(200, data)) is OTHER


def test_a_failed_generation_is_no_trouble_of_the_upstream():
    told = {"taskId": "t", "status": "GENERATE_AUDIO_FAILED", "errorCode": 500}
    assert trouble_with(200, body(200, told)) is None


SERVED = {
    "ri-401-in-http-200": (200, REFUSED),
    "ri-429-http429": (429, LIMITED),
    "ri-429-insufficient-credits-real-message": (200, LIMITED),
    "ri-430-call-frequency": (200, LIMITED),
    "ri-455-maintenance": (200, MAINTENANCE),
    "ri-500-http500-msg-only": (500, BROKEN),
    "ri-jobs-422-recordinfo-null-real": (200, None),
    "ri-music-code200-data-null": (200, None),
    "ri-music-generate-audio-failed-500-real": (200, None),
    "ri-music-pending-real": (200, None),
    "ri-music-success-real-upload-cover": (200, None),
    "ri-music-first-success-all-empty-strings": (200, OTHER),  # its envelope has no code
}


@pytest.mark.parametrize("name", SERVED)
def test_every_sample_answer_has_its_trouble(name):
    http, trouble = SERVED[name]
    assert trouble_with(http, (SAMPLES / f"{name}.json").read_bytes()) is trouble


@pytest.mark.parametrize(
    ("http_status", "body", "trouble"),
    [
        (404, {"code": 401}, Trouble.REFUSED),
        (429, {"code": 401}, Trouble.REFUSED),
        (200, {"code": 401, "data": ""}, Trouble.REFUSED),
        (500, {"code": 404}, Trouble.SERVER_ERROR),
        (404, {"code": 429}, Trouble.LIMITED),
        (404, {"code": 500}, Trouble.SERVER_ERROR),
        (200, {"code": 200, "data": ""}, Trouble.NOT_RECORD_INFO),
    ],
)
def test_trouble_is_found_wherever_it_is_told(http_status, body, trouble):
    assert trouble_with(http_status, json.dumps(body).encode()) is trouble
