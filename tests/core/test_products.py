"""Sister products are recognized for what they are, and music beside their marks stays music."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from receiver.core.observation import Status
from receiver.core.payloads import ParsedPayload, ParseOutcome, parse_callback, parse_poll

ROW = {"id": "a", "audio_url": "https://cdn.example/1.mp3", "title": "T"}
MUSIC = {"callbackType": "complete", "task_id": "t", "data": [ROW]}
RECORD = {"taskId": "t", "status": "SUCCESS", "response": {"sunoData": [ROW]}}


def parse(value: Any) -> ParsedPayload:
    return parse_callback(json.dumps(value).encode())


def body(code: int = 200, /, **data: Any) -> dict[str, Any]:
    return {"code": code, "msg": "m", "data": {"taskId": "t", **data}}


def recovered(code: int, *rows: Any, **more: Any) -> dict[str, Any]:
    return {"code": code, "msg": "m", "task_id": "t", "data": list(rows), **more}


FRESH = {"id": "a", "audio_url": "https://cdn.example/1.m4a", "title": "T", "status": "success", "error": ""}
GONE = {"id": "b", "audio_url": "", "title": "T", "status": "failed", "error": "clip_error"}

BODIES = [
    ("voice", body(voiceId="voice_abc", status="success", errorCode=0, errorMessage="")),
    ("voice", body(400, voiceId="", status="fail", errorCode=500, errorMessage="no")),
    ("voice", body(400, voiceId=None, status="fail")),
    ("voice", body(voiceId="fail", status="fail", errorCode=500)),
    ("voice", body(voice_id="v", status="SUCCESS")),
    ("voice", body(voiceId="", status="processing_validate_fail")),
    ("voice_phrase", body(validateInfo="Sing this.", status="wait_validating", errorCode=0)),
    ("voice_phrase", body(400, validateInfo="", status="processing_validate_fail", errorCode=500)),
    ("voice_phrase", body(400, validateInfo=None, status="fail")),
    ("voice_phrase", body(status="wait_processing")),
    ("voice_phrase", body(status="WAIT_VALIDATING", errorCode=0)),
    ("recovery", recovered(200, FRESH, GONE)),
    ("recovery", recovered(200, FRESH)),
    ("recovery", recovered(500, GONE, GONE)),
    ("recovery", body(data=[FRESH, GONE])),
    (
        "image",
        body(info={"originImageUrl": "https://x.example/o.jpg", "resultImageUrl": "https://x.example/r.jpg"}),
    ),
    ("image", body(info={"result_urls": ["https://x.example/r.png"]})),
    ("image", body(info={"resultUrls": ["https://x.example/r.png"]})),
    ("image", body(501, info={"resultImageUrl": None})),
    (
        "video",
        body(info={"resultUrls": ["https://x.example/v.mp4"], "resolution": "1080p"}, fallbackFlag=False),
    ),
    ("video", body(info={"resultUrls": '["https://x.example/v.mp4"]'}, fallbackFlag=True)),
    ("video", body(info={"resultUrls": [], "originUrls": ["https://x.example/v.mp4"]})),
    ("wav", body(audioWavUrl="https://x.example/1.wav")),
    ("wav", body(audio_wav_url="https://x.example/1.wav")),
    ("wav", body(response={"audioWavUrl": "https://x.example/1.wav"}, successFlag="SUCCESS")),
    ("wav", body(400, audioWavUrl=None)),
    ("wav", body(successFlag="GENERATE_WAV_FAILED")),
    ("mp4", body(video_url="https://x.example/1.mp4")),
    ("mp4", body(500, video_url=None)),
    ("mp4", body(500, videoUrl="")),
    ("mp4", body(status="GENERATE_MP4_FAILED")),
    ("vocal_removal", body(vocal_removal_info={"vocal_url": "https://x.example/v.mp3"})),
    ("vocal_removal", body(500, vocal_removal_info=None)),
    ("vocal_removal", body(response={"drumsUrl": "https://x.example/d.mp3"})),
    ("vocal_removal", body(response={"pianoUrl": "https://x.example/p.mp3", "vocalUrl": None})),
    ("vocal_removal", body(response={"originData": [{"id": "s", "audio_url": "https://x.example/s.mp3"}]})),
    ("cover_image", body(images=["https://x.example/1.png"])),
    ("cover_image", body(501, images=None)),
    (
        "midi",
        {"code": 200, "task_id": "t", "data": {"state": "complete", "instruments": [{"name": "Drums"}]}},
    ),
    ("midi", {"code": 200, "task_id": "t", "data": {"state": "complete", "instruments": []}}),
    ("midi", body(midiData={"state": "complete"})),
    ("lyrics", body(callbackType="complete", data=[{"text": "la", "title": "T", "status": "complete"}])),
    ("lyrics", body(callbackType="complete", lyricsData=[{"text": "la", "title": "T"}])),
    ("lyrics", body(type="LYRICS", status="SUCCESS", response={"data": [{"text": "la", "title": "T"}]})),
    ("lyrics", body(type="lyrics", status="PENDING")),
    ("lyrics", body(status="GENERATE_LYRICS_FAILED")),
    ("market", body(state="success", resultJson='{"resultUrls":[]}')),
    ("market", body(state="fail", failCode="500", failMsg="no", resultJson="")),
    ("market", body(state="waiting", model="ai-music-api/generate")),
    ("market", body(failCode=422, failMsg="no")),
    ("other", body(successFlag=0)),
]


@pytest.mark.parametrize(("product", "value"), BODIES, ids=[f"{n}-{p}" for n, (p, _) in enumerate(BODIES)])
def test_a_sister_products_callback_is_known_by_name(product: str, value: Any) -> None:
    parsed = parse(value)
    assert (parsed.kind, parsed.product, parsed.task_id) == (ParseOutcome.UNSUPPORTED, product, "t")
    assert parsed.observation is None


MARKS: dict[str, Any] = {
    "audioWavUrl": "https://x.example/1.wav",
    "videoUrl": "https://x.example/1.mp4",
    "vocalRemovalInfo": {"vocal_url": "https://x.example/v.mp3"},
    "vocalUrl": "https://x.example/v.mp3",
    "instrumentalUrl": "https://x.example/i.mp3",
    "originData": [{"id": "x"}],
    "images": ["https://x.example/1.png"],
    "instruments": [{"name": "Drums"}],
    "midiData": {"x": 1},
    "lyricsData": [{"text": "la"}],
    "voiceId": "v",
    "validateInfo": "Sing.",
    "fallbackFlag": False,
    "info": {"resultImageUrl": "https://x.example/r.jpg"},
    "resultJson": "{}",
    "failCode": "500",
    "failMsg": "no",
    "state": "success",
    "successFlag": "SUCCESS",
    "type": "LYRICS",
}
EMPTY: tuple[object, ...] = (None, "", "  ", [], {})


@pytest.mark.parametrize("mark", MARKS)
def test_a_mark_that_is_empty_beside_music_is_no_mark(mark: str) -> None:
    for empty in EMPTY:
        assert_music_in_spite_of(mark, empty)


def assert_music_in_spite_of(mark: str, empty: Any) -> None:
    stages: list[Mapping[str, object]] = [
        MUSIC,
        {"callbackType": "text", "task_id": "t", "data": []},
        {"callbackType": "error", "task_id": "t", "data": None},
        {"task_id": "t", "data": [ROW]},
    ]
    for stage in stages:
        assert parse({"code": 200, "data": {**stage, mark: empty}}).kind is ParseOutcome.PARSED
    for record in (
        RECORD,
        {**RECORD, "status": "success"},
        {"taskId": "t", "status": "PENDING", "response": None},
    ):
        assert parse({"code": 200, "data": {**record, mark: empty}}).kind is ParseOutcome.PARSED
        response = parse_poll(json.dumps({"code": 200, "data": {**record, mark: empty}}).encode(), "t")
        assert response.kind is ParseOutcome.PARSED


@pytest.mark.parametrize("mark", MARKS)
def test_music_rows_beside_a_mark_make_it_music(mark: str) -> None:
    for stage in (MUSIC, {"task_id": "t", "data": [ROW]}, {**MUSIC, "data": [{**ROW, "audio_url": ""}]}):
        parsed = parse({"code": 200, "data": {**stage, mark: MARKS[mark]}})
        assert (parsed.kind, parsed.product) == (ParseOutcome.PARSED, None)
    response = parse_poll(json.dumps({"code": 200, "data": {**RECORD, mark: MARKS[mark]}}).encode(), "t")
    assert response.kind is ParseOutcome.PARSED
    assert response.observation is not None
    assert response.observation.known_status is Status.SUCCESS
    in_response = {**RECORD, "response": {"sunoData": [ROW], mark: MARKS[mark]}}
    assert (
        parse_poll(json.dumps({"code": 200, "data": in_response}).encode(), "t").kind is ParseOutcome.PARSED
    )


def test_a_flat_body_with_an_audio_is_music_though_a_video_stands_beside_it() -> None:
    parsed = parse(
        {"task_id": "t", "audio_url": ROW["audio_url"], "title": "T", "video_url": "https://x.example/1.mp4"}
    )
    assert parsed.kind is ParseOutcome.PARSED


@pytest.mark.parametrize(
    "value",
    [
        body(501),
        body(501, failCode=None),
        body(400, callbackType="error", data=None),
        body(500, info=None),
        {"code": 501, "msg": "m", "task_id": "t", "data": None},
    ],
)
def test_a_failure_without_marks_is_read_as_a_claimed_failure(value: Any) -> None:
    parsed = parse(value)
    assert parsed.kind is ParseOutcome.PARSED
    assert parsed.observation is not None
    assert parsed.observation.known_status is Status.GENERATE_AUDIO_FAILED


def test_music_whose_list_is_data_is_no_recovery() -> None:
    assert parse({"code": 200, "task_id": "t", "data": [ROW]}).kind is ParseOutcome.PARSED
    assert (
        parse({"code": 200, "task_id": "t", "callbackType": "complete", "data": [FRESH]}).kind
        is ParseOutcome.PARSED
    )
    assert parse(body(callbackType="complete", data=[FRESH])).kind is ParseOutcome.PARSED
    assert parse(body(status="SUCCESS", response={"sunoData": [FRESH]})).kind is ParseOutcome.PARSED
