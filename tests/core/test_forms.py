"""Every form in which a callback may come: where its rows stand, how it is wrapped, how its words are spelled."""

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from receiver.core.observation import Observation, Source, Status
from receiver.core.payloads import ParsedPayload, ParseOutcome, parse_callback, parse_poll, parse_stored

URL = "https://cdn.example/1.mp3"
ROW = {"id": "a", "audio_url": URL, "title": "T", "duration": 101.5}
READ = {"id": "a", "audioUrl": URL, "title": "T", "duration": 101.5}
BODY = {"code": 200, "msg": "ok", "data": {"callbackType": "complete", "task_id": "t", "data": [ROW]}}
TEXT = json.dumps(BODY)


def parse(value: Any) -> ParsedPayload:
    return parse_callback(json.dumps(value).encode())


def observation_in(parsed: ParsedPayload) -> Observation:
    assert parsed.observation is not None, parsed
    return parsed.observation


def rows_of(parsed: ParsedPayload) -> list[Any]:
    return [dict(track.fields) for track in observation_in(parsed).tracks]


def with_data(**data: Any) -> dict[str, Any]:
    return {"code": 200, "data": {"callbackType": "complete", "task_id": "t", **data}}


LISTS = (
    "data",
    "sunoData",
    "suno_data",
    "items",
    "tracks",
    "songs",
    "clips",
    "music",
    "results",
    "list",
    "rows",
)
PLACES = {
    **{f"data.{name}": with_data(**{name: [ROW]}) for name in LISTS},
    **{f"response.{name}": with_data(response={name: [ROW]}) for name in LISTS},
    **{f"root.{name}": {"task_id": "t", "callbackType": "complete", name: [ROW]} for name in LISTS},
    "data.data of a callback with a status": with_data(status="SUCCESS", data=[ROW]),
    "sunoData in data.data": with_data(data={"sunoData": [ROW]}),
    "items in data.result": with_data(result={"items": [ROW]}),
    "a single row": with_data(data=ROW),
    "a single row in sunoData": with_data(sunoData=ROW),
    "a single row in the response": with_data(response={"sunoData": ROW}),
    "the response is the row": with_data(response=ROW),
    "the response is the list": with_data(response=[ROW]),
    "the rows as a text": with_data(data=json.dumps([ROW])),
    "the response as a text": with_data(response=json.dumps({"sunoData": [ROW]})),
    "the list is data": {"code": 200, "task_id": "t", "callbackType": "complete", "data": [ROW]},
    "behind an empty list": with_data(data=[], items=[ROW]),
    "behind a null": with_data(data=None, response={"data": [ROW]}),
    "beside another list": with_data(data=[ROW], items=[1, 2]),
    "flat": {"task_id": "t", **ROW},
    "flat in data": with_data(**ROW),
    "flat in data beside an empty list": with_data(data=[], **ROW),
    "flat in data beside a list of no rows": with_data(data=[1, 2], **ROW),
    "flat with a stage": {"task_id": "t", "callbackType": "complete", **ROW},
}


@pytest.mark.parametrize("place", PLACES)
def test_rows_are_found_wherever_they_stand(place: str) -> None:
    parsed = parse(PLACES[place])
    assert rows_of(parsed) == [READ]
    assert parsed.errors == {}
    assert observation_in(parsed).known_status in (None, Status.SUCCESS)


@pytest.mark.parametrize(
    "place", [name for name in PLACES if name.startswith(("response", "data.", "sunoData", "a single"))]
)
def test_record_infos_rows_are_found_wherever_they_stand(place: str) -> None:
    body = json.loads(json.dumps(PLACES[place]))
    if "data" in body and isinstance(body["data"], dict):
        body["data"] |= {"status": "SUCCESS", "callbackType": None}
    parsed = parse_poll(json.dumps(body).encode(), "t")
    if parsed.kind is ParseOutcome.PARSED:
        assert rows_of(parsed) == [READ]
        assert observation_in(parsed).source is Source.POLL


def test_a_flat_body_claims_no_status() -> None:
    assert observation_in(parse({"task_id": "t", **ROW})).status == ""
    assert observation_in(parse({"code": 0, "task_id": "t", **ROW})).status == ""
    assert (
        observation_in(parse({"code": 501, "task_id": "t", **ROW})).known_status
        is Status.GENERATE_AUDIO_FAILED
    )


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"data": []},
        {"data": None},
        {"data": [{}]},
        {"data": {"x": 1}},
        {"rowsOfMine": [ROW]},
        {"data": [[]]},
    ],
)
def test_a_success_without_rows_that_can_be_read_says_so(data: dict[str, Any]) -> None:
    parsed = parse(with_data(**data))
    assert (observation_in(parsed).known_status, observation_in(parsed).tracks) == (Status.SUCCESS, ())
    assert parsed.errors
    response = parse_poll(
        json.dumps({"code": 200, "data": {"taskId": "t", "status": "SUCCESS", "response": None}}).encode(),
        "t",
    )
    assert response.errors == {"data.data": ["SUCCESS came without a row that could be read."]}


