"""What somebody who knows the callback URL can cost at most: time, space, and other people's callbacks."""

import gc
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, func, select, text

from receiver.app import build_app
from receiver.core.claim_bounds import MAX_CLAIMED_BYTES, MAX_CLAIMED_TRACKS, claimed_size
from receiver.core.facts import Fact
from receiver.core.observation import URL_FIELDS, UnsupportedEnd
from receiver.core.payloads import ParseOutcome
from receiver.core.payloads.errors import MAX_ERRORS
from receiver.core.task import Task
from receiver.intake import Delivery, callback_delivery, poll_delivery
from receiver.operations import every_task_id, rebuild_task, register_task
from receiver.polling.giving_up import GIVE_UP_BATCH_SIZE, give_up_late_tasks
from receiver.reprocessing import reprocess
from receiver.runtime import Runtime
from receiver.store import deliveries, hourly_counts, quarantine, tasks
from receiver.store.database import StoreUnavailableError
from receiver.store.quarantine import QuarantineFilter
from receiver.store.schema import delivery, task
from receiver.store.statement_errors import StatementRefusedError
from receiver.store.unsupported_callbacks import SCAN_LIMIT, first_end_claims
from tests.conftest import BOTH_STORES, CALLBACK_TOKEN, T0, eventually, json_of
from tests.evil_bodies import EVIL
from tests.world import SOMEBODY

LARGEST_BODY = 1_048_576
AT_MOST_S, BUSY = 0.3, 3  # on a quiet machine, and how much slower the test's may be
URL = f"/callbacks/{CALLBACK_TOKEN}"


def stage(task_id: str | None, *rows: Any, kind: str = "text", **more: Any) -> bytes:
    named = {"task_id": task_id} if task_id else {}
    return json.dumps({"code": 200, "data": {"callbackType": kind, **named, "data": rows, **more}}).encode()


def callback(body: bytes) -> Delivery:
    return callback_delivery(body, now=T0, secrets=(CALLBACK_TOKEN,))


def tell(runtime: Runtime, *bodies: bytes) -> list[str]:
    return [stored.result for stored in runtime.intake.accept([callback(body) for body in bodies])]


def answer(runtime: Runtime, task_id: str, status: str = "PENDING", *rows: Any) -> None:
    data = {"taskId": task_id, "status": status, "param": "{}", "response": {"sunoData": rows}}
    body = json.dumps({"code": 200, "data": data}).encode()
    runtime.intake.accept([poll_delivery(body, task_id, now=T0, secrets=())])


def load_task(runtime: Runtime, task_id: str) -> Task:
    with runtime.database.read() as connection:
        found = tasks.load(connection, task_id)
    assert found is not None
    return found


def cost_s(runtime: Runtime, body: bytes) -> float:
    gc.disable()  # or many new objects would have the collector walk over all those of the tests
    started = time.process_time()
    runtime.intake.submit(callback(body))
    took_s = time.process_time() - started
    gc.enable()
    return took_s


