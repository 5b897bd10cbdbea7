"""What a forged callback can make of a task, through the intake, the poller and a real HTTP upstream."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from receiver.intake import callback_delivery
from receiver.web.views import show_task
from tests.test_polling import World, new_world, upstream  # noqa: F401  fixtures

TASK = "0123456789abcdef0123456789abcdef"
GIVE_UP_S = 600
EVIL = "https://evil.example/9.mp3"


def row(name: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, "audio_url": f"https://cdn.example/{name}.mp3", "title": "Tides", **fields}


REAL_A = {"id": "a", "audioUrl": "https://cdn.example/a.mp3", "title": "Tides", "imageUrl": None}
REAL_B = {"id": "b", "audioUrl": "https://cdn.example/b.mp3", "title": "Tides", "streamAudioUrl": ""}


def call_back(world: World, kind: str, *rows: dict[str, Any], code: int = 200) -> None:
    data = {"callbackType": kind, "task_id": TASK, "data": list(rows)}
    body = json.dumps({"code": code, "msg": "forged", "data": data}).encode()
    world.runtime.intake.accept([callback_delivery(body, now=world.clock.now, secrets=())])


def shown(world: World) -> dict[str, Any]:
    return show_task(world.task(TASK))


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


@pytest.mark.parametrize("confirm", ["suspect", "always"])
@pytest.mark.parametrize("status", ["PENDING", "FIRST_SUCCESS", "CALLBACK_EXCEPTION", None])
@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_callback_about_a_task_nobody_registered_ends_unresolved(
    new_world: Callable[..., World],
    forged: str,
    status: str | None,
    confirm: str,  # noqa: F811
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
    forged: str,  # noqa: F811
) -> None:
    world = new_world(CONFIRM="always", GIVE_UP_AFTER=str(GIVE_UP_S))
    kind, rows, code = FORGED[forged]
    world.register(TASK)
    know(world, "PENDING")
    call_back(world, kind, *rows, code=code)
    assert give_up(world)["outcome"] == "unresolved"


def test_a_claimed_failure_of_a_registered_task_never_ends_it(new_world: Callable[..., World]) -> None:  # noqa: F811
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
    "another audio, told as a first track": ("first", [row("a", audio_url=EVIL)]),
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
    first: bool,  # noqa: F811
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
    "hostile", ["one more track", "another audio", "another audio, told as a first track", "no known track"]
)
def test_a_settled_claim_that_is_contradicted_waits_for_record_info(
    new_world: Callable[..., World],
    hostile: str,
    turned: bool,  # noqa: F811
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
    new_world: Callable[..., World],  # noqa: F811
) -> None:
    world = new_world(UPSTREAM_API_KEY="")
    call_back(world, "first", row("a", audio_url="https://cdn.example/z-early.mp3"))
    assert shown(world)["tracks"][0]["audioUrl"] == "https://cdn.example/z-early.mp3"
    call_back(world, "complete", row("a"))
    task = shown(world)
    assert task["outcome"] == "succeeded"
    assert task["tracks"][0]["audioUrl"] == "https://cdn.example/a.mp3"
    assert (task["tracks"][0]["confirmed"], task["tracks"][0]["playable"]) == (False, True)


def test_a_track_is_confirmed_only_where_all_its_urls_are(new_world: Callable[..., World]) -> None:  # noqa: F811
    world = new_world()
    world.register(TASK)
    world.answers(TASK, "FIRST_SUCCESS", REAL_A, {"id": "b", "audioUrl": "", "title": "Tides"})
    call_back(world, "first", row("a"), row("b", audio_url=EVIL))
    world.run(after_s=90)
    assert [(track["id"], track["confirmed"]) for track in shown(world)["tracks"]] == [
        ("a", True),
        ("b", False),
    ]
