"""The second promise, exhaustively: every order, subset and doubling of what is told, through the real store."""

import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain, combinations, permutations

import pytest
from sqlalchemy import delete

from receiver.core.observation import Source
from receiver.core.task import Task
from receiver.core.task_events import register
from receiver.intake import Delivery, Intake, callback_delivery, poll_delivery
from receiver.runtime import Runtime
from receiver.store import tasks
from receiver.store.schema import delivery, task
from receiver.web.serializers import serialize_task
from tests.conftest import BOTH_STORES, T0

TASK = "0123456789abcdef0123456789abcdef"


def stage(kind: str, *rows: dict[str, object], code: int = 200) -> Delivery:
    data = {"callbackType": kind, "task_id": TASK, "data": list(rows)}
    body = json.dumps({"code": code, "msg": kind, "data": data}).encode()
    return callback_delivery(body, now=T0, secrets=())


def record_info(status: str, *rows: dict[str, object], **more: object) -> Delivery:
    data = {"taskId": TASK, "status": status, "response": {"sunoData": list(rows)}, **more}
    return poll_delivery(json.dumps({"code": 200, "data": data}).encode(), TASK, now=T0, secrets=())


FIRST_ROW = {"id": "a", "audio_url": "https://example.org/a-early.mp3", "title": "Tides"}
UNFINISHED = {"id": "b", "audio_url": "", "stream_audio_url": "https://example.org/b"}
DONE_A = {"id": "a", "audioUrl": "https://example.org/a.mp3", "title": "Tides", "duration": 163.88}
DONE_B = {"id": "b", "audioUrl": "https://example.org/b.mp3", "title": "Tides", "duration": 120}
CLAIMED_A = {"id": "a", "audio_url": "https://example.org/a.mp3", "title": "Tides"}
CLAIMED_B = {"id": "b", "audio_url": "https://example.org/b.mp3", "title": "Tides"}

STORIES = {
    "a success whose callbacks and polls cross": (
        stage("text"),
        stage("first", FIRST_ROW, UNFINISHED),
        stage("complete", {**FIRST_ROW, "duration": 163.88}, {**UNFINISHED, "audio_url": "https://x.org/b"}),
        record_info("FIRST_SUCCESS", DONE_A, {"id": "b", "audioUrl": None}, param='{"model":"V5"}'),
        record_info("SUCCESS", DONE_A, DONE_B, type="chirp-v5"),
    ),
    "paid music behind a callback exception and a forged failure": (
        stage("first", FIRST_ROW, UNFINISHED),
        stage("error", code=501),
        record_info("CALLBACK_EXCEPTION"),
        record_info("CALLBACK_EXCEPTION", DONE_A, DONE_B),
        record_info("PENDING"),
    ),
    "a failure that callbacks told two ways, and stray rows": (
        stage("text", {"prompt": "words"}),
        stage("error", code=500),
        stage("complete", {"title": "no id"}, code=501),
        record_info("SENSITIVE_WORD_ERROR", errorCode=400, errorMessage="flagged"),
        record_info("GENERATING"),
    ),
    "a success that a forger contradicts": (
        stage("complete", CLAIMED_A, CLAIMED_B),
        stage(
            "complete", {**CLAIMED_A, "audio_url": "https://evil.example/a.mp3", "title": "Zzz"}, CLAIMED_B
        ),
        stage("first", CLAIMED_A, {"id": "evil", "audio_url": "https://evil.example/e.mp3"}),
        stage("error", code=531),
        record_info("SUCCESS", DONE_A, DONE_B),
    ),
    "a forger alone, of whom record-info knows nothing": (
        stage("complete", {"id": "evil", "audio_url": "https://evil.example/1.mp3"}),
        stage("complete", {"id": "evil", "audio_url": "https://evil.example/2.mp3"}),
        stage("error", code=501),
        record_info("PENDING"),
    ),
    "a finished task and a late row nobody paid for": (
        stage("first", FIRST_ROW, {"id": "c", "audio_url": ""}),
        stage("complete", FIRST_ROW),
        record_info("SUCCESS", DONE_A),
        record_info("SUCCESS", {"id": "a", "audioUrl": None}),
        stage("second", UNFINISHED),
    ),
}