@pytest.mark.slow
@pytest.mark.parametrize("kind", EVIL)
def test_the_largest_body_costs_little_and_no_more_than_in_proportion(runtime: Runtime, kind: str) -> None:
    half, whole = EVIL[kind](LARGEST_BODY // 2), EVIL[kind](LARGEST_BODY)
    assert LARGEST_BODY * 0.8 < len(whole) <= LARGEST_BODY
    first_s = min(cost_s(runtime, half), cost_s(runtime, half.replace(b"evil", b"live")))
    second_s = min(cost_s(runtime, whole), cost_s(runtime, whole.replace(b"evil", b"live")))
    assert second_s <= min(3 * first_s + AT_MOST_S, BUSY * AT_MOST_S)
    with runtime.database.read() as connection:
        errors = connection.scalar(select(func.max(func.length(delivery.c.errors))))
        state = connection.scalar(select(func.max(func.length(task.c.state))))
    assert (errors or 0) < 20_000
    assert (state or 0) < 1.1 * MAX_CLAIMED_BYTES


@BOTH_STORES
def test_at_most_so_many_errors_are_stored_and_shown_whatever_a_reading_gives(runtime: Runtime) -> None:
    errors = {f"rows.{number}": ["Odd.", "x" * 5000] for number in range(5000)}
    sent = replace(callback(stage("t")), parsed=replace(callback(stage("t")).parsed, errors=errors))
    result = runtime.intake.submit(sent)
    with runtime.database.read() as connection:
        (stored,) = deliveries.of_task(connection, "t")
    assert stored.errors == result.errors
    assert sum(map(len, (stored.errors or {}).values())) == MAX_ERRORS
    assert len(json.dumps(stored.errors)) < 10_000


def statements_of(runtime: Runtime, work: Callable[[], object]) -> list[str]:
    said: list[str] = []

    def listen(_: Any, __: Any, statement: str, *___: Any) -> None:
        said.append(statement)

    event.listen(runtime.database.engine, "before_cursor_execute", listen)
    work()
    event.remove(runtime.database.engine, "before_cursor_execute", listen)
    return said


@BOTH_STORES
def test_a_repetition_is_counted_and_the_state_of_its_task_neither_read_nor_written(runtime: Runtime) -> None:
    tell(runtime, stage("t", {"id": "a", "title": "Tides"}))
    before = load_task(runtime, "t")
    body = stage("t", {"id": "a", "title": "Tides"})
    said = statements_of(runtime, lambda: tell(runtime, body, body))
    assert not [statement for statement in said if "task.state" in statement or "words" in statement]
    after = load_task(runtime, "t")
    assert after.callbacks == 3
    assert after == replace(before, callbacks=3, last_callback_at=after.last_callback_at)
    with runtime.database.read() as connection:
        counted = hourly_counts.totals(connection, "callback", "task")
    assert counted == {"callback": {"accepted": 1, "duplicate": 2}, "task": {"in_progress": 1}}


@BOTH_STORES
def test_a_repetition_beside_news_is_counted_too_and_time_never_runs_back(runtime: Runtime) -> None:
    tell(runtime, stage("t"), stage("u"))
    late = [callback_delivery(stage(key), now=T0 + timedelta(hours=1), secrets=()) for key in ("t", "u")]
    runtime.intake.accept([*late, callback(stage("t")), callback(stage("t", kind="first"))])
    tell(runtime, stage("u"))
    assert (load_task(runtime, "t").callbacks, load_task(runtime, "u").callbacks) == (4, 3)
    assert load_task(runtime, "u").last_callback_at == T0 + timedelta(hours=1)


@BOTH_STORES
def test_what_did_not_change_is_not_written_again(runtime: Runtime) -> None:
    tell(runtime, stage("t", {"id": "a", "title": "Tides"}))
    update = stage("t", {"id": "a", "audio_url": "https://example.org/a.mp3"}, kind="first")
    (wrote,) = [
        statement
        for statement in statements_of(runtime, lambda: tell(runtime, update))
        if "UPDATE task" in statement
    ]
    assert "state" in wrote and "words" not in wrote
    unread = stage("t", data=7)
    (wrote,) = [
        statement
        for statement in statements_of(runtime, lambda: tell(runtime, unread))
        if "UPDATE task" in statement
    ]
    assert "state" not in wrote and "words" not in wrote


def filling(task_id: str, first: int) -> bytes:
    """42 kB in few tracks, so that a task is full of bytes before it is full of tracks."""
    return stage(task_id, *[{"id": f"{first + n}", "prompt": "x" * 10_400} for n in range(4)])


def numbered(count: int, *, first: int = 0, **fields: Any) -> list[dict[str, Any]]:
    return [{"id": f"{number}", **fields} for number in range(first, first + count)]


@BOTH_STORES
def test_claims_past_their_bound_are_quarantined_and_record_info_is_asked(runtime: Runtime) -> None:
    client = build_app(runtime).test_client()
    register_task(runtime, "t", label=None, now=T0, actor=SOMEBODY)
    answers = [json_of(client.post(URL, data=filling("t", 4 * number))) for number in range(10)]
    results = [sent["result"] for sent in answers]
    assert results == ["accepted"] * 6 + ["quarantined"] * 4
    assert "claims" in answers[-1]["errors"][""][0]
    full = load_task(runtime, "t")
    assert claimed_size(full.state) <= MAX_CLAIMED_BYTES
    assert full.next_poll_at is not None and full.last_callback_at is not None
    assert full.next_poll_at <= full.last_callback_at, "due at once"
    assert full.callbacks == 10
    with runtime.database.read() as connection:
        quarantined = quarantine.find(connection, QuarantineFilter(), limit=9)
    assert [entry.cause for entry in quarantined] == ["too_much"] * 4
    assert json_of(client.post(URL, data=filling("t", 36)))["result"] == "duplicate"


@BOTH_STORES
def test_tracks_past_their_bound_are_quarantined_and_record_info_is_asked(runtime: Runtime) -> None:
    register_task(runtime, "t", label=None, now=T0, actor=SOMEBODY)
    bodies = [stage("t", *numbered(32, first=32 * number)) for number in range(4)]
    assert tell(runtime, *bodies) == ["accepted"] * 2 + ["quarantined"] * 2
    assert tell(runtime, *bodies) == ["duplicate"] * 4
    full = load_task(runtime, "t")
    assert len(full.state.tracks) == MAX_CLAIMED_TRACKS
    assert full.next_poll_at == T0, "due at once"
    with runtime.database.read() as connection:
        quarantined = quarantine.find(connection, QuarantineFilter(), limit=9)
    assert [entry.cause for entry in quarantined] == ["too_much"] * 2
    assert tell(runtime, stage("t", {"id": "7", "title": "Tides"})) == ["accepted"], "of a known track"
    answer(runtime, "t", "SUCCESS", {"id": "mine", "audioUrl": "https://example.org/m.mp3"})
    assert [claims["id"].value for claims in load_task(runtime, "t").tracks.values()] == ["mine"]


MANY_FIELDS = {
    **{name: f"https://example.org/{name}" for name in URL_FIELDS},
    **dict.fromkeys(("title", "tags", "prompt", "modelName"), "x"),
}
FLOODS = {
    "ids": [stage("full", *numbered(32, first=32 * number)) for number in range(250)],
    "rows without ids": [
        stage("full", *[{"title": f"{number} {n}"} for n in range(32)]) for number in range(99)
    ],
    "fields": [stage("full", *numbered(32, first=32 * number, **MANY_FIELDS)) for number in range(20)],
    "rivals": [
        stage("full", *numbered(32, first=first, **MANY_FIELDS | {"audioUrl": f"https://example.org/{n}"}))
        for n in range(20)
        for first in (0, 32)
    ],
    "texts": [filling("full", 4 * number) for number in range(9)],
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_callback_about_a_full_task_costs_little_more_than_about_a_fresh_one(
    runtime: Runtime, flood: str
) -> None:
    tell(runtime, *FLOODS[flood])

    def least_s(task_id: str) -> float:
        bodies = [stage(task_id, {"id": "0", "title": f"{n}"}, more=n) for n in range(7)]
        return min(cost_s(runtime, body) for body in bodies)

    fresh_s, full_s = least_s("fresh"), least_s("full")
    assert full_s < 5 * fresh_s


@BOTH_STORES
def test_tasks_whose_time_is_over_are_given_up_few_at_a_time(runtime: Runtime) -> None:
    tell(runtime, *[stage(f"t{number}") for number in range(3 * GIVE_UP_BATCH_SIZE)])
    written: list[int] = []

    def listen(_: Any, __: Any, statement: str, parameters: Any, ___: Any, many: bool) -> None:
        if statement.startswith("UPDATE task"):
            written.append(len(parameters) if many else 1)

    event.listen(runtime.database.engine, "before_cursor_execute", listen)
    while give_up_late_tasks(runtime.database, runtime.settings.rules, first_seen_before=T0, now=T0):
        pass
    event.remove(runtime.database.engine, "before_cursor_execute", listen)
    assert written == [GIVE_UP_BATCH_SIZE] * 3


@BOTH_STORES
def test_a_task_full_of_claims_hears_record_info_and_what_it_knows_already(runtime: Runtime) -> None:
    for number in range(10):
        tell(runtime, filling("t", 4 * number))
    assert tell(runtime, filling("t", 500)) == ["quarantined"]
    assert tell(runtime, stage("t", kind="first")) == ["accepted"], "news that takes no room"
    answer(
        runtime, "t", "SUCCESS", {"id": "mine", "audioUrl": "https://example.org/m.mp3", "prompt": "y" * 9000}
    )
    assert load_task(runtime, "t").settlement.outcome.value == "succeeded"


@BOTH_STORES
def test_neither_reading_again_nor_rebuilding_takes_in_what_was_too_much(runtime: Runtime) -> None:
    for number in range(10):
        tell(runtime, filling("t", 4 * number))
    before = load_task(runtime, "t")
    done, _ = reprocess(runtime, QuarantineFilter(), now=T0, actor=SOMEBODY)
    assert (done.total, done.readable) == (4, 0)
    assert [rebuild_task(runtime, key, now=T0) for key in every_task_id(runtime)] == [False]
    assert load_task(runtime, "t").state == before.state


def refused(task_id: str) -> Delivery:
    """What both databases refuse: a row without a digest."""
    sent = callback(stage(task_id))
    return replace(sent, parsed=replace(sent.parsed, digest=None))  # type: ignore[arg-type]


@BOTH_STORES
def test_an_item_that_the_database_refuses_fails_alone(runtime: Runtime) -> None:
    started = threading.Barrier(9)

    def send(sent: Delivery) -> str:
        started.wait()
        try:
            return runtime.intake.submit(sent).result
        except StatementRefusedError:
            return "refused"
        except StoreUnavailableError:
            return "unavailable"

    for turn in range(5):
        items = [callback(stage(f"t-{turn}-{number}")) for number in range(8)]
        with ThreadPoolExecutor(9) as pool:
            results = list(pool.map(send, [*items, refused(f"bad-{turn}")]))
        assert results == ["accepted"] * 8 + ["refused"]
    with runtime.database.read() as connection:
        assert tasks.load(connection, "bad-0") is None


ODD = {
    "a task id that is too long": {"task_id": "é" * 5000},
    "half of a surrogate pair": {"task_id": "a\ud800"},
    "a product that is too long": {
        "kind": ParseOutcome.UNSUPPORTED,
        "observation": None,
        "product": "x" * 99,
    },
}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_whatever_postgresql_refuses_harms_nobody_else_in_the_group(runtime: Runtime, odd: Any) -> None:
    sent = callback(stage("bad"))
    bad = replace(sent, parsed=replace(sent.parsed, **odd))
    first, holding = threading.Event(), threading.Event()

    def hold() -> None:
        with runtime.database.write() as connection:
            connection.execute(text("LOCK TABLE task IN EXCLUSIVE MODE"))
            first.set()
            assert holding.wait(20)

    with ThreadPoolExecutor(5) as pool:
        pool.submit(hold)
        assert first.wait(20)
        waiting = [
            pool.submit(runtime.intake.submit, each)
            for each in (callback(stage("a")), bad, callback(stage("b")))
        ]
        eventually(lambda: len(runtime.intake._group._waiting) >= 2)
        holding.set()
        errors = [each.exception(20) for each in waiting]
    assert [error is None for error in errors] == [True, False, True]
    assert not isinstance(errors[1], StoreUnavailableError)


@BOTH_STORES
def test_a_status_of_any_length_can_be_stored(runtime: Runtime) -> None:
    sent = callback(stage("t"))
    observation = sent.parsed.observation
    assert observation is not None
    word = "".join(chr(0x4E00 + number * 37 % 20000) for number in range(4000))
    runtime.intake.submit(
        replace(sent, parsed=replace(sent.parsed, observation=replace(observation, status=word)))
    )
    with runtime.database.read() as connection:
        assert connection.scalar(select(task.c.status)) == word[:64]
        assert connection.scalar(select(delivery.c.status)) == word[:64]


@BOTH_STORES
def test_an_item_of_our_own_fault_is_a_500_that_does_not_blame_the_sender(runtime: Runtime) -> None:
    app = build_app(runtime)

    @app.post("/refused")
    def _refused() -> str:
        return runtime.intake.submit(refused("t")).result

    sent = app.test_client().post("/refused")
    assert sent.status_code == 500
    assert sent.content_type == "application/problem+json"
    assert "not of the request" in json_of(sent)["detail"]


@pytest.mark.parametrize("adopted", [True, False], ids=["an orphan", "no task"])
def test_registering_reads_no_body_of_the_callbacks_that_came_before(runtime: Runtime, adopted: bool) -> None:
    """Strangers may have sent as many and as large ones as they like, and registering holds the lock."""
    job = {"task_id": "t", "audioWavUrl": "https://example.org/a.wav"}
    sisters = [json.dumps({"code": code, "n": code, "data": job}).encode() for code in (500, 501, 200)]
    query = "song_id=42"
    tell(runtime, *([stage("t", n=1)] if adopted else []))
    runtime.intake.accept([callback_delivery(body, now=T0, secrets=(), query=query) for body in sisters])
    tell(runtime, sisters[0])
    with runtime.database.write() as connection:
        connection.execute(delivery.update().values(body=None))  # nothing is left that could be read
    register_task(runtime, "t", label=None, now=T0 + timedelta(minutes=1), actor=SOMEBODY)
    registered = load_task(runtime, "t")
    ends = {Fact.UNSUPPORTED_FAILED, Fact.UNSUPPORTED_SUCCEEDED}
    assert ends <= registered.state.facts
    assert (registered.callbacks, registered.query) == (5 if adopted else 3, query)
    assert (registered.state.unsupported_end is None) is adopted, "a callback named it as music"


def test_registering_walks_few_rows_however_often_strangers_called_back(runtime: Runtime) -> None:
    tell(runtime, b'{"code": 200, "data": {"task_id": "t", "audioWavUrl": "https://example.org/a.wav"}}')
    rows = [{"task_id": "t", "at": T0, "digest": bytes(32)} for _ in range(3 * SCAN_LIMIT)]
    values = "(:task_id, 'callback', :at, 'unsupported', 'GENERATE_AUDIO_FAILED', '{}', '{}', :digest)"
    with runtime.database.write() as connection:
        connection.execute(
            text(
                "INSERT INTO delivery (task_id, source, received_at, result, status, errors, change, digest)"
                f" VALUES {values}"
            ),
            rows,
        )
        started = time.process_time()
        claims = first_end_claims(connection, "t", most=2 * SCAN_LIMIT)
    assert time.process_time() - started < AT_MOST_S
    assert len(claims) == SCAN_LIMIT
    assert claims[0].end is UnsupportedEnd.SUCCEEDED, "the first that came"
