"""One simulated task: its record, its callbacks, its truth, with each fault."""

import json
import random
import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from receiver.simulator.callbacks import with_last_segment
from receiver.simulator.generation import Generation

START = 1_760_000_000.25
URL = "http://127.0.0.1:9/callbacks/right-token?order=7"
REQUEST: Mapping[str, object] = {"callBackUrl": URL, "model": "V4", "prompt": "rain", "instrumental": False}
ROW_KEYS = {
    "id", "audioUrl", "streamAudioUrl", "imageUrl", "sourceAudioUrl", "sourceStreamAudioUrl",
    "sourceImageUrl", "prompt", "modelName", "title", "tags", "createTime", "duration",
}  # fmt: skip
SNAKE_KEYS = {
    "id", "audio_url", "stream_audio_url", "image_url", "source_audio_url", "source_stream_audio_url",
    "source_image_url", "prompt", "model_name", "title", "tags", "createTime", "duration",
}  # fmt: skip
RANK = ["PENDING", "TEXT_SUCCESS", "FIRST_SUCCESS", "SUCCESS", "CALLBACK_EXCEPTION"]


def draw(
    *faults: str, seed: int = 0, speed: float = 1.0, request: Mapping[str, object] = REQUEST
) -> Generation:
    return Generation.draw(
        task_id="ab" * 16,
        request=request,
        submitted_at=START,
        rng=random.Random(f"{seed}:0"),
        faults=dict.fromkeys(faults, 1.0),
        speed=speed,
    )


def data_at(generation: Generation, now: float) -> Any:
    return generation.record_info(now)["data"]


def stages(generation: Generation) -> list[str]:
    return [callback.stage for callback in generation.callbacks]


def payloads(generation: Generation) -> list[Any]:
    return [json.loads(callback.body) for callback in generation.callbacks]


def rows_of(data: Any) -> list[Any]:
    rows: list[Any] = data["response"]["sunoData"]
    return rows


def test_the_same_seed_draws_the_same_task() -> None:
    assert draw("callback-forged", seed=3) == draw("callback-forged", seed=3)
    assert draw(seed=3).plan.tracks != draw(seed=4).plan.tracks


def test_a_task_takes_about_as_long_as_a_real_one() -> None:
    at = {callback.stage: callback.at - START for callback in draw().callbacks}
    assert 20 < at["text"] < 40
    assert 80 < at["first"] < 120
    assert 140 < at["complete"] < 180


def test_speed_divides_every_duration() -> None:
    slow, fast = draw("callback-delayed"), draw("callback-delayed", speed=100)
    for slow_callback, fast_callback in zip(slow.callbacks, fast.callbacks, strict=True):
        assert (fast_callback.at - START) * 100 == pytest.approx(slow_callback.at - START, rel=1e-3)


def test_record_info_has_the_envelope_of_the_wire() -> None:
    generation = draw()
    pending = generation.record_info(START)
    data = data_at(generation, generation.ends_at)
    assert (pending["code"], pending["msg"]) == (200, "success")
    assert data_at(generation, START)["response"] is None
    assert data_at(generation, START)["status"] == "PENDING"
    assert json.loads(data.pop("param")) == REQUEST
    assert data.pop("response") == {"taskId": "ab" * 16, "sunoData": generation.truth()["tracks"]}
    assert data == {
        "taskId": "ab" * 16,
        "parentMusicId": "",
        "status": "SUCCESS",
        "type": "chirp-v4",
        "operationType": "generate",
        "errorCode": None,
        "errorMessage": None,
        "createTime": 1_760_000_000_000,
    }


def test_the_truth_has_two_finished_tracks() -> None:
    truth = draw().truth()
    tracks: Any = truth["tracks"]
    assert (truth["outcome"], truth["status"], truth["faults"]) == ("succeeded", "SUCCESS", [])
    assert [set(track) for track in tracks] == [ROW_KEYS, ROW_KEYS]
    assert all(str(uuid.UUID(track["id"])) == track["id"] for track in tracks)
    assert all(isinstance(track["createTime"], int) and track["prompt"] for track in tracks)


def test_an_instrumental_has_no_lyrics() -> None:
    assert {track.prompt for track in draw(request={**REQUEST, "instrumental": True}).plan.tracks} == {""}


def test_durations_are_whole_or_broken_numbers() -> None:
    kinds = {type(track.duration) for seed in range(20) for track in draw(seed=seed).plan.tracks}
    assert kinds == {int, float}


