"""What an answer of record-info is worth: HTTP status and body `code` are both read."""

import json
from pathlib import Path

import pytest

from receiver.core.payloads import Trouble, classify_response

SAMPLES = Path(__file__).parent.parent / "payloads"
REFUSED, DENIED, LIMITED, CLOSED = Trouble.REFUSED, Trouble.DENIED, Trouble.LIMITED, Trouble.MAINTENANCE
BROKEN, OTHER = Trouble.SERVER_ERROR, Trouble.NOT_RECORD_INFO
FINE = None

# Down: HTTP status. Across: the body's `code`, in an envelope without a record.
CODES = (200, 0, 401, 404, 422, 405, 429, 430, 455, 500, 505, 400, 402, 403, 408, 413, 451, 501, 531, None)
SLOW = (LIMITED,) * 3


def row(*, worked, others, none, unknown=None):
    return (worked, worked, REFUSED, *(unknown or (others,) * 2), *SLOW, CLOSED, *(others,) * 10, none)


TABLE = {
    200: row(worked=FINE, others=FINE, none=OTHER),
    201: row(worked=FINE, others=FINE, none=OTHER),
    301: row(worked=OTHER, others=OTHER, none=OTHER),
    302: row(worked=OTHER, others=OTHER, none=OTHER),
    400: row(worked=FINE, others=FINE, none=OTHER),
    404: row(worked=FINE, others=FINE, none=OTHER),
    422: row(worked=FINE, others=FINE, none=OTHER),
    451: row(worked=FINE, others=FINE, none=OTHER),
    403: row(worked=DENIED, others=DENIED, none=DENIED),
    401: (*(REFUSED,) * (len(CODES) - 1), DENIED),
    500: row(worked=BROKEN, others=BROKEN, none=BROKEN),
    502: row(worked=BROKEN, others=BROKEN, none=BROKEN),
    405: (LIMITED, LIMITED, "?", *(LIMITED,) * 5, "?", *(LIMITED,) * 11),
    429: (LIMITED, LIMITED, "?", *(LIMITED,) * 5, "?", *(LIMITED,) * 11),
    430: (LIMITED, LIMITED, "?", *(LIMITED,) * 5, "?", *(LIMITED,) * 11),
    455: (CLOSED, CLOSED, "?", CLOSED, CLOSED, "?", "?", "?", *(CLOSED,) * 12),
}

NOT_ENVELOPES = [
    b"",
    b"404 page not found",
    b"<html>busy</html>",
    b"null",
    b"[]",
    b"200",
    b"\xff",
    b"{}",
    b'{"code": NaN}',
    b'{"detail": "Not Found"}',
    b'{"message": "no Route matched with those values"}',
    b'{"timestamp": 1, "status": 404, "error": "Not Found", "path": "/api/v1/api/v1/generate/record-info"}',
    b'{"code": 404, "message": "Not Found"}',
    b'{"code": "NoSuchKey", "msg": "x"}',
    b'{"success": false, "error": {"code": 404}}',
    b"[" * 100_000,
]


def body(code, data=None):
    rest = {"msg": "whatever", "data": data}
    return json.dumps(rest if code is None else {"code": code, **rest}).encode()


@pytest.mark.parametrize("http", TABLE)
def test_http_status_and_code_together_tell_the_trouble(http):
    # "?": the two contradict each other, and no winner is documented.
    expected = {code: trouble for code, trouble in zip(CODES, TABLE[http], strict=True) if trouble != "?"}
    assert {code: classify_response(http, body(code)) for code in expected} == expected


@pytest.mark.parametrize("code", [200, "200", 200.0, " 200 "])
def test_the_code_may_be_spelled_as_any_number(code):
    assert classify_response(200, body(code)) is None
    assert classify_response(200, body(str(int(code) + 201))) is REFUSED


@pytest.mark.parametrize("raw", NOT_ENVELOPES)
def test_without_an_envelope_the_http_status_alone_tells_and_none_is_about_the_task(raw):
    statuses = (200, 204, 301, 302, 400, 401, 403, 404, 410, 422, 405, 429, 430, 451, 455, 500, 503)
    troubles = {status: classify_response(status, raw) for status in statuses}
    assert troubles == dict.fromkeys((200, 204, 301, 302, 400, 404, 410, 422, 451), OTHER) | {
        401: DENIED,
        403: DENIED,
        405: LIMITED,
        429: LIMITED,
        430: LIMITED,
        455: CLOSED,
        500: BROKEN,
        503: BROKEN,
    }


@pytest.mark.parametrize("code", [404, 451, 500, -1, 531, 10**12])
def test_any_code_in_an_envelope_is_an_answer_about_the_task_whatever_its_data(code):
    any_data: tuple[object, ...] = (None, "", [], {}, "text", {"taskId": "t", "status": "PENDING"})
    for data in any_data:
        assert classify_response(200, body(code, data)) is None
    assert classify_response(200, json.dumps({"code": code, "msg": "x"}).encode()) is None


@pytest.mark.parametrize("http", [400, 404, 422])
def test_a_record_beside_an_http_error_is_not_believed(http):
    assert classify_response(http, body(200, {"taskId": "t", "status": "SUCCESS"})) is OTHER


@pytest.mark.parametrize("code", [200, 0, None])
def test_a_code_without_data_promises_nothing(code):
    assert classify_response(200, json.dumps({"code": code, "msg": "ok"}).encode()) is OTHER


def test_zero_stands_for_200_beside_a_record():
    assert classify_response(200, body(0, {"taskId": "t", "status": "SUCCESS"})) is None


@pytest.mark.parametrize("data", ["text", 100, [], True])
def test_an_answer_of_another_service_with_code_200_is_not_record_info(data):
    assert classify_response(200, body(200, data)) is OTHER


def test_a_failed_generation_is_no_trouble_of_the_upstream():
    data = {"taskId": "t", "status": "GENERATE_AUDIO_FAILED", "errorCode": 500}
    assert classify_response(200, body(200, data)) is None


SERVED = {
    "ri-401-in-http-200": (200, REFUSED),
    "ri-429-http429": (429, LIMITED),
    "ri-429-insufficient-credits-real-message": (200, LIMITED),
    "ri-430-call-frequency": (200, LIMITED),
    "ri-455-maintenance": (200, CLOSED),
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
    assert classify_response(http, (SAMPLES / f"{name}.json").read_bytes()) is trouble


@pytest.mark.parametrize(
    ("http_status", "body", "trouble"),
    [
        (404, {"code": 401}, Trouble.REFUSED),
        (429, {"code": 401}, Trouble.REFUSED),
        (200, {"code": 401, "data": ""}, Trouble.REFUSED),
        (500, {"code": 404}, Trouble.SERVER_ERROR),
        (404, {"code": 429}, Trouble.LIMITED),
        (500, {"code": 429, "msg": "x"}, Trouble.LIMITED),
        (404, {"code": 500, "msg": "x"}, None),
        (200, {"code": 200, "data": ""}, Trouble.NOT_RECORD_INFO),
    ],
)
def test_trouble_is_found_wherever_it_is_reported(http_status, body, trouble):
    assert classify_response(http_status, json.dumps(body).encode()) is trouble


def test_every_trouble_has_a_meaning_for_people():
    assert all(0 < len(trouble.meaning) < 80 for trouble in Trouble)
