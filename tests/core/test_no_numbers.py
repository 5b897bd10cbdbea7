"""`NaN`, `Infinity`, `1e999` and endless digits, which programs write: each loses its own place and nothing else."""

import json
from itertools import product
from typing import Any

import pytest

from receiver.core.payloads import ParsedPayload, ParseOutcome, classify_response, parse_callback, parse_poll

URL = "https://cdn.example/a.mp3"


def row_of(parsed: ParsedPayload) -> dict[str, Any]:
    assert parsed.observation is not None
    (track,) = parsed.observation.tracks
    return dict(track.fields)


NO_NUMBERS = ("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 5000, "-" + "9" * 5000)
NOT_ONE = "a number that is none"  # its place in a body
FIELDS_OF_A_ROW = (
    "id audioUrl streamAudioUrl imageUrl sourceAudioUrl sourceStreamAudioUrl sourceImageUrl prompt modelName title"
    " tags createTime duration"
).split()


def with_number(number: str, value: Any) -> bytes:
    return json.dumps(value).replace(json.dumps(NOT_ONE), number).encode()


@pytest.mark.parametrize("field", FIELDS_OF_A_ROW)
def test_a_number_that_is_none_loses_its_field_of_a_row_and_nothing_else(field: str) -> None:
    for number in NO_NUMBERS:
        assert_field_is_lost(field, number)


def assert_field_is_lost(field: str, number: str) -> None:
    row = {"id": "a", "audioUrl": URL, "title": "Tides", "duration": 64.5}
    rows = [{**row, field: NOT_ONE}]
    record = {"taskId": "t", "status": "SUCCESS", "response": {"sunoData": rows}}
    callback = {"callbackType": "complete", "task_id": "t", "data": rows}
    responses = [parse_poll(with_number(number, {"code": 200, "msg": "x", "data": record}), "t")]
    callbacks = [
        parse_callback(with_number(number, {"code": 200, "data": data})) for data in (record, callback)
    ]
    for parsed in responses + callbacks:
        assert row_of(parsed) == {name: value for name, value in row.items() if name != field}
        assert [path.rpartition(".")[2] for path in parsed.errors] == [field]
        assert parsed.observation is not None
        assert parsed.observation.status == "SUCCESS"


@pytest.mark.parametrize(
    "field", ["type", "operationType", "parentMusicId", "param", "errorCode", "errorMessage"]
)
def test_a_number_that_is_none_loses_its_detail_of_a_task(field: str) -> None:
    for number, inside in product(NO_NUMBERS, (False, True)):
        assert_detail_is_lost(field, number, inside=inside)


def assert_detail_is_lost(field: str, number: str, *, inside: bool) -> None:
    value = {"x": [NOT_ONE]} if inside else NOT_ONE
    record = {"taskId": "t", "status": "PENDING", "response": None, field: value}
    body = with_number(number, {"code": 200, "msg": "x", "data": record})
    assert classify_response(200, body) is None
    for parsed in (parse_poll(body, "t"), parse_callback(body)):
        assert parsed.observation is not None
        assert parsed.observation.status == "PENDING"
        assert parsed.observation.details == {}
        assert list(parsed.errors) == [f"data.{field}"]


@pytest.mark.parametrize("number", NO_NUMBERS)
def test_a_number_that_is_none_stands_for_nothing_where_an_object_or_a_list_belongs(number: str) -> None:
    for response in (NOT_ONE, {"sunoData": NOT_ONE}, {"taskId": NOT_ONE, "sunoData": []}):
        record = {"taskId": "t", "status": "PENDING", "response": response}
        parsed = parse_poll(with_number(number, {"code": 200, "msg": "x", "data": record}), "t")
        assert parsed.kind is ParseOutcome.PARSED
        assert parsed.observation is not None
        assert parsed.observation.status == "PENDING"
    row = {"id": "a", "audioUrl": NOT_ONE, "audio_url": URL, "unknown": [NOT_ONE]}
    parsed = parse_callback(
        with_number(number, {"code": 200, "task_id": "t", "data": {"data": [row], "x": NOT_ONE}})
    )
    assert row_of(parsed) == {"id": "a", "audioUrl": URL}
    assert parsed.errors == {}


def test_a_number_that_is_none_in_json_in_a_text_is_read_too() -> None:
    inner = with_number(
        "NaN", {"task_id": "t", "callbackType": "text", "data": [{"id": "a", "duration": NOT_ONE}]}
    )
    parsed = parse_callback(json.dumps({"code": 200, "data": inner.decode()}).encode())
    assert row_of(parsed) == {"id": "a"}
    assert list(parsed.errors) == ["data.data.0.duration"]


def test_bodies_that_stay_unread_say_which_field_is_at_fault() -> None:
    parsed = parse_callback(
        b'{"code": NaN, "data": {"task_id": "t", "callbackType": "complete", "data": []}}'
    )
    assert (parsed.kind, parsed.task_id, list(parsed.errors)) == (ParseOutcome.UNREADABLE, "t", ["code"])
    assert parse_callback(b'{"code": 200, "data": {"task_id": NaN}}').kind is ParseOutcome.NO_TASK_ID
