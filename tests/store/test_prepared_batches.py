"""What is prepared before the lock ends in the same rows as work within it, whatever others store in between."""

import json
import random
from collections.abc import Callable, Mapping, Sequence

import pytest
from sqlalchemy import select

from receiver.core.observation import Source
from receiver.intake import Delivery, Result, callback_delivery, poll_delivery
from receiver.intake.batch import Batch
from receiver.runtime import Runtime
from receiver.store.schema import delivery, tally, task
from tests.conftest import BOTH_STORES, T0

GIVEN = {"task": ("number", "changed_at"), "delivery": ("id",)}


def bodies(task_id: str) -> Sequence[bytes]:
    """Of every kind: two stages, a failure, another product's job, and what cannot be read."""
    row = {"id": "a", "audio_url": "https://example.org/a.mp3", "title": "Tides"}
    of_music = [
        {"code": 200, "data": {"callbackType": kind, "task_id": task_id, "data": rows}}
        for kind, rows in (("text", []), ("first", [row]), ("complete", [row]), ("error", []))
    ]
    unknown = {"code": 200, "data": {"task_id": task_id, "info": {"resultImageUrl": "https://example.org/i"}}}
    nameless = {"code": 200, "msg": task_id, "data": {"callbackType": "text"}}
    return [json.dumps(each).encode() for each in (*of_music, unknown, nameless)] + [b"{" + task_id.encode()]


def any_delivery(dice: random.Random, names: Sequence[str]) -> Delivery:
    task_id = dice.choice(names)
    if dice.random() < 0.1:
        answer = {
            "code": 200,
            "data": {"taskId": task_id, "status": dice.choice(["PENDING", "TEXT_SUCCESS"])},
        }
        return poll_delivery(json.dumps(answer).encode(), task_id, now=T0, secrets=())
    query = dice.choice(["", "", "from=a", "from=b"])
    return callback_delivery(dice.choice(bodies(task_id)), now=T0, secrets=(), query=query)


def batch_of(runtime: Runtime, deliveries: Sequence[Delivery]) -> Batch:
    return Batch(deliveries=deliveries, rules=runtime.settings.rules, jitter=lambda: 0.0)


def prepared_in_parts(runtime: Runtime, *parts: Sequence[Delivery]) -> Batch:
    batch = batch_of(runtime, ())
    for part in parts:
        with runtime.database.read() as connection:
            batch = batch.with_prepared(connection, part)
    return batch


def store(runtime: Runtime, batch: Batch) -> Sequence[Result]:
    with runtime.database.write() as connection:
        return batch.store(connection)


def contents(runtime: Runtime) -> Mapping[str, object]:
    """All rows but the keys that the database makes, and the times of change, which are not the batch's."""
    with runtime.database.read() as connection:
        return {
            table.name: sorted(
                [
                    tuple(
                        (name, value) for name, value in row.items() if name not in GIVEN.get(table.name, ())
                    )
                    for row in connection.execute(select(table)).mappings()
                ],
                key=repr,
            )
            for table in (task, delivery, tally)
        }


@BOTH_STORES
@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 40))]
)
def test_a_prepared_batch_stores_the_same(new_runtime: Callable[..., Runtime], seed: int) -> None:
    """With tasks known before, with others in between, and with all of them new."""
    dice = random.Random(seed)
    runtime = new_runtime()
    plain, prepared = [f"plain-{number}" for number in range(4)], [f"ready-{number}" for number in range(4)]
    for _ in range(6):
        script = [dice.getrandbits(32) for _ in range(dice.randint(2, 12))]
        meanwhile = [dice.getrandbits(32) for _ in range(dice.choice([0, 0, 1, 3]))]
        ours, same = play(script, plain), play(script, prepared)
        others, same_others = play(meanwhile, plain), play(meanwhile, prepared)

        if others:
            store(runtime, batch_of(runtime, others))
        without = store(runtime, batch_of(runtime, ours))
        cuts = sorted(dice.sample(range(len(same) + 1), k=2))
        ready = prepared_in_parts(runtime, same[: cuts[0]], same[cuts[0] : cuts[1]], same[cuts[1] :])
        if others:
            store(runtime, batch_of(runtime, same_others))
        assert store(runtime, ready) == without

    stored = contents(runtime)
    for rows in (stored["task"], stored["delivery"]):
        assert isinstance(rows, list)
        of_plain = [row for row in rows if "plain-" in repr(row)]
        of_ready = [row for row in rows if "ready-" in repr(row)]
        renamed = sorted(repr(row).replace("plain-", "ready-") for row in map(without_digest, of_plain))
        assert renamed == sorted(repr(row) for row in map(without_digest, of_ready))


def play(script: Sequence[int], names: Sequence[str]) -> Sequence[Delivery]:
    """The same deliveries for the same script, about these tasks."""
    return [any_delivery(random.Random(seed), names) for seed in script]


def without_digest(row: Sequence[tuple[str, object]]) -> Sequence[tuple[str, object]]:
    return [(name, value) for name, value in row if name != "digest"]


@BOTH_STORES
def test_callbacks_of_new_tasks_are_prepared(runtime: Runtime) -> None:
    """Else the test above would compare one way with itself."""
    names = [f"task-{number}" for number in range(3)]
    deliveries = [callback_delivery(body, now=T0, secrets=()) for name in names for body in bodies(name)[:3]]
    store(runtime, batch_of(runtime, deliveries[:1]))
    [ready] = prepared_in_parts(runtime, deliveries).prepared
    assert ready.applied.keys() == {"task-1", "task-2"}
    assert len(ready.tasks.rows) == 2
    assert {len(applied) for applied in ready.applied.values()} == {3}


@BOTH_STORES
def test_a_task_that_is_polled_is_not_prepared(runtime: Runtime) -> None:
    answer = poll_delivery(b'{"code":200,"data":{"taskId":"a","status":"PENDING"}}', "a", now=T0, secrets=())
    callback = callback_delivery(bodies("a")[0], now=T0, secrets=())
    assert answer.source is Source.POLL
    [ready] = prepared_in_parts(runtime, [callback, answer]).prepared
    assert not ready.applied


@BOTH_STORES
def test_a_task_of_an_earlier_part_is_worked_on_in_order(runtime: Runtime) -> None:
    text, first, complete = [callback_delivery(body, now=T0, secrets=()) for body in bodies("a")[:3]]
    other = callback_delivery(bodies("b")[0], now=T0, secrets=())
    batch = prepared_in_parts(runtime, [text], [other], [first, complete])
    assert [list(part.applied) for part in batch.prepared] == [["b"], []]
    assert [result.status for result in store(runtime, batch)] == [
        "TEXT_SUCCESS",
        "TEXT_SUCCESS",
        "FIRST_SUCCESS",
        "SUCCESS",
    ]
