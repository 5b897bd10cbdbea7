"""Bytes to observations, or why not: every sample body, and what each rule of section 4 promises."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.core.observation import Source, Track
from receiver.core.payloads import ParseOutcome, parse_callback, parse_poll

SAMPLES = Path(__file__).parent.parent / "payloads"
fuzz = settings(max_examples=40, deadline=None, derandomize=True)
long_fuzz = settings(max_examples=300, deadline=None, derandomize=True)

F, S = "GENERATE_AUDIO_FAILED", "SUCCESS"
URL = "https://cdn.example/a.mp3"


def read(status="", tracks=0, playable=0):
    return ParseOutcome.PARSED, status, tracks, playable, None


def sister(product):
    return ParseOutcome.UNSUPPORTED, None, 0, 0, product


NO_TASK_ID = (ParseOutcome.NO_TASK_ID, None, 0, 0, None)
UNKNOWN_TASK = (ParseOutcome.UNKNOWN_TASK, None, 0, 0, None)
UNREADABLE = (ParseOutcome.UNREADABLE, None, 0, 0, None)

# kind, status, number of tracks, how many of them are playable, product. `ri-` files are read as answers
# about the task they name, the others as callbacks; what is none (`credit-`, `submit-`) must do no harm.
TABLE = {
    "cb-assumed-recordinfo-shape": read("FIRST_SUCCESS", 1, 1),
    "cb-cover-image-error-docs": sister("cover_image"),
    "cb-cover-image-success-docs": sister("cover_image"),
    "cb-extend-error-docs-kie-501-empty-array": read(F),
    "cb-extend-first-docs-kie": read("FIRST_SUCCESS", 1, 1),
    "cb-extend-text-docs-kie-empty-array": read("TEXT_SUCCESS"),
    "cb-kie-market-shape": sister("market"),
    "cb-legacy2024-complete-no-task-id": NO_TASK_ID,
    "cb-legacy2024-failed-501-type-complete": NO_TASK_ID,
    "cb-legacy2024-text-no-task-id": NO_TASK_ID,
    "cb-lyrics-complete-docs-apibox": sister("lyrics"),
    "cb-lyrics-complete-docs-sunoapi": sister("lyrics"),
    "cb-lyrics-error-docs-sunoapi": read(F),  # nothing in it tells lyrics from music
    "cb-midi-success-docs-kie-cn-data-taskid": sister("midi"),
    "cb-midi-success-docs-root-task-id": sister("midi"),
    "cb-mp4-error-docs": sister("mp4"),
    "cb-mp4-success-docs": sister("mp4"),
    "cb-mp4-success-older-docs-extra-fields": sister("mp4"),
    "cb-music-complete-docs-kie": read(S, 2, 2),
    "cb-music-complete-docs-sunoapi": read(S, 2, 2),
    "cb-music-complete-duration-not-numeric": read(S, 1, 1),
    "cb-music-complete-kie-observed-shape": read(S, 1, 1),
    "cb-music-complete-kie-sparse-second-row": read(S, 2, 2),
    "cb-music-complete-observed-int-and-float-duration": read(S, 2, 2),
    "cb-music-complete-real-instrumental-two-rows": read(S, 2, 2),
    "cb-music-error-413-no-callbacktype": read(F),
    "cb-music-error-500-no-data-key-real": read(F),
    "cb-music-error-531-credits-refunded": read(F),
    "cb-music-error-code200-type-error": read(F),
    "cb-music-error-docs-kie-501-null": read(F),
    "cb-music-error-docs-sunoapi-400-null": read(F),
    "cb-music-error-unknown-code-no-msg": read(F),
    "cb-music-first-camelcase": read("FIRST_SUCCESS", 2, 2),
    "cb-music-first-observed-row-no-audio": read("FIRST_SUCCESS", 1, 0),
    "cb-music-first-real-two-rows-second-unfinished": read("FIRST_SUCCESS", 2, 1),
    "cb-music-first-uppercase-type": read("FIRST_SUCCESS", 1, 1),
    "cb-music-text-null-data": read("TEXT_SUCCESS"),
    "cb-music-text-observed-row-with-duration-but-no-audio": read("TEXT_SUCCESS", 1, 0),
    "cb-music-text-uppercase-type": read("TEXT_SUCCESS", 1, 1),
    "cb-replace-section-error-docs-kie-error-string": read(F),
    "cb-vocal-removal-apibox-with-origin": sister("vocal_removal"),
    "cb-vocal-removal-error-docs": sister("vocal_removal"),
    "cb-vocal-removal-separate-docs": sister("vocal_removal"),
    "cb-vocal-removal-split-stem-docs": sister("vocal_removal"),
    "cb-wav-error-docs": sister("wav"),
    "cb-wav-success-docs-camel": sister("wav"),
    "cb-wav-success-snake": sister("wav"),
    "credit-ok": NO_TASK_ID,
    "other-vendor-loveaiapi-text-streaming": NO_TASK_ID,
    "ri-401-in-http-200": UNKNOWN_TASK,  # `classify_response` has refused it before: test_upstream_trouble.py
    "ri-429-http429": UNKNOWN_TASK,
    "ri-429-insufficient-credits-real-message": UNKNOWN_TASK,
    "ri-430-call-frequency": UNKNOWN_TASK,
    "ri-455-maintenance": UNKNOWN_TASK,
    "ri-500-http500-msg-only": UNREADABLE,
    "ri-cover-image-success-docs": sister("cover_image"),
    "ri-jobs-422-recordinfo-null-real": UNKNOWN_TASK,
    "ri-lyrics-sensitive-word-error": read("SENSITIVE_WORD_ERROR"),
    "ri-lyrics-success-lyricsData": sister("lyrics"),
    "ri-lyrics-success-sunoapi": sister("lyrics"),
    "ri-midi-success-docs": sister("midi"),
    "ri-mp4-success-docs-epoch": sister("mp4"),
    "ri-music-callback-exception-no-response": read("CALLBACK_EXCEPTION"),
    "ri-music-callback-exception-with-tracks": read("CALLBACK_EXCEPTION", 2, 0),  # `u1.mp3` is no URL
    "ri-music-code200-data-null": UNKNOWN_TASK,
    "ri-music-error-code-is-string": read("SENSITIVE_WORD_ERROR"),
    "ri-music-failed-413-cant-fetch-upload-real": read(F),
    "ri-music-failed-errorMsg-key": read(F),
    "ri-music-first-success-all-empty-strings": read("FIRST_SUCCESS", 1, 0),
    "ri-music-first-success-second-audio-empty": read("FIRST_SUCCESS", 2, 1),
    "ri-music-generate-audio-failed-400": read(F),
    "ri-music-generate-audio-failed-500-real": read(F),
    "ri-music-pending-empty-response-object": read("PENDING"),
    "ri-music-pending-placeholder-row": read("PENDING"),  # a row of nothing but no values is no track
    "ri-music-pending-real": read("PENDING"),
    "ri-music-quickstart-shape": read(S, 1, 1),
    "ri-music-status-generating": read("GENERATING"),
    "ri-music-status-unknown": read("MYSTERY"),
    "ri-music-success-docs-seed": read(S, 1, 1),
    "ri-music-success-observed-all-audio-urls-null": read(S, 1, 0),
    "ri-music-success-real-kie": read(S, 2, 2),
    "ri-music-success-real-upload-cover": read(S, 2, 2),
    "ri-music-success-snake-rows": read(S, 1, 1),
    "ri-music-text-success-empty-rows": read("TEXT_SUCCESS"),
    "ri-vocal-removal-separate-docs-epoch": sister("vocal_removal"),
    "ri-wav-success-apibox-status-snake": sister("wav"),
    "ri-wav-success-docs": sister("wav"),
    "submit-generate-400-artist-name": NO_TASK_ID,
    "submit-generate-missing-callback-400": NO_TASK_ID,
    "submit-generate-missing-callback-422-http200": NO_TASK_ID,
    "submit-generate-ok-snake-task-id": read(),
    "submit-generate-ok": read(),
    "submit-legacy2024-data-null": NO_TASK_ID,
}


def sample(name):
    return (SAMPLES / f"{name}.json").read_bytes()


def read_sample(name):
    body = sample(name)
    if not name.startswith("ri-"):
        return parse_callback(body)
    data = json.loads(body).get("data") or {}
    return parse_poll(body, data.get("taskId") or "asked")


def test_every_sample_file_has_its_row_in_the_table():
    assert sorted(TABLE) == sorted(path.stem for path in SAMPLES.glob("*.json"))


@pytest.mark.parametrize("name", TABLE)
def test_every_sample_is_read_as_what_it_is(name):
    parsed = read_sample(name)
    observation = parsed.observation
    tracks = observation.tracks if observation else ()
    playable = sum(track.playable for track in tracks)
    status = observation.status if observation else None
    assert (parsed.kind, status, len(tracks), playable, parsed.product) == TABLE[name]


@pytest.mark.parametrize("name", [name for name, row in TABLE.items() if row[0] is ParseOutcome.PARSED])
def test_every_readable_sample_names_its_task_and_its_source(name):
    observation = read_sample(name).observation
    assert observation.task_id == read_sample(name).task_id
    assert observation.source is (Source.POLL if name.startswith("ri-") else Source.CALLBACK)


@pytest.mark.parametrize("name", [name for name in TABLE if name.startswith("cb-")])
def test_every_sample_callback_stays_the_same_content_with_its_keys_reordered(name):
    def reversed_keys(value):
        if isinstance(value, dict):
            return {key: reversed_keys(inner) for key, inner in reversed(value.items())}
        return [reversed_keys(inner) for inner in value] if isinstance(value, list) else value

    reordered = json.dumps(reversed_keys(json.loads(sample(name))), indent=3).encode()
    assert parse_callback(reordered).digest == parse_callback(sample(name)).digest
    assert parse_callback(reordered).observation == parse_callback(sample(name)).observation


# Helpers for bodies of our own


def parse(value):
    return parse_callback(json.dumps(value).encode())


def stage(rows=None, *, code=200, word="complete", **data):
    return parse(
        {"code": code, "msg": "ok", "data": {"callbackType": word, "task_id": "t", "data": rows, **data}}
    )


def row_of(parsed):
    (track,) = parsed.observation.tracks
    return track.fields


def answer(data, *, asked="t", **root):
    return parse_poll(json.dumps({"code": 200, "msg": "success", "data": data, **root}).encode(), asked)


# The task id


@pytest.mark.parametrize("spelling", ["task_id", "taskId", "TaskId", "TASK_ID", "taskid", "task-id"])
@pytest.mark.parametrize(
    "place",
    [
        lambda known: {"code": 200, "data": {"callbackType": "text", **known}},
        lambda known: {"code": 200, "data": {"callbackType": "text"}, **known},
        lambda known: {"code": 200, "data": None, **known},
        lambda known: {"code": 200, "callbackType": "text", **known},
        lambda known: {"code": 200, "data": {"status": "PENDING", "response": known}},
        lambda known: {"code": 200, "data": {"status": "PENDING", "response": json.dumps(known)}},
    ],
    ids=["data", "root", "root beside null", "no data", "response", "response as text"],
)
def test_the_task_id_is_found_in_every_spelling_and_place(spelling, place):
    assert parse(place({spelling: "2fac****9f72"})).task_id == "2fac****9f72"


def test_a_task_id_that_is_a_number_or_padded_is_read_as_text():
    assert parse({"data": {"task_id": 774}}).task_id == "774"
    assert parse({"data": {"task_id": " abc\n"}}).task_id == "abc"


def test_a_task_id_that_is_null_or_empty_in_one_place_is_looked_for_in_the_next():
    empty: tuple[object, ...] = (None, "", "  ", [], {}, True)
    for nothing in empty:
        assert parse({"task_id": "t", "data": {"task_id": nothing, "callbackType": "text"}}).task_id == "t"


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "  ",
        True,
        1.5,
        [],
        ["t"],
        {"t": 1},
        "a b",
        "a/b",
        "a\\b",
        "a\nb",
        "a\0b",
        "a\ud800",
        "x" * 201,
    ],
)
def test_what_cannot_be_a_task_id_is_none(value):
    parsed = parse({"code": 200, "data": {"callbackType": "complete", "task_id": value}})
    assert parsed.kind is ParseOutcome.NO_TASK_ID
    assert list(parsed.errors) == ["data.taskId"]


def test_the_longest_task_id_is_two_hundred_characters():
    assert parse({"data": {"task_id": "x" * 200}}).task_id == "x" * 200


@pytest.mark.parametrize("value", [[], [{"task_id": "t"}, {"task_id": "u"}], [5], "t", 5, 1.5, True, None])
def test_a_body_that_is_json_but_no_object_has_no_task_id(value):
    parsed = parse(value)
    assert parsed.kind is ParseOutcome.NO_TASK_ID
    assert parsed.errors == {"": ["Not a JSON object."]}


# The stage shape

STAGES = [
    (200, "complete", "SUCCESS"),
    (200, "first", "FIRST_SUCCESS"),
    (200, "text", "TEXT_SUCCESS"),
    (200, "error", F),
    (501, "complete", F),
    (400, "first", F),
    (531, "text", F),
    (599, None, F),
    (413, "error", F),
    (200, "second", ""),
    (200, None, ""),
    (200, "", ""),
    ("200", "complete", "SUCCESS"),
    (200.0, "complete", "SUCCESS"),
    ("501", "complete", F),
]


@pytest.mark.parametrize(("code", "word", "status"), STAGES)
def test_code_and_callback_type_together_tell_the_status(code, word, status):
    parsed = stage([{"id": "a"}], code=code, word=word)
    assert parsed.observation.status == status
    assert parsed.observation.tracks == (Track(key="id:a", fields={"id": "a"}),)


@pytest.mark.parametrize("word", ["complete", "COMPLETE", "Complete", "cOmPlEtE", " complete "])
def test_the_callback_type_is_read_in_any_case(word):
    assert stage(word=word).observation.status == "SUCCESS"


@pytest.mark.parametrize("spelling", ["callbackType", "callback_type", "CallbackType"])
def test_the_callback_type_is_read_in_every_spelling(spelling):
    assert (
        parse({"code": 200, "data": {"task_id": "t", spelling: "first"}}).observation.status
        == "FIRST_SUCCESS"
    )


def test_a_failure_tells_its_code_and_its_message():
    assert stage(code=501).observation.details == {"errorCode": 501, "errorMessage": "ok"}
    body = {"code": 501, "data": {"task_id": "t", "callbackType": "error", "error": "broken"}}
    assert parse(body).observation.details == {"errorCode": 501, "errorMessage": "broken"}


def test_an_error_with_code_200_tells_no_error_code():
    assert stage(word="error").observation.details == {"errorMessage": "ok"}


def test_a_success_tells_no_error():
    assert stage([{"id": "a"}]).observation.details == {}


def test_the_message_is_never_read_for_its_meaning():
    body = {
        "code": 200,
        "msg": "All generated successfully.",
        "data": {"task_id": "t", "callbackType": "first"},
    }
    assert parse(body).observation.status == "FIRST_SUCCESS"


# Rows


def test_rows_of_both_spellings_become_the_same_track():
    snake = {
        "id": "a",
        "audio_url": URL,
        "stream_audio_url": f"{URL}?s",
        "image_url": f"{URL}?i",
        "source_audio_url": f"{URL}?ou",
        "source_stream_audio_url": f"{URL}?os",
        "source_image_url": f"{URL}?oi",
        "prompt": "p",
        "model_name": "m",
        "title": "T",
        "tags": "g",
        "create_time": "2025-01-01 00:00:00",
        "duration": 1,
    }
    camel = {
        "id": "a",
        "audioUrl": URL,
        "streamAudioUrl": f"{URL}?s",
        "imageUrl": f"{URL}?i",
        "sourceAudioUrl": f"{URL}?ou",
        "sourceStreamAudioUrl": f"{URL}?os",
        "sourceImageUrl": f"{URL}?oi",
        "prompt": "p",
        "modelName": "m",
        "title": "T",
        "tags": "g",
        "createTime": "2025-01-01 00:00:00",
        "duration": 1,
    }
    assert row_of(stage([snake])) == row_of(stage([camel])) == camel
    assert row_of(answer({"status": "SUCCESS", "response": {"sunoData": [snake]}})) == camel


def test_of_two_spellings_in_one_row_the_one_with_a_value_counts():
    for row in ({"audio_url": "", "audioUrl": URL}, {"audio_url": URL, "audioUrl": None}):
        assert row_of(stage([row])) == {"audioUrl": URL}


def test_null_empty_and_absent_are_no_value():
    row = {"id": "a", "audio_url": "", "image_url": None, "duration": "", "createTime": "", "title": "  "}
    assert row_of(stage([row])) == {"id": "a"}


def test_unknown_fields_are_no_error():
    parsed = stage([{"id": "a", "lyricsColour": "blue"}], mood="calm")
    assert row_of(parsed) == {"id": "a"}
    assert parsed.errors == {}


def test_rows_without_an_id_are_known_by_their_place():
    rows = [{"title": "x"}, {"id": "", "title": "y"}, {"id": "a"}]
    assert [track.key for track in stage(rows).observation.tracks] == ["#0", "#1", "id:a"]


def test_a_row_without_any_value_is_no_track():
    assert stage([{}, {"id": "", "audio_url": "", "duration": None}]).observation.tracks == ()


BAD = {
    "id": ["list"],
    "audio_url": {"url": "u"},
    "title": True,
    "prompt": ["line"],
    "duration": "abc",
    "createTime": "yesterday",
}


@pytest.mark.parametrize("field", BAD)
def test_a_bad_value_loses_only_itself_and_is_reported_by_its_path(field):
    good = {"id": "a", "audio_url": URL, "title": "T", "prompt": "p", "duration": 2.5, "createTime": 1}
    parsed = stage([good, {**good, field: BAD[field]}])
    whole, rest = parsed.observation.tracks
    name = {"audio_url": "audioUrl"}.get(field, field)
    assert parsed.kind is ParseOutcome.PARSED
    assert rest.fields == {key: value for key, value in whole.fields.items() if key != name}
    assert list(parsed.errors) == [f"data.data.1.{name}"]


def test_a_bad_duration_is_reported_by_its_dotted_path():
    assert read_sample("cb-music-complete-duration-not-numeric").errors == {
        "data.data.0.duration": ["Not a number of seconds."]
    }


def test_a_bad_value_in_a_record_info_row_is_reported_by_its_path():
    parsed = answer({"status": "SUCCESS", "response": {"sunoData": [{"id": "a", "duration": -1}]}})
    assert row_of(parsed) == {"id": "a"}
    assert list(parsed.errors) == ["data.response.sunoData.0.duration"]


@pytest.mark.parametrize("odd", ["row", 5, None, ["id"], True])
def test_a_row_that_is_no_object_loses_only_itself(odd):
    parsed = stage([odd, {"id": "a"}, {"title": "x"}])
    assert [track.key for track in parsed.observation.tracks] == ["id:a", "#2"]
    assert list(parsed.errors) == ["data.data.0"]


@pytest.mark.parametrize("rows", ["rows", 5, True])
def test_rows_that_are_no_list_are_quarantined_under_their_task(rows):
    parsed = stage(rows)
    assert (parsed.kind, parsed.task_id, list(parsed.errors)) == (
        ParseOutcome.UNREADABLE,
        "t",
        ["data.data"],
    )


@pytest.mark.parametrize("data", ["text", 5, True])
def test_data_that_is_no_object_is_quarantined_where_the_root_names_the_task(data):
    parsed = parse({"code": 200, "task_id": "t", "data": data})
    assert (parsed.kind, parsed.task_id) == (ParseOutcome.UNREADABLE, "t")
    assert list(parsed.errors.values()) == [["Not an object."]]
    assert parse({"code": 200, "data": data}).kind is ParseOutcome.NO_TASK_ID


@pytest.mark.parametrize("code", ["abc", 1.5, True, [], {}])
def test_a_code_that_is_no_number_is_quarantined(code):
    parsed = stage(code=code)
    assert (parsed.kind, parsed.task_id, list(parsed.errors)) == (ParseOutcome.UNREADABLE, "t", ["code"])


def test_data_that_is_the_list_of_rows_is_read_where_the_root_names_the_task():
    parsed = parse(
        {"code": 200, "callbackType": "complete", "taskId": "t", "data": [{"id": "a", "audioUrl": URL}]}
    )
    assert parsed.observation.status == "SUCCESS"
    assert row_of(parsed) == {"id": "a", "audioUrl": URL}


# Times, durations, texts


@pytest.mark.parametrize(
    ("value", "read_as"),
    [
        (1758044664461, "2025-09-16T17:44:24.461Z"),
        ("1758044664461", "2025-09-16T17:44:24.461Z"),
        (1758044664000.0, "2025-09-16T17:44:24.000Z"),
        (0, "1970-01-01T00:00:00.000Z"),
        ("2025-09-16T17:44:24.461Z", "2025-09-16T17:44:24.461Z"),
        ("2025-09-16T20:44:24+03:00", "2025-09-16T17:44:24.000Z"),
        ("2025-01-01 00:00:00", "2025-01-01 00:00:00"),
        ("2025-01-01T00:00:00", "2025-01-01T00:00:00"),
        (" 2025-01-01 00:00:00 ", "2025-01-01 00:00:00"),
    ],
)
def test_a_time_is_normalized_where_its_zone_is_known_and_left_where_not(value, read_as):
    assert row_of(stage([{"createTime": value}])) == {"createTime": read_as}


@pytest.mark.parametrize(
    "value", [10**30, -(10**30), 1e300, "9" * 400, "soon", True, [], {}, "0001-01-01T00:00:00+14:00", 1e999]
)
def test_a_time_that_is_none_is_lost_and_reported(value):
    parsed = parse_callback(
        json.dumps({"code": 200, "data": {"task_id": "t", "data": [{"id": "a", "createTime": value}]}})
        .replace("Infinity", "1e999")
        .encode()
    )
    assert row_of(parsed) == {"id": "a"}
    assert list(parsed.errors) == ["data.data.0.createTime"]


@pytest.mark.parametrize(("value", "seconds"), [(64, 64.0), (64.84, 64.84), ("64.84", 64.84), (0, 0.0)])
def test_a_duration_is_seconds_in_any_form(value, seconds):
    assert row_of(stage([{"duration": value}])) == {"duration": seconds}


@pytest.mark.parametrize("value", [-1, "inf", "nan", 10**400, True, [], {}, "3:20"])
def test_a_duration_that_is_no_finite_number_of_seconds_is_lost_and_reported(value):
    parsed = stage([{"id": "a", "duration": value}])
    assert row_of(parsed) == {"id": "a"}
    assert list(parsed.errors) == ["data.data.0.duration"]


def test_a_nul_and_half_a_surrogate_pair_are_replaced_in_every_text():
    parsed = stage([{"id": "a\0", "title": "b\ud800c", "prompt": "\udfff"}])
    assert row_of(parsed) == {"id": "a\ufffd", "title": "b\ufffdc", "prompt": "\ufffd"}
    failure = parse({"code": 501, "msg": "x\0", "data": {"task_id": "t", "callbackType": "error"}})
    assert failure.observation.details["errorMessage"] == "x\ufffd"
    assert answer({"status": "X\0", "type": "\udc00"}).observation.status == "X\ufffd"


def test_a_whole_surrogate_pair_and_other_languages_are_kept():
    assert row_of(stage([{"title": "歌 🎵 ё"}])) == {"title": "歌 🎵 ё"}


def test_a_number_where_a_text_belongs_is_taken_for_its_digits():
    assert row_of(stage([{"id": 17, "title": 1.5}])) == {"id": "17", "title": "1.5"}


# What is not JSON


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"task_id=t",
        b"{",
        b'{"data": {"task_id": "t"}',
        b'{"data": {"task_id": "t"}} extra',
        b"NaN",
        b"-Infinity",
        b'{"data": {"task_id": "t", "duration": nan}}',
        b'{"data": {"task_id": "\xff\xfe"}}',
        b"\xff\xfe\x00",
        b"\x00\x00\x00",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"data": {"task_id": "t"}, "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=range(15),
)
def test_what_is_not_json_says_so_and_is_known_again(body):
    parsed = parse_callback(body)
    assert parsed.kind is ParseOutcome.NOT_JSON
    assert parsed.task_id is None
    assert parsed.errors[""][0].startswith("Not JSON: ")
    assert parsed.digest == parse_callback(body).digest != parse_callback(body + b"?").digest


def test_json_in_another_encoding_of_unicode_is_json():
    text = json.dumps({"data": {"task_id": "t", "callbackType": "text"}})
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-32"):
        assert parse_callback(text.encode(encoding)).task_id == "t"


def test_deep_nesting_beside_the_known_fields_is_no_trouble():
    deep = b"[" * 500 + b"]" * 500
    parsed = parse_callback(
        b'{"code": 200, "data": {"task_id": "t", "callbackType": "text", "x": ' + deep + b"}}"
    )
    assert parsed.observation
    assert parsed.observation.status == "TEXT_SUCCESS"


@pytest.mark.parametrize("number", [10**15, 10**300, -(10**300)])
def test_a_huge_integer_is_no_code_and_no_duration(number):
    assert (stage(code=number).kind, list(stage(code=number).errors)) == (ParseOutcome.UNREADABLE, ["code"])
    assert list(stage([{"id": "a", "duration": abs(number)}]).errors) == ["data.data.0.duration"]
    parsed = answer({"status": "FAILED", "errorCode": number})
    assert (parsed.observation.details, list(parsed.errors)) == ({}, ["data.errorCode"])


# The digest


def test_order_of_keys_and_white_space_do_not_make_other_content():
    first = parse_callback(b'{"code":200,"data":{"task_id":"t","callbackType":"text"}}')
    other = parse_callback(b'{ "data": {"callbackType": "text",\n "task_id": "t"}, "code": 200 }')
    assert first.digest == other.digest


def test_another_value_and_another_order_of_rows_make_other_content():
    digests = {
        stage([{"id": "a"}, {"id": "b"}]).digest,
        stage([{"id": "b"}, {"id": "a"}]).digest,
        stage([{"id": "a"}, {"id": "c"}]).digest,
        stage([{"id": "a"}, {"id": "b"}], code=201).digest,
        stage([{"id": "a"}, {"id": "b"}], extra=None).digest,
    }
    assert len(digests) == 5


# The record-info shape


def test_a_callback_in_the_record_info_shape_is_read_as_a_claim():
    body = {
        "code": 200,
        "data": {"taskId": "t", "status": "SUCCESS", "response": {"sunoData": [{"id": "a"}]}},
    }
    observation = parse(body).observation
    assert (observation.source, observation.status, len(observation.tracks)) == (
        Source.CALLBACK,
        "SUCCESS",
        1,
    )


def test_a_callback_that_tells_its_stage_is_not_taken_for_record_info_by_a_stray_status():
    assert stage([{"id": "a"}], status="whatever").observation.status == "SUCCESS"


@pytest.mark.parametrize("value", ["chirp-v4", "GENERATE", "something new", "9"])
def test_unknown_types_statuses_operations_and_error_codes_are_kept_as_they_are(value):
    observation = answer(
        {"status": value, "type": value, "operationType": value, "errorCode": f"E{value}"}
    ).observation
    assert observation.status == value
    assert observation.details == {"type": value, "operationType": value, "errorCode": f"E{value}"}


def test_an_error_code_that_is_digits_is_a_number():
    assert answer({"status": "FAILED", "errorCode": "413"}).observation.details == {"errorCode": 413}


def test_an_error_message_is_read_in_both_of_its_spellings():
    for name in ("errorMessage", "errorMsg", "error_message"):
        assert answer({"status": "FAILED", name: "why"}).observation.details == {"errorMessage": "why"}


def test_param_is_kept_as_text_though_it_is_no_json_or_an_object():
    assert answer({"status": "PENDING", "param": "{...}"}).observation.details == {"param": "{...}"}
    assert answer({"status": "PENDING", "param": {"a": "ё"}}).observation.details == {"param": '{"a": "ё"}'}


@pytest.mark.parametrize("response", [None, {}, "", [], {"sunoData": None}, {"sunoData": []}])
def test_a_response_without_rows_is_no_tracks(response):
    parsed = answer({"status": "PENDING", "response": response})
    assert (parsed.kind, parsed.observation.tracks) == (ParseOutcome.PARSED, ())


def test_a_response_that_is_a_json_text_is_read():
    text = json.dumps({"taskId": "t", "sunoData": [{"id": "a", "audioUrl": URL}]})
    assert row_of(answer({"status": "SUCCESS", "response": text})) == {"id": "a", "audioUrl": URL}
    assert row_of(parse({"data": {"taskId": "t", "status": "SUCCESS", "response": f" {text}"}}))["id"] == "a"


@pytest.mark.parametrize("response", ["broken", "{broken", 5, True, ["a"]])
def test_a_response_that_is_no_object_is_quarantined(response):
    parsed = parse({"data": {"taskId": "t", "status": "SUCCESS", "response": response}})
    assert (parsed.kind, parsed.task_id) == (ParseOutcome.UNREADABLE, "t")
    assert list(parsed.errors.values()) == [["Not an object."]]


# Answers of record-info


def test_an_answer_about_another_task_is_refused():
    parsed = answer({"taskId": "other", "status": "SUCCESS", "response": {"sunoData": [{"id": "a"}]}})
    assert (parsed.kind, parsed.task_id, parsed.observation) == (ParseOutcome.UNREADABLE, "t", None)
    assert list(parsed.errors) == ["data.taskId"]


def test_an_answer_that_names_another_task_only_in_its_response_is_refused():
    parsed = answer({"status": "SUCCESS", "response": {"taskId": "other", "sunoData": [{"id": "a"}]}})
    assert (parsed.kind, parsed.observation) == (ParseOutcome.UNREADABLE, None)


def test_an_answer_that_names_no_task_is_about_the_one_asked_for():
    assert answer({"status": "PENDING"}).observation.task_id == "t"
    assert answer({"status": "PENDING", "taskId": ""}, asked="other").observation.task_id == "other"


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"null", b"[]", b'{"code":200,"data":null}', b'{"data":{}}']
)
def test_an_answer_without_data_does_not_know_the_task_yet(body):
    parsed = parse_poll(body, "t")
    assert (parsed.kind, parsed.task_id, parsed.observation) == (ParseOutcome.UNKNOWN_TASK, "t", None)


def test_an_answer_that_is_a_callback_is_not_record_info():
    parsed = parse_poll(sample("cb-music-complete-docs-sunoapi"), "2fac****9f72")
    assert (parsed.kind, parsed.observation) == (ParseOutcome.UNREADABLE, None)


# Anything at all

ENVELOPE_KEYS = ("code", "msg", "data", "task_id", "taskId", "callbackType", "status", "response", "sunoData")
ROW_KEYS = (
    "id",
    "audio_url",
    "audioUrl",
    "duration",
    "createTime",
    "type",
    "errorCode",
    "param",
    "images",
    "x",
)
KEYS = st.sampled_from((*ENVELOPE_KEYS, *ROW_KEYS))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(), max_size=8)
    | st.sampled_from(
        ("complete", "first", "SUCCESS", "200", "{", '{"taskId": "r"}', "\0", "\ud800", 10**400)
    )
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=12,
)


@fuzz
@given(ANYTHING)
def test_reading_arbitrary_json_never_raises(value):
    body = json.dumps(value).encode()
    assert parse_callback(body).kind in ParseOutcome
    assert parse_poll(body, "t").kind in ParseOutcome


@fuzz
@given(st.binary(max_size=60) | st.text(max_size=40).map(lambda text: f'{{"task_id":{text}}}'.encode()))
def test_reading_arbitrary_bytes_never_raises(body):
    assert parse_callback(body).digest == parse_callback(body).digest
    assert parse_poll(body, "t").kind in ParseOutcome


@pytest.mark.slow
@long_fuzz
@given(
    st.dictionaries(KEYS.filter(lambda key: key not in ("task_id", "taskId", "data")), ANYTHING, max_size=4),
    st.dictionaries(KEYS.filter(lambda key: key not in ("task_id", "taskId")), ANYTHING, max_size=5),
    st.sampled_from(("task_id", "taskId")),
)
def test_a_readable_task_id_is_never_lost_whatever_stands_beside_it(root, data, spelling):
    parsed = parse({**root, "data": {**data, spelling: "2fac****9f72"}})
    assert parsed.task_id == "2fac****9f72"
    assert parsed.kind in (ParseOutcome.PARSED, ParseOutcome.UNREADABLE, ParseOutcome.UNSUPPORTED)


@pytest.mark.slow
@long_fuzz
@given(st.lists(st.dictionaries(KEYS, ANYTHING, max_size=5) | ANYTHING, max_size=3))
def test_a_list_of_arbitrary_rows_never_loses_the_status_or_the_row_beside_them(rows):
    parsed = stage([{"id": "good", "audio_url": URL}, *rows])
    assert parsed.observation.status == "SUCCESS"
    assert parsed.observation.tracks[0] == Track(key="id:good", fields={"id": "good", "audioUrl": URL})
    assert all(path.startswith("data.data.") for path in parsed.errors)


@pytest.mark.parametrize("depth", [900, 985, 988, 990, 991, 995, 1000, 5000])
def test_no_depth_of_nesting_is_too_much_to_be_answered(depth):
    deep = "[" * depth + "]" * depth
    for text in (f'{{"task_id": "a", "x": {deep}}}', f'{{"data": {{"task_id": "a", "param": {deep}}}}}'):
        assert parse_callback(text.encode()).kind in ParseOutcome
        assert parse_poll(text.encode(), "a").kind in ParseOutcome


@pytest.mark.parametrize("odd", ["\x00", "\ud800"])
def test_a_naive_time_with_an_unstorable_separator_is_made_storable(odd):
    row = {"id": "a", "createTime": f"2025-01-01{odd}12:00:00"}
    body = {"code": 200, "data": {"task_id": "t", "callbackType": "first", "data": [row]}}
    observation = parse_callback(json.dumps(body).encode()).observation
    assert observation
    assert odd not in str(observation.tracks[0].fields["createTime"])


def test_a_readable_task_id_is_found_beside_an_unreadable_spelling():
    spellings: tuple[object, ...] = ([], {}, "", " ", None)
    for unreadable in spellings:
        body = {"data": {"task_id": unreadable, "taskId": "abc", "callbackType": "text"}}
        assert parse_callback(json.dumps(body).encode()).task_id == "abc"


def test_of_two_task_ids_the_order_of_keys_does_not_choose():
    first, other = b'{"data": {"task_id": "a", "taskId": "b"}}', b'{"data": {"taskId": "b", "task_id": "a"}}'
    assert parse_callback(first).task_id == parse_callback(other).task_id


@pytest.mark.parametrize(
    ("data", "field"),
    [({"taskId": "t", "status": "PENDING", "response": "x"}, "data.response"), ("x", "data")],
)
def test_a_body_of_another_shape_is_described_by_field(data, field):
    parsed = parse_callback(json.dumps({"task_id": "t", "data": data}).encode())
    assert (parsed.kind, list(parsed.errors)) == (ParseOutcome.UNREADABLE, [field])


@pytest.mark.parametrize(
    "data",
    [
        {"taskId": "another task", "status": "PENDING"},
        {"taskId": "t", "status": "PENDING", "response": {"taskId": "u"}},
    ],
)
def test_an_answer_that_names_another_task_anywhere_is_refused(data):
    assert parse_poll(json.dumps({"code": 200, "data": data}).encode(), "t").kind is ParseOutcome.UNREADABLE
