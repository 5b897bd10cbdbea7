"""What a forged callback can make of a task, through the intake, the poller and a real HTTP upstream."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from receiver.core.observation import TRACK_FIELDS
from receiver.intake import callback_delivery
from receiver.store.health_queries import read_overview
from receiver.web.serializers import serialize_task
from tests.world import World

TASK = "0123456789abcdef0123456789abcdef"
GIVE_UP_S = 600
EVIL = "https://evil.example/9.mp3"


def row(name: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, "audio_url": f"https://cdn.example/{name}.mp3", "title": "Tides", **fields}


REAL_A = {"id": "a", "audioUrl": "https://cdn.example/a.mp3", "title": "Tides", "imageUrl": None}
REAL_B = {"id": "b", "audioUrl": "https://cdn.example/b.mp3", "title": "Tides", "streamAudioUrl": ""}


def call_back(world: World, kind: str, *rows: dict[str, Any], code: int = 200) -> None:
    data = {"callbackType": kind, "task_id": TASK, "data": list(rows)}
    deliver(world, json.dumps({"code": code, "msg": "forged", "data": data}).encode())


def deliver(world: World, body: bytes) -> str:
    [result] = world.runtime.intake.accept([callback_delivery(body, now=world.clock.now, secrets=())])
    return result.result


def shown(world: World) -> dict[str, Any]:
    return serialize_task(world.task(TASK))


def give_up(world: World) -> dict[str, Any]:
    for _ in range(12):
        world.run(after_s=GIVE_UP_S / 4)
    return shown(world)


def know(world: World, status: str | None) -> None:
    if status is None:
        world.upstream.put(TASK, {"code": 200, "msg": "success", "data": None})
    else:
        world.answers(TASK, status)


FORGED = {
    "a success": ("complete", [row("evil")], 200),
    "a first track": ("first", [row("evil")], 200),
    "a text with audio": ("text", [row("evil")], 200),
    "a failure": ("error", [], 501),
    "a failure with a track": ("complete", [row("evil")], 501),
}


@pytest.mark.slow
@pytest.mark.parametrize("confirm", ["suspect", "always"])
@pytest.mark.parametrize("status", ["PENDING", "FIRST_SUCCESS", "CALLBACK_EXCEPTION", None])
@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_callback_about_a_task_nobody_registered_ends_unresolved(
    new_world: Callable[..., World],
    forged: str,
    status: str | None,
    confirm: str,
) -> None:
    world = new_world(CONFIRM=confirm, GIVE_UP_AFTER=str(GIVE_UP_S))
    kind, rows, code = FORGED[forged]
    know(world, status)
    call_back(world, kind, *rows, code=code)
    task = give_up(world)
    assert (task["outcome"], task["recovered"]) == ("unresolved", False)
    assert not any(track["confirmed"] for track in task["tracks"])


@pytest.mark.parametrize("forged", FORGED)
def test_no_claim_ends_a_registered_task_where_all_must_be_confirmed(
    new_world: Callable[..., World],
    forged: str,
) -> None:
    world = new_world(CONFIRM="always", GIVE_UP_AFTER=str(GIVE_UP_S))
    kind, rows, code = FORGED[forged]
    world.register(TASK)
    know(world, "PENDING")
    call_back(world, kind, *rows, code=code)
    assert give_up(world)["outcome"] == "unresolved"


def test_a_claimed_failure_of_a_registered_task_never_ends_it(new_world: Callable[..., World]) -> None:
    world = new_world(GIVE_UP_AFTER=str(GIVE_UP_S))
    world.register(TASK)
    know(world, "PENDING")
    call_back(world, "error", code=501)
    assert give_up(world)["outcome"] == "unresolved"


HOSTILE = {
    "one more track": ("complete", [row("a"), row("b"), row("evil", audio_url=EVIL)]),
    "other links": (
        "complete",
        [
            row("a", stream_audio_url=EVIL, source_audio_url=EVIL, image_url="https://evil.example/x.jpeg"),
            row("b"),
        ],
    ),
    "another audio": ("complete", [row("a", audio_url=EVIL), row("b", audio_url=EVIL)]),
    "another audio, claimed as a first track": ("first", [row("a", audio_url=EVIL)]),
    "a track without an id": ("complete", [{"audio_url": EVIL}]),
    "no known track": ("complete", [row("evil", audio_url=EVIL)]),
}


@pytest.mark.parametrize("first", [True, False], ids=["before the poll", "after the poll"])
@pytest.mark.parametrize("confirm", ["suspect", "always"])
@pytest.mark.parametrize("hostile", HOSTILE)
def test_nothing_forged_stands_in_a_task_that_record_info_confirmed(
    new_world: Callable[..., World],
    hostile: str,
    confirm: str,
    first: bool,
) -> None:
    world = new_world(CONFIRM=confirm)
    kind, rows = HOSTILE[hostile]
    world.answers(TASK, "SUCCESS", REAL_A, REAL_B)
    call_back(world, "text")
    if first:
        call_back(world, kind, *rows)
    world.run(after_s=90)
    if not first:
        call_back(world, kind, *rows)
        world.run(after_s=90)
    task = shown(world)
    assert (task["outcome"], task["confirmed"], task["conflict"]) == ("succeeded", True, False)
    assert "evil" not in json.dumps(task)
    assert [(track["id"], track["confirmed"]) for track in task["tracks"]] == [("a", True), ("b", True)]


@pytest.mark.parametrize("turned", [False, True], ids=["the true one first", "the forged one first"])
@pytest.mark.parametrize(
    "hostile",
    ["one more track", "another audio", "another audio, claimed as a first track", "no known track"],
)
def test_a_settled_claim_that_is_contradicted_waits_for_record_info(
    new_world: Callable[..., World],
    hostile: str,
    turned: bool,
) -> None:
    world = new_world()
    world.register(TASK)
    world.answers(TASK, "SUCCESS", REAL_A, REAL_B)
    claims = [("complete", [row("a"), row("b")]), HOSTILE[hostile]]
    for kind, rows in claims[::-1] if turned else claims:
        call_back(world, kind, *rows)
    task = shown(world)
    assert (task["outcome"], task["conflict"]) == ("in_progress", True)
    assert world.task(TASK).next_poll_at == world.clock.now
    for track in task["tracks"]:
        assert track["audioUrl"] is None or "another audio" not in hostile or track["id"] == "b"
    world.run()
    task = shown(world)
    assert (task["outcome"], task["confirmed"], task["conflict"]) == ("succeeded", True, False)
    assert "evil" not in json.dumps(task)


def test_without_a_key_the_better_claim_is_shown_where_callbacks_disagree(
    new_world: Callable[..., World],
) -> None:
    world = new_world(UPSTREAM_API_KEY="")
    call_back(world, "first", row("a", audio_url="https://cdn.example/z-early.mp3"))
    assert shown(world)["tracks"][0]["audioUrl"] == "https://cdn.example/z-early.mp3"
    call_back(world, "complete", row("a"))
    task = shown(world)
    assert task["outcome"] == "succeeded"
    assert task["tracks"][0]["audioUrl"] == "https://cdn.example/a.mp3"
    assert (task["tracks"][0]["confirmed"], task["tracks"][0]["playable"]) == (False, True)


def test_a_track_is_confirmed_only_where_all_its_urls_are(new_world: Callable[..., World]) -> None:
    world = new_world()
    world.register(TASK)
    world.answers(TASK, "FIRST_SUCCESS", REAL_A, {"id": "b", "audioUrl": "", "title": "Tides"})
    call_back(world, "first", row("a"), row("b", audio_url=EVIL))
    world.run(after_s=90)
    assert [(track["id"], track["confirmed"]) for track in shown(world)["tracks"]] == [
        ("a", True),
        ("b", False),
    ]


UNSUPPORTEDS: dict[str, tuple[int, dict[str, object]]] = {
    "a WAV": (200, {"audioWavUrl": EVIL}),
    "a WAV that failed": (500, {"audio_wav_url": ""}),
    "stems": (200, {"vocal_removal_info": {"vocal_url": EVIL}}),
    "a video": (200, {"video_url": EVIL}),
    "a voice that failed": (400, {"voiceId": "", "status": "fail"}),
    "a market job": (200, {"state": "success", "resultJson": '{"resultUrls": []}'}),
}


@pytest.mark.slow
@pytest.mark.parametrize("first", [True, False], ids=["before it is registered", "after"])
@pytest.mark.parametrize("confirm", ["suspect", "always"])
@pytest.mark.parametrize("product", UNSUPPORTEDS)
def test_another_products_forged_callback_ends_no_music_that_record_info_does_not_know_yet(
    new_world: Callable[..., World],
    product: str,
    confirm: str,
    first: bool,
) -> None:
    world = new_world(CONFIRM=confirm)
    know(world, None)
    code, fields = UNSUPPORTEDS[product]
    body = json.dumps({"code": code, "msg": "forged", "data": {"task_id": TASK, **fields}}).encode()
    if not first:
        world.register(TASK)
    assert deliver(world, body) == "unsupported"
    if first:
        world.register(TASK)
    for _ in range(4):
        world.run(after_s=60)
        assert shown(world)["outcome"] == "in_progress"
    world.answers(TASK, "SUCCESS", REAL_A, REAL_B)
    world.run(after_s=GIVE_UP_S)
    task = shown(world)
    assert (task["outcome"], task["confirmed"], len(task["tracks"])) == ("succeeded", True, 2)


# What a claim may still change of a task that record-info confirmed: what came is counted and shown as what it is.
CLAIMS_MAY_CHANGE = {"conflict", "recovered", "version", "changedAt", "callbacks", "lastCallbackAt"}
EVERYTHING = {
    "param": '{"prompt": "forged"}',
    "type": "forged",
    "operationType": "forged",
    "parentMusicId": "forged",
    "errorCode": 501,
    "errorMessage": "forged",
}
FORGED_ROW = {name: EVIL for name in TRACK_FIELDS if name.endswith("Url")} | {
    "id": "a",
    "prompt": "forged",
    "title": "forged",
    "tags": "forged",
    "modelName": "forged",
    "duration": 1,
}
SAID_BY_RECORD_INFO = {"prompt": "Waves", "tags": "calm", "modelName": "chirp-v4", "duration": 60.5}


@pytest.mark.parametrize("status", ["SUCCESS", "SENSITIVE_WORD_ERROR"])
@pytest.mark.parametrize("registered", [True, False])
def test_claims_change_nothing_of_a_confirmed_task_and_raise_no_alarm(
    new_world: Callable[..., World],
    status: str,
    registered: bool,
) -> None:
    world = new_world()
    if registered:
        world.register(TASK)
    world.answers(TASK, status, *([REAL_A | SAID_BY_RECORD_INFO] if status == "SUCCESS" else []))
    call_back(world, "text")
    world.run(after_s=90)
    before = shown(world)
    assert (before["settled"], before["confirmed"]) == (True, True)
    for claim in ("SUCCESS", "GENERATE_AUDIO_FAILED", "CALLBACK_EXCEPTION", "PENDING"):
        data = {"taskId": TASK, "status": claim, **EVERYTHING, "response": {"sunoData": [FORGED_ROW]}}
        deliver(world, json.dumps({"code": 200, "msg": "forged", "data": data}).encode())
    call_back(world, "error", row("a", audio_url=EVIL), code=501)
    call_back(world, "complete", row("evil", audio_url=EVIL))
    deliver(world, json.dumps({"code": 200, "data": {"task_id": TASK, "audioWavUrl": EVIL}}).encode())
    after = shown(world)
    assert {name: after[name] for name in after if name not in CLAIMS_MAY_CHANGE} == {
        name: before[name] for name in before if name not in CLAIMS_MAY_CHANGE
    }
    assert after["conflict"], "a failure and a success were both reported"
    assert world.task(TASK).problem is None
    with world.runtime.database.read() as connection:
        overview = read_overview(connection, due_before=None)
    assert (overview.conflicts, overview.unresolved) == (0, 0)