@pytest.mark.parametrize(
    "name", ["id", "audioId", "audio_id", "clipId", "clip_id", "musicId", "songId", "trackId"]
)
def test_the_id_of_a_row_is_read_in_every_spelling(name: str) -> None:
    parsed = parse(with_data(data=[{name: "a", "audio_url": URL}]))
    assert rows_of(parsed) == [{"id": "a", "audioUrl": URL}]
    assert observation_in(parsed).tracks[0].key == "id:a"


def test_an_id_that_is_named_so_goes_before_the_other_names() -> None:
    assert rows_of(parse(with_data(data=[{"audioId": "x", "id": "a"}])))[0]["id"] == "a"
    assert rows_of(parse(with_data(data=[{"audioId": "x", "id": ""}])))[0]["id"] == "x"


@pytest.mark.parametrize(
    ("usual", "other"), [("id", "audioId"), ("audio_url", "mp3Url"), ("createTime", "created_at")]
)
def test_of_two_names_without_a_value_the_usual_one_counts(usual: str, other: str) -> None:
    for row in ({usual: "", other: []}, {other: [], usual: ""}):
        assert parse(with_data(data=[{"title": "T", **row}])).errors == {}
    for row in ({usual: [], other: ""}, {other: "", usual: []}):
        assert len(parse(with_data(data=[{"title": "T", **row}])).errors) == 1


@pytest.mark.parametrize("name", ["sourceAudioUrl", "source_audio_url", "SourceAudioURL", "source-audio-url"])
def test_the_source_audio_is_read_in_every_spelling(name: str) -> None:
    assert rows_of(parse(with_data(data=[{"id": "a", name: URL}]))) == [{"id": "a", "sourceAudioUrl": URL}]


WRAPPED = {
    "a text": json.dumps(TEXT),
    "a text of a text": json.dumps(json.dumps(TEXT)),
    "data as a text": json.dumps({**BODY, "data": json.dumps(BODY["data"])}),
    "a list of one": json.dumps([BODY]),
    "a list of one text": json.dumps([TEXT]),
    "a text of a list of one": json.dumps(json.dumps([BODY])),
    "a list of one list": json.dumps([BODY]),
    **{f"under {name}": json.dumps({name: BODY}) for name in ("body", "payload", "event", "message", "Body")},
    **{f"a text under {name}": json.dumps({name: TEXT}) for name in ("body", "payload", "event", "message")},
    "an item of n8n": json.dumps([{"headers": {}, "params": {}, "query": {}, "body": BODY}]),
    "beside other objects": json.dumps({"headers": {"a": "b"}, "meta": {"x": {}}, "body": BODY, "n": 1}),
    "beside an empty body": json.dumps({"body": {}, "payload": BODY}),
    "data as a text under body": json.dumps({"body": {**BODY, "data": json.dumps(BODY["data"])}}),
    "data as a list of one that names the task": json.dumps({"code": 200, "data": [BODY["data"]]}),
    "a form's payload": urlencode({"payload": TEXT, "other": "1"}),
    "a form's only field": urlencode({"whatever": TEXT}),
    "a form's field of JSON": urlencode({"sender": "x", "when": "now", "it": TEXT}),
    "a form's data in a text": urlencode({"data": json.dumps({**BODY, "data": json.dumps(BODY["data"])})}),
    "a form's body beside another JSON": urlencode({"body": TEXT, "meta": "{}"}),
    "a multipart form": (
        '--XyZ\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
        f'--XyZ\r\nContent-Disposition: form-data; name="json"; filename="x"\r\nContent-Type: application/json\r\n\r\n{TEXT}\r\n'
        "--XyZ--\r\n"
    ),
    "a multipart form of one field": f"--b\nContent-Disposition: form-data; name=payload\n\n{TEXT}\n--b--\n",
}


@pytest.mark.parametrize("way", WRAPPED)
def test_wrapped_json_is_unwrapped(way: str) -> None:
    parsed = parse_callback(WRAPPED[way].encode())
    assert (parsed.kind, parsed.task_id) == (ParseOutcome.PARSED, "t")
    assert rows_of(parsed) == [READ]
    assert observation_in(parsed).known_status is Status.SUCCESS
    assert parsed == parse_stored(WRAPPED[way].encode(), source=Source.CALLBACK, task_id=None), (
        "a stored body reads the same"
    )


def test_wrapped_json_is_the_same_content_as_without_its_wrapping() -> None:
    for way in ("a text", "a list of one", "under body", "an item of n8n", "a form's payload"):
        assert parse_callback(WRAPPED[way].encode()).digest == parse(BODY).digest


AMBIGUOUS = {
    "two bodies in a list": [BODY, BODY],
    "two wrappers": {"body": BODY, "payload": BODY},
    "another object names a task, too": {"body": BODY, "other": BODY},
    "under a name that is no wrapper": {"content": BODY},
    "three texts": json.dumps(json.dumps(TEXT)),
    "a text in a list of lists": [[[BODY]]],
    "under two wrappers and a list": [{"body": {"payload": BODY}}],
    "a wrapper without a task": {"body": {"code": 200}},
}


