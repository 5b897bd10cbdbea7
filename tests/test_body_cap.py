"""What strangers may store: one body once, and of all bodies the newest so many."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text

from receiver.app import build_app
from receiver.core.results import DeliveryResult
from receiver.intake import Intake, callback_delivery, poll_delivery
from receiver.maintenance import Maintenance
from receiver.operations import every_task_id, rebuild_task, register_task
from receiver.runtime import Runtime
from receiver.store import body_cap, hourly_counts, quarantine
from receiver.store.body_cap import BodyCap
from receiver.store.cap import CHECK_EVERY_BYTES, Cap
from receiver.store.quarantine import QuarantineFilter
from receiver.store.schema import delivery
from tests.conftest import BOTH_STORES, CALLBACK_TOKEN, T0
from tests.world import SOMEBODY

pytestmark = BOTH_STORES

URL = f"/callbacks/{CALLBACK_TOKEN}"


def with_cap(runtime: Runtime, cap: Cap) -> Runtime:
    """The runtime with this cap alone."""
    return replace(runtime, intake=Intake(runtime.database, runtime.settings.rules, caps=[cap]))


def stage(task_id: str, number: int = 0, padding: int = 0) -> bytes:
    row = {"id": "a", "audio_url": "https://example.org/a.mp3", "n": number, "x": "x" * padding}
    return json.dumps(
        {"code": 200, "data": {"callbackType": "complete", "task_id": task_id, "data": [row]}}
    ).encode()


def wav(task_id: str) -> bytes:
    data = {"task_id": task_id, "audioWavUrl": "https://example.org/a.wav"}
    return json.dumps({"code": 200, "data": data}).encode()


def tell(runtime: Runtime, *bodies: bytes) -> None:
    for body in bodies:
        runtime.intake.submit(callback_delivery(body, now=T0, secrets=()))


def answer(runtime: Runtime, task_id: str) -> None:
    record = {"taskId": task_id, "status": "PENDING", "param": "{}"}
    body = json.dumps({"code": 200, "data": record}).encode()
    runtime.intake.accept([poll_delivery(body, task_id, now=T0, secrets=())])


def stored_bodies(runtime: Runtime) -> list[bytes]:
    with runtime.database.read() as connection:
        rows = connection.execute(text("SELECT body FROM delivery WHERE body IS NOT NULL ORDER BY id"))
        return [bytes(row.body) for row in rows]


def rows(runtime: Runtime) -> int:
    with runtime.database.read() as connection:
        return connection.scalar(select(func.count()).select_from(delivery)) or 0


def count_capped(runtime: Runtime) -> int:
    with runtime.database.read() as connection:
        return connection.scalar(select(func.count(delivery.c.capped_bytes))) or 0


@pytest.mark.parametrize(("body", "status"), [(b"<html>", 400), (b'{"code": 200}', 422), (b"[1]", 422)])
def test_the_same_unreadable_body_again_is_answered_alike_and_stored_once(
    runtime: Runtime, body: bytes, status: int
) -> None:
    client = build_app(runtime).test_client()
    answers = [client.post(URL, data=body) for _ in range(20)]
    assert {response.status_code for response in answers} == {status}
    assert len({response.data for response in answers}) == 1
    assert stored_bodies(runtime) == [body]
    assert rows(runtime) == 1
    with runtime.database.read() as connection:
        counted = hourly_counts.totals(connection, "callback")["callback"]
        assert quarantine.count(connection, QuarantineFilter()) == 1
    assert counted == {"quarantined": 1, "duplicate": 19}


def test_unreadable_bodies_that_came_together_are_stored_once_too(runtime: Runtime) -> None:
    batch = [callback_delivery(body, now=T0, secrets=()) for body in (b"<a>", b"<b>", b"<a>", b"{}", b"{ }")]
    assert [stored.result for stored in runtime.intake.accept(batch)].count(DeliveryResult.DUPLICATE) == 2
    assert stored_bodies(runtime) == [b"<a>", b"<b>", b"{}"]


def test_of_strangers_bodies_the_newest_are_kept_and_every_row(runtime: Runtime) -> None:
    bodies = [b"<%d>" % n if n % 3 else stage(f"orphan-{n}") if n % 2 else wav(f"wav-{n}") for n in range(60)]
    tell(runtime, *bodies)
    cap = BodyCap(runtime.database, most_bodies=20)
    assert cap.enforce(for_s=20)
    assert stored_bodies(runtime) == bodies[-20:]
    assert rows(runtime) == 60
    assert cap.enforce() and stored_bodies(runtime) == bodies[-20:]
    assert count_capped(runtime) == 20


def test_of_large_bodies_so_many_bytes_are_kept(runtime: Runtime) -> None:
    bodies = [b"<%03d>" % n + b"x" * 9_995 for n in range(40)]
    tell(runtime, *bodies)
    BodyCap(runtime.database, most_bytes=155_000).enforce(for_s=20)
    assert stored_bodies(runtime) == bodies[-15:]


def test_bodies_of_registered_and_of_confirmed_tasks_are_never_dropped_nor_counted(runtime: Runtime) -> None:
    register_task(runtime, "mine", label=None, now=T0, actor=SOMEBODY)
    mine = [stage("mine", 1), stage("adopted"), stage("confirmed"), stage("mine", 2)]
    tell(runtime, *mine)
    register_task(runtime, "adopted", label=None, now=T0, actor=SOMEBODY)
    answer(runtime, "confirmed")
    tell(runtime, stage("confirmed", 2), *[b"<%d>" % number for number in range(5)])
    assert count_capped(runtime) == 6, "the adopted one's is let go when it is in the way"
    assert BodyCap(runtime.database, most_bodies=5).enforce(for_s=20)
    assert count_capped(runtime) == 5
    assert len(stored_bodies(runtime)) == 11, "and so nothing has to be dropped"
    BodyCap(runtime.database, most_bodies=2).enforce(for_s=20)
    left = stored_bodies(runtime)
    assert [body for body in left if body.startswith(b"<")] == [b"<3>", b"<4>"]
    assert len(left) == 8


def test_a_task_whose_bodies_were_dropped_is_rebuilt_as_it_was(runtime: Runtime) -> None:
    tell(runtime, stage("orphan", 1), stage("orphan", 2), b"<1>", b"<2>")
    BodyCap(runtime.database, most_bodies=2).enforce(for_s=20)
    assert stored_bodies(runtime) == [b"<1>", b"<2>"]
    assert [rebuild_task(runtime, key, now=T0) for key in every_task_id(runtime)] == [False]


def test_a_repetition_of_what_was_dropped_stays_a_repetition(runtime: Runtime) -> None:
    tell(runtime, b"<1>", b"<2>")
    BodyCap(runtime.database, most_bodies=1).enforce(for_s=20)
    tell(runtime, b"<1>")
    assert (stored_bodies(runtime), rows(runtime)) == ([b"<2>"], 2)


@pytest.mark.slow
def test_a_flood_is_held_within_the_cap_while_it_comes(runtime: Runtime) -> None:
    """By who floods, with what this process stores between two looks as the only excess."""
    runtime = with_cap(runtime, BodyCap(runtime.database, most_bytes=20_000_000))
    most = 0
    for number in range(100):
        tell(runtime, b"<%d>" % number + b"x" * 1_000_000)
        with runtime.database.read() as connection:
            most = max(most, body_cap._totals(connection)[1])
    assert most <= 20_000_000 + CHECK_EVERY_BYTES + 2_000_000
    assert rows(runtime) == 100


def test_the_daily_housekeeping_enforces_the_cap_too(runtime: Runtime) -> None:
    tell(runtime, *[b"<%d>" % number for number in range(30)])
    caps = [BodyCap(runtime.database, most_bodies=10)]
    keeper = Maintenance(runtime.database, retention=timedelta(days=30), name="keeper", caps=caps)
    keeper.run_once(now=T0)
    assert len(stored_bodies(runtime)) == 10


def test_refused_requests_cost_no_disk(runtime: Runtime) -> None:
    client = build_app(runtime).test_client()
    for number in range(50):
        client.post(f"/callbacks/wrong-token-{number:08}", data=b"x" * 1000)
    runtime.intake.flush_counts()
    with runtime.database.read() as connection:
        assert rows(runtime) == 0
        assert connection.scalar(text("SELECT count(*) FROM tally")) == 1
