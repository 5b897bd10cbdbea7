"""Every order, subset and doubling of deliveries ends in the same task, through the real store."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, combinations, permutations

import pytest

from receiver.core.observation import Source
from receiver.core.task import Task
from receiver.core.task_events import register
from receiver.intake import Delivery, Intake, callback_delivery, poll_delivery
from receiver.runtime import Runtime
from receiver.store import tasks
from receiver.web.serializers import serialize_task
from tests.conftest import BOTH_STORES, T0

TASK = "0123456789abcdef0123456789abcdef"


def stage(kind: str, *rows: Mapping[str, object], code: int = 200) -> Delivery:
    data = {"callbackType": kind, "task_id": TASK, "data": list(rows)}
    body = json.dumps({"code": code, "msg": kind, "data": data}).encode()
    return callback_delivery(body, now=T0, secrets=())


def record_info(status: str, *rows: Mapping[str, object], **more: object) -> Delivery:
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
    "a failure that callbacks claimed in two ways, and stray rows": (
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


def orders_of(subset: Sequence[Delivery]) -> Iterator[Sequence[Delivery]]:
    """Every order of these deliveries, and orders in which one of them comes more than once."""
    yield from permutations(subset)
    for doubled in subset:
        yield [*subset, doubled]
        yield [doubled, *reversed(subset), doubled]


def ends_of(runtime: Runtime, orders: Sequence[Sequence[Delivery]]) -> list[dict[str, object]]:
    """How a task of its own ends after each of these orders; few transactions store all of them together.

    A task's deliveries come one by one, but those of every fourth task all at once.
    """
    task_ids = [f"{number:032}" for number in range(len(orders))]
    with runtime.database.write() as connection:
        created = tasks.load_or_create(connection, dict.fromkeys(task_ids, T0))
        rules = runtime.settings.rules
        registered = [(task, register(task, label="mine", now=T0, rules=rules)) for task in created.values()]
        tasks.save(connection, registered)
    steps: dict[int, list[Delivery]] = defaultdict(list)
    for number, (task_id, order) in enumerate(zip(task_ids, orders, strict=True)):
        for place, delivery in enumerate(order):
            steps[0 if number % 4 == 3 else place].append(about(delivery, task_id))
    intake = Intake(runtime.database, runtime.settings.rules, jitter=lambda: 0.0)
    for _, batch in sorted(steps.items()):
        intake.accept(batch)
    with runtime.database.read() as connection:
        found = tasks.load_many(connection, task_ids)
    return [shown(found[task_id]) for task_id in task_ids]


def about(delivery: Delivery, task_id: str) -> Delivery:
    """The same delivery about another task."""
    body = delivery.body.replace(TASK.encode(), task_id.encode())
    if delivery.source is Source.POLL:
        return poll_delivery(body, task_id, now=T0, secrets=())
    return callback_delivery(body, now=T0, secrets=())


def shown(task: Task) -> dict[str, object]:
    """The whole task as the API shows it, without its id, counts and times of arrivals, and the next poll."""
    excluded = (
        "taskId", "version", "callbacks", "polls", "nextPollAt", "lastCallbackAt", "lastPolledAt", "changedAt",
    )  # fmt: skip
    fields = serialize_task(task) | {"lost": task.settlement.lost_callback}
    return {name: value for name, value in fields.items() if name not in excluded}


# The law is the pure core's; one story shows that it holds in the other store too.
FIRST = next(iter(STORIES))
EVERY_STORY = [
    (FIRST, "sqlite"),
    *(
        pytest.param(name, store, marks=pytest.mark.slow)
        for name, store in [*((name, "sqlite") for name in STORIES if name != FIRST), (FIRST, "postgresql")]
    ),
]


@pytest.mark.parametrize(("name", "database_url"), EVERY_STORY, indirect=["database_url"])
def test_every_order_and_doubling_of_every_subset_ends_the_same(runtime: Runtime, name: str) -> None:
    story = STORIES[name]
    subsets = list(chain.from_iterable(combinations(story, size) for size in range(1, len(story) + 1)))
    orders = [(subset, order) for subset in subsets for order in orders_of(subset)]
    ends = ends_of(runtime, [order for _, order in orders])
    expected: dict[int, dict[str, object]] = {}
    for (subset, order), end in zip(orders, ends, strict=True):
        assert end == expected.setdefault(id(subset), end), order
    assert len(expected) == 2 ** len(story) - 1


@BOTH_STORES
def test_the_stories_end_as_their_owner_would_wish(runtime: Runtime) -> None:
    ends = ends_of(runtime, list(STORIES.values()))
    assert [(end["outcome"], end["status"], end["recovered"], end["conflict"]) for end in ends] == [
        ("succeeded", "SUCCESS", False, False),
        ("succeeded", "SUCCESS", True, True),
        ("failed", "SENSITIVE_WORD_ERROR", False, False),
        ("succeeded", "SUCCESS", False, True),
        ("in_progress", "SUCCESS", False, True),
        ("succeeded", "SUCCESS", False, False),
    ]