def test_first_success_has_a_second_row_without_audio() -> None:
    generation = draw()
    data = data_at(generation, generation.plan.first_at)
    finished, unfinished = rows_of(data)
    assert data["status"] == "FIRST_SUCCESS"
    assert set(finished) == ROW_KEYS
    assert set(unfinished) == ROW_KEYS - {"duration"}
    assert (unfinished["audioUrl"], unfinished["sourceAudioUrl"]) == ("", "")
    assert unfinished["streamAudioUrl"]


def test_callbacks_come_in_stage_shape() -> None:
    text, first, complete = payloads(draw())
    assert [each["data"]["callbackType"] for each in (text, first, complete)] == ["text", "first", "complete"]
    assert {each["data"]["task_id"] for each in (text, first, complete)} == {"ab" * 16}
    assert [set(row) for row in complete["data"]["data"]] == [SNAKE_KEYS, SNAKE_KEYS]
    finished, unfinished = first["data"]["data"]
    assert finished == complete["data"]["data"][0]
    assert set(unfinished) == SNAKE_KEYS - {"duration", "source_audio_url"}
    assert unfinished["audio_url"] == ""
    assert {callback.url for callback in draw().callbacks} == {URL}


def test_a_status_never_goes_back() -> None:
    generation = draw()
    statuses = [data_at(generation, START + second)["status"] for second in range(200)]
    assert statuses == sorted(statuses, key=RANK.index)
    assert set(statuses) == set(RANK[:4])


@pytest.mark.parametrize(
    ("fault", "status", "code", "sent"),
    [
        ("create-task-failed", "CREATE_TASK_FAILED", 500, ["error"]),
        ("generate-audio-failed", "GENERATE_AUDIO_FAILED", 501, ["text", "error"]),
        ("sensitive-word", "SENSITIVE_WORD_ERROR", 400, ["error"]),
    ],
)
def test_a_failure_is_the_same_in_record_info_callback_and_truth(
    fault: str, status: str, code: int, sent: list[str]
) -> None:
    generation = draw(fault)
    data, truth = data_at(generation, generation.ends_at), generation.truth()
    error = payloads(generation)[-1]
    assert stages(generation) == sent
    assert (data["status"], data["errorCode"], data["response"]) == (status, code, None)
    assert data["errorMessage"] == error["msg"] == truth["errorMessage"]
    assert (error["code"], error["data"]["callbackType"], error["data"]["data"]) == (code, "error", None)
    assert (truth["outcome"], truth["status"], truth["errorCode"], truth["tracks"]) == (
        "failed",
        status,
        code,
        [],
    )
    assert truth["faults"] == [fault]


def test_callback_exception_keeps_the_tracks_and_never_calls_complete() -> None:
    generation = draw("callback-exception")
    data = data_at(generation, generation.ends_at)
    assert stages(generation) == ["text", "first"]
    assert data["status"] == "CALLBACK_EXCEPTION"
    assert rows_of(data) == generation.truth()["tracks"]
    assert generation.truth()["outcome"] == "succeeded"


def test_empty_callback_exception_gets_its_tracks_later() -> None:
    generation = draw("callback-exception-empty")
    before = data_at(generation, generation.ends_at - 1)
    after = data_at(generation, generation.ends_at)
    assert stages(generation) == ["text"]
    assert (before["status"], before["response"]) == ("CALLBACK_EXCEPTION", None)
    assert (after["status"], rows_of(after)) == ("CALLBACK_EXCEPTION", generation.truth()["tracks"])


@pytest.mark.parametrize("seed", range(4))
def test_success_without_urls_gets_them_later_without_a_callback(seed: int) -> None:
    generation = draw("success-without-urls", seed=seed)
    early = data_at(generation, generation.plan.complete_at)
    complete = payloads(generation)[-1]["data"]["data"]
    first = payloads(generation)[1]["data"]["data"]
    assert stages(generation) == ["text", "first", "complete"]
    assert early["status"] == "SUCCESS"
    assert not any(row["audioUrl"] or row["sourceAudioUrl"] for row in rows_of(early))
    assert not any(row["audio_url"] or row["source_audio_url"] for row in complete)
    assert not any(row["audio_url"] for row in first)
    assert all(row["stream_audio_url"] for row in complete)
    assert rows_of(data_at(generation, generation.ends_at)) == generation.truth()["tracks"]


def test_not_yet_hides_the_task_at_first() -> None:
    generation = draw("not-yet")
    assert generation.record_info(START + 1) == {"code": 200, "msg": "success", "data": None}
    assert data_at(generation, generation.ends_at)["status"] == "SUCCESS"
    assert generation.truth()["faults"] == ["not-yet"]