def ends_of(runtime: Runtime, orders: Sequence[Sequence[Delivery]]) -> list[dict[str, object]]:
    """Each order of deliveries about a task of its own, and how that ends.

    A task's deliveries come one by one, but those of every fourth task all at once.
    """
    task_ids = [f"{number:032}" for number in range(len(orders))]
    with runtime.database.write() as connection:
        made = tasks.load_or_create(connection, dict.fromkeys(task_ids, T0))
        rules = runtime.settings.rules
        registered = [(made[key], register(made[key], label="mine", now=T0, rules=rules)) for key in task_ids]
        tasks.save(connection, registered)
    steps: dict[int, list[Delivery]] = defaultdict(list)
    for number, (task_id, order) in enumerate(zip(task_ids, orders, strict=True)):
        for place, one in enumerate(order):
            steps[0 if number % 4 == 3 else place].append(about(one, task_id))
    intake = Intake(runtime.database, runtime.settings.rules, jitter=lambda: 0.0)
    for _, batch in sorted(steps.items()):
        intake.accept(batch)
    with runtime.database.read() as connection:
        found = tasks.load_many(connection, task_ids)
    ends = [shown(found[task_id]) for task_id in task_ids]
    with runtime.database.write() as connection:
        connection.execute(delete(task))
        connection.execute(delete(delivery))
    return ends


def about(delivered: Delivery, task_id: str) -> Delivery:
    """The same delivery about another task."""
    body = delivered.body.replace(TASK.encode(), task_id.encode())
    if delivered.source is Source.POLL:
        return poll_delivery(body, task_id, now=T0, secrets=())
    return callback_delivery(body, now=T0, secrets=())


def shown(known: Task) -> dict[str, object]:
    """The whole task as a person sees it, but for its id, and what counts arrivals and plans the next poll."""
    passing = (
        "taskId", "version", "callbacks", "polls", "nextPollAt", "lastCallbackAt", "lastPolledAt", "changedAt",
    )  # fmt: skip
    all_of_it = serialize_task(known) | {"lost": known.settlement.lost_callback}
    return {name: value for name, value in all_of_it.items() if name not in passing}


# The law is the pure core's; one story shows that it holds in the other store too.
EVERY_STORY = [(name, "sqlite") for name in STORIES] + [(next(iter(STORIES)), "postgresql")]


@pytest.mark.parametrize(("name", "database_url"), EVERY_STORY, indirect=["database_url"])
def test_every_order_and_doubling_of_every_subset_ends_the_same(runtime: Runtime, name: str) -> None:
    story = STORIES[name]
    subsets = chain.from_iterable(combinations(story, size) for size in range(1, len(story) + 1))
    for subset in subsets:
        orders: list[Sequence[Delivery]] = list(permutations(subset))
        for doubled in subset:
            orders += [[*subset, doubled], [doubled, *reversed(subset), doubled]]
        expected, *ends = ends_of(runtime, orders)
        assert [end for end in ends if end != expected] == []


@BOTH_STORES
def test_the_stories_end_as_their_owner_would_wish(runtime: Runtime) -> None:
    ends = {name: ends_of(runtime, [story])[0] for name, story in STORIES.items()}
    told = {
        name: (end["outcome"], end["status"], end["recovered"], end["conflict"]) for name, end in ends.items()
    }
    assert list(told.values()) == [
        ("succeeded", "SUCCESS", False, False),
        ("succeeded", "SUCCESS", True, True),
        ("failed", "SENSITIVE_WORD_ERROR", False, False),
        ("succeeded", "SUCCESS", False, True),
        ("in_progress", "SUCCESS", False, True),
        ("succeeded", "SUCCESS", False, False),
    ]