@pytest.mark.parametrize("way", AMBIGUOUS)
def test_what_is_ambiguous_or_wrapped_too_often_has_no_task_id(way: str) -> None:
    assert parse(AMBIGUOUS[way]).kind is ParseOutcome.NO_TASK_ID


def test_a_body_that_names_its_task_is_not_searched_for_another() -> None:
    assert parse({"task_id": "mine", "callbackType": "text", "body": BODY}).task_id == "mine"


@pytest.mark.parametrize(
    "form",
    [
        "task_id=t",
        "a=1&b=2",
        f"one={quote(TEXT)}&two={quote(TEXT)}",
        "payload=%7Bbroken",
        "=&=",
        "payload=",
        "--\r\n--",
        "--x",
    ],
)
def test_a_form_without_one_json_is_not_json(form: str) -> None:
    assert parse_callback(form.encode()).kind is ParseOutcome.NOT_JSON


WORDS = {
    Status.SUCCESS: (
        "SUCCESS",
        "success",
        "Success",
        " success ",
        "COMPLETE",
        "complete",
        "Completed",
        "DONE",
        "done",
    ),
    Status.PENDING: ("pending", "Pending", "generating"),
    Status.TEXT_SUCCESS: ("text_success", "Text_Success"),
    Status.FIRST_SUCCESS: ("first_success",),
    Status.CALLBACK_EXCEPTION: ("callback_exception",),
    Status.GENERATE_AUDIO_FAILED: ("generate_audio_failed", "failed", "Failed"),
    Status.CREATE_TASK_FAILED: ("create_task_failed",),
    Status.SENSITIVE_WORD_ERROR: ("sensitive_word_error",),
}


@pytest.mark.parametrize(
    ("word", "meaning"), [(word, status) for status, words in WORDS.items() for word in words]
)
def test_a_status_is_read_in_any_case(word: str, meaning: Status) -> None:
    for read in (parse, lambda value: parse_poll(json.dumps(value).encode(), "t")):
        observation = observation_in(
            read({"code": 200, "data": {"taskId": "t", "status": word, "response": {"sunoData": [ROW]}}})
        )
        assert observation.known_status is meaning
        assert observation.status == word


@pytest.mark.parametrize(
    ("body", "meaning"),
    [
        ({"code": 0, "data": {"task_id": "t", "callbackType": "complete", "data": [ROW]}}, Status.SUCCESS),
        ({"code": "0", "data": {"task_id": "t", "callbackType": "complete", "data": [ROW]}}, Status.SUCCESS),
        ({"code": 0, "data": {"task_id": "t", "callbackType": "first", "data": []}}, Status.FIRST_SUCCESS),
        ({"code": 0, "data": {"task_id": "t", "callbackType": "TEXT"}}, Status.TEXT_SUCCESS),
        ({"code": 0, "data": {"task_id": "t", "data": [ROW]}}, None),
        (
            {"code": 0, "data": {"taskId": "t", "status": "SUCCESS", "response": {"sunoData": [ROW]}}},
            Status.SUCCESS,
        ),
        ({"code": 0, "data": {"task_id": "t", "callbackType": "error"}}, Status.GENERATE_AUDIO_FAILED),
        ({"code": 0, "data": {"task_id": "t"}}, Status.GENERATE_AUDIO_FAILED),
        (
            {"code": 1, "data": {"task_id": "t", "callbackType": "complete", "data": [ROW]}},
            Status.GENERATE_AUDIO_FAILED,
        ),
        ({"code": -1, "data": {"task_id": "t", "callbackType": "complete"}}, Status.GENERATE_AUDIO_FAILED),
    ],
)
def test_code_zero_beside_rows_or_a_stage_is_no_failure(body: dict[str, Any], meaning: Status | None) -> None:
    assert observation_in(parse(body)).known_status is meaning


def test_a_status_beside_a_stage_that_nobody_documented_is_read() -> None:
    body = {
        "code": 200,
        "data": {"taskId": "t", "callbackType": "task", "status": "SUCCESS", "response": {"sunoData": [ROW]}},
    }
    assert observation_in(parse(body)).known_status is Status.SUCCESS


def test_a_failure_code_is_read_though_empty_fields_of_record_info_stand_beside_it() -> None:
    body = {"code": 501, "msg": "no", "data": {"taskId": "t", "status": "", "response": None}}
    assert observation_in(parse(body)).details == {"errorCode": 501, "errorMessage": "no"}


@pytest.mark.parametrize("field", ["type", "operationType", "param", "errorMessage", "parentMusicId"])
def test_a_bad_value_beside_the_rows_loses_only_itself(field: str) -> None:
    data = {"taskId": "t", "status": "SUCCESS", "response": {"sunoData": [ROW]}, field: True}
    parsed = parse_poll(json.dumps({"code": 200, "data": data}).encode(), "t")
    assert rows_of(parsed) == [READ]
    assert list(parsed.errors) == [f"data.{field}"]