def test_a_stuck_task_stays_pending_without_callbacks() -> None:
    generation = draw("stuck")
    truth = generation.truth()
    assert data_at(generation, START + 10**7)["status"] == "PENDING"
    assert stages(generation) == []
    assert (truth["outcome"], truth["status"], truth["tracks"]) == ("unresolved", "PENDING", [])


def test_at_most_one_ending_is_drawn() -> None:
    generation = draw("stuck", "sensitive-word", "create-task-failed", "callback-exception")
    assert len(generation.faults) == 1


def test_single_callbacks_are_lost_on_their_own() -> None:
    drawn = [
        Generation.draw(
            task_id="a",
            request=REQUEST,
            submitted_at=START,
            rng=random.Random(seed),
            faults={"callback-lost": 0.5},
        )
        for seed in range(40)
    ]
    assert {len(generation.callbacks) for generation in drawn} == {0, 1, 2, 3}
    assert all((len(each.callbacks) < 3) == (each.faults == ("callback-lost",)) for each in drawn)


def test_all_callbacks_can_be_lost() -> None:
    assert draw("all-callbacks-lost").callbacks == ()


def test_doubled_callbacks_have_equal_bodies_and_only_one_is_retried() -> None:
    callbacks = draw("callback-doubled").callbacks
    assert sorted(each.stage for each in callbacks) == [
        "complete",
        "complete",
        "first",
        "first",
        "text",
        "text",
    ]
    assert len({each.body for each in callbacks}) == 3
    assert sum(each.retried for each in callbacks) == 3


@pytest.mark.parametrize("seed", range(6))
def test_reordered_callbacks_are_never_early(seed: int) -> None:
    generation, usual = draw("callbacks-reordered", seed=seed), {}
    usual = {each.stage: each.at for each in draw(seed=seed).callbacks}
    assert stages(generation) != ["text", "first", "complete"]
    assert all(each.at >= usual[each.stage] for each in generation.callbacks)


def test_delayed_callbacks_come_a_minute_or_more_late() -> None:
    usual = draw().callbacks
    late = draw("callback-delayed").callbacks
    assert all(60 <= b.at - a.at <= 300 for a, b in zip(usual, late, strict=True))


def test_malformed_bodies_come_in_four_kinds_and_keep_record_info_right() -> None:
    kinds = set()
    for seed in range(30):
        generation = draw("callback-malformed", seed=seed)
        kinds |= {malformation(callback.body) for callback in generation.callbacks}
        assert rows_of(data_at(generation, generation.ends_at)) == generation.truth()["tracks"]
    assert kinds == {"broken", "text-data", "text-rows", "duration"}


def malformation(body: bytes) -> str:
    try:
        payload = json.loads(body)
    except ValueError:
        return "broken"
    if isinstance(payload["data"], str):
        assert payload["task_id"] == "ab" * 16
        return "text-data"
    assert payload["data"]["task_id"] == "ab" * 16
    rows = payload["data"]["data"]
    if isinstance(rows, str):
        return "text-rows"
    return "duration" if {row["duration"] for row in rows} == {"three minutes"} else "none"


def test_forged_callbacks_use_a_wrong_token_and_the_right_one() -> None:
    generation = draw("callback-forged")
    forged = [each for each in generation.callbacks if each.forged]
    wrong = next(each for each in forged if each.url != URL)
    right = next(each for each in forged if each.url == URL)
    token = wrong.url.removeprefix("http://127.0.0.1:9/callbacks/").removesuffix("?order=7")
    assert len(forged) == 2
    assert len(token) == 24
    assert json.loads(wrong.body)["code"] == 200
    assert (json.loads(right.body)["code"], json.loads(right.body)["data"]["task_id"]) == (501, "ab" * 16)
    assert all(START < each.at < generation.ends_at and not each.retried for each in forged)
    assert generation.truth()["outcome"] == "succeeded"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://a/b/c", "http://a/b/x"),
        ("http://a/b/c/?q=1", "http://a/b/x?q=1"),
        ("http://a", "http://a/x"),
    ],
)
def test_only_the_last_path_segment_is_replaced(url: str, expected: str) -> None:
    assert with_last_segment(url, "x") == expected


def test_a_failed_delivery_turns_success_into_callback_exception_with_tracks() -> None:
    generation = draw()
    end = generation.ends_at
    failed = generation.with_failed_delivery(end + 5)
    assert data_at(failed, end + 4)["status"] == "SUCCESS"
    assert data_at(failed, end + 5)["status"] == "CALLBACK_EXCEPTION"
    assert rows_of(data_at(failed, end + 5)) == failed.truth()["tracks"]
    assert failed.truth()["status"] == "SUCCESS"
