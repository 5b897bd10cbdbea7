"""What invented tasks may take: of those that only strangers named the newest are kept, up to a size."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text

from receiver.app import build_app
from receiver.intake import callback_delivery, poll_delivery
from receiver.maintenance import Maintenance
from receiver.operations import delete_task, every_task_id, label_task, rebuild_task, register_task
from receiver.polling.giving_up import give_up_late_tasks
from receiver.runtime import Runtime
from receiver.store import hourly_counts, task_list, tasks
from receiver.store.body_cap import BodyCap
from receiver.store.cap import DROPPED
from receiver.store.orphan_cap import ORPHANS, OrphanCap
from receiver.store.schema import delivery, task
from receiver.store.short_rows import MAX_CHARS, MAX_QUERY_CHARS
from receiver.store.task_list import TaskFilter
from tests.conftest import BOTH_STORES, CALLBACK_TOKEN, T0
from tests.test_body_cap import with_cap
from tests.world import SOMEBODY

pytestmark = BOTH_STORES

URL = f"/callbacks/{CALLBACK_TOKEN}"
LARGE = "x" * 7_900
ONE = 40_000  # more than any of the callbacks here makes a task take


def stage(task_id: str, *, rows: int = 1, prompt: str = "", kind: str = "text", **more: Any) -> bytes:
    tracks = [{"id": f"{task_id}-{number}", "prompt": prompt, "title": "Tides"} for number in range(rows)]
    return json.dumps(
        {"code": 200, "data": {"callbackType": kind, "task_id": task_id, "data": tracks, **more}}
    ).encode()


def send(runtime: Runtime, *bodies: bytes, query: str = "") -> list[str]:
    deliveries = [callback_delivery(body, now=T0, secrets=(), query=query) for body in bodies]
    return [runtime.intake.submit(delivery).result for delivery in deliveries]


def answer(runtime: Runtime, task_id: str, **data: Any) -> None:
    record = {"taskId": task_id, "status": "PENDING", **data}
    body = json.dumps({"code": 200, "data": record}).encode()
    runtime.intake.accept([poll_delivery(body, task_id, now=T0, secrets=())])


def register(runtime: Runtime, task_id: str) -> None:
    register_task(runtime, task_id, label=None, now=T0, actor=SOMEBODY)


def give_up(runtime: Runtime) -> None:
    give_up_late_tasks(
        runtime.database, runtime.settings.rules, first_seen_before=T0, now=T0 + timedelta(days=1)
    )


def drop(runtime: Runtime, most_bytes: int) -> None:
    assert OrphanCap(runtime.database, most_bytes=most_bytes).enforce(for_s=20)


def ids(runtime: Runtime) -> list[str]:
    return list(every_task_id(runtime))


def track_ids(runtime: Runtime, task_id: str) -> list[str]:
    with runtime.database.read() as connection:
        loaded = tasks.load(connection, task_id)
    assert loaded is not None
    return sorted(key.removeprefix("id:") for key in loaded.state.tracks)


def sizes(runtime: Runtime) -> tuple[int, int]:
    """What counts as capped, and what the large columns of all tasks really take."""
    with runtime.database.read() as connection:
        counted = connection.scalar(select(func.sum(task.c.capped_bytes))) or 0
        taken = connection.scalar(select(func.sum(func.length(task.c.state) + func.length(task.c.words))))
    return int(counted), int(taken or 0)


# However a callback is made large: each names another task.
FLOODS: dict[str, Callable[[int], tuple[bytes, str]]] = {
    "rows with long prompts": lambda n: (stage(f"t{n}", rows=4, prompt=LARGE), ""),
    "32 rows": lambda n: (stage(f"t{n}", rows=32, prompt="x" * 300), ""),
    "long signs": lambda n: (stage(f"t{n}", prompt="\u6b4c" * 5_000), ""),
    "long queries": lambda n: (stage(f"t{n}"), f"n={n}&x=" + "y" * 1_990),
    "long ids": lambda n: (stage(f"{n:0200}"), ""),
    "quarantined": lambda n: (stage(f"t{n}", data=5, msg=LARGE), ""),
}


@pytest.mark.slow
@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_of_invented_tasks_is_held_within_the_cap_while_it_comes(
    runtime: Runtime, flood: str
) -> None:
    most, excess = 50_000, 25_000
    small = OrphanCap(runtime.database, most_bytes=most, checked_every_bytes=excess)
    runtime = with_cap(runtime, small)
    register(runtime, "mine")
    send(runtime, stage("mine", rows=3), stage("confirmed", rows=3))
    answer(runtime, "confirmed", param="{}")
    largest = 0
    results = set()
    for number in range(40):
        body, query = FLOODS[flood](number)
        results |= set(send(runtime, body, query=query))
        largest = max(largest, *sizes(runtime))
    assert results <= {"accepted", "quarantined"}
    assert largest <= most + excess + ONE
    assert len(track_ids(runtime, "mine")) == len(track_ids(runtime, "confirmed")) == 3


def test_the_oldest_go_and_every_row_of_a_delivery_stays(runtime: Runtime) -> None:
    send(runtime, *[stage(f"t{number:02}", prompt=LARGE) for number in range(30)])
    counted, taken = sizes(runtime)
    assert taken < counted < taken + 30 * 5_000
    drop(runtime, counted // 3)
    assert ids(runtime) == [f"t{number:02}" for number in range(20, 30)]
    with runtime.database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(delivery)) == 30
        assert hourly_counts.totals(connection, "task", DROPPED) == {
            "task": {"in_progress": 10},
            DROPPED: {ORPHANS: 20},
        }
        found = task_list.find(connection, TaskFilter(text="tides"), limit=99).tasks
    assert len(found) == 10
    drop(runtime, counted // 3)
    assert len(ids(runtime)) == 10


def test_what_somebody_owns_or_record_info_confirmed_stays_whatever_comes(runtime: Runtime) -> None:
    register(runtime, "registered")
    names = ("registered", "adopted", "labelled", "confirmed", "succeeded", "stranger", "not-known")
    send(runtime, *[stage(name) for name in names])
    register(runtime, "adopted")
    label_task(runtime, "labelled", label="order 17", now=T0, actor=SOMEBODY)
    answer(runtime, "confirmed", type="text")
    answer(runtime, "succeeded", status="SUCCESS", response={"sunoData": [{"id": "a"}]})
    runtime.intake.accept([poll_delivery(b'{"code": 200, "data": null}', "not-known", now=T0, secrets=())])
    send(runtime, *[stage(name, rows=2) for name in names[:5]])
    give_up(runtime)
    drop(runtime, 0)
    assert ids(runtime) == sorted(names[:5])


def test_those_given_up_go_first_and_those_still_asked_about_only_when_the_cap_demands_it(
    runtime: Runtime,
) -> None:
    send(runtime, *[stage(f"old-{number}", prompt=LARGE) for number in range(4)])
    with runtime.database.write() as connection:
        connection.execute(text("UPDATE task SET outcome = 'in_progress'"))
    send(runtime, *[stage(f"over-{number}", prompt=LARGE) for number in range(4)])
    task_bytes = sizes(runtime)[0] // 8
    with runtime.database.write() as connection:
        connection.execute(text("UPDATE task SET outcome = 'unresolved' WHERE task_id LIKE 'over%'"))
    drop(runtime, 6 * task_bytes)
    assert ids(runtime) == ["old-0", "old-1", "old-2", "old-3", "over-2", "over-3"]
    drop(runtime, 3 * task_bytes)
    assert ids(runtime) == ["old-1", "old-2", "old-3"]


def test_an_orphan_that_is_called_back_again_begins_anew(runtime: Runtime) -> None:
    body = stage("t", rows=2)
    assert send(runtime, body, body) == ["accepted", "duplicate"]
    drop(runtime, 0)
    assert ids(runtime) == []
    assert send(runtime, body, body) == ["accepted", "duplicate"]
    assert track_ids(runtime, "t") == ["t-0", "t-1"]
    with runtime.database.read() as connection:
        assert connection.scalar(select(task.c.callbacks)) == 2
        assert hourly_counts.totals(connection, "task") == {"task": {"in_progress": 1}}
    assert delete_task(runtime, "t", now=T0, actor=SOMEBODY)


@pytest.mark.parametrize("with_body", [True, False])
def test_one_that_is_registered_after_it_was_dropped_takes_in_what_comes_again_or_still_there(
    runtime: Runtime, with_body: bool
) -> None:
    first, second = stage("t", rows=2), stage("t", rows=3, kind="first")
    send(runtime, first, second)
    drop(runtime, 0)
    if not with_body:
        send(runtime, b"<html>")
        assert BodyCap(runtime.database, most_bodies=1).enforce(for_s=20)
    register(runtime, "t")
    assert send(runtime, first, first) == ["accepted", "duplicate"]
    assert track_ids(runtime, "t") == ["t-0", "t-1"]
    assert rebuild_task(runtime, "t", now=T0) is with_body
    assert track_ids(runtime, "t") == ["t-0", "t-1", "t-2"][: 3 if with_body else 2]
    drop(runtime, 0)
    assert ids(runtime) == ["t"]


def test_dropping_beside_callbacks_and_registrations_loses_no_count_and_blocks_nobody(
    runtime: Runtime,
) -> None:
    def flood(thread: int) -> set[str]:
        names = [f"t{(thread + number) % 6}" for number in range(20)]
        bodies = [stage(name, rows=thread + 1) for name in names]
        batches = [bodies[first : first + 5] for first in range(0, 20, 5)]
        deliveries = [[callback_delivery(body, now=T0, secrets=()) for body in some] for some in batches]
        return {stored.result for some in deliveries for stored in runtime.intake.accept(some)}

    def dropping(_: int) -> set[str]:
        for _time in range(10):  # what another one has locked at that moment stays
            OrphanCap(runtime.database, most_bytes=2_000).enforce(for_s=20)
        register(runtime, "t5")
        return set()

    with ThreadPoolExecutor(4) as pool:
        results = list(
            pool.map(lambda work: work[0](work[1]), [(flood, 0), (flood, 1), (dropping, 0), (flood, 2)])
        )
    assert set().union(*results) <= {"accepted", "duplicate"}
    drop(runtime, 0)
    assert ids(runtime) == ["t5"]
    with runtime.database.read() as connection:
        counts = hourly_counts.totals(connection, "task")["task"]
    assert {name: count for name, count in counts.items() if count} == {"in_progress": 1}


def test_the_housekeeping_enforces_this_cap_too(runtime: Runtime) -> None:
    send(runtime, *[stage(f"t{number}") for number in range(9)])
    caps = [OrphanCap(runtime.database, most_bytes=sizes(runtime)[0] // 3)]
    keeper = Maintenance(runtime.database, retention=timedelta(days=30), name="keeper", caps=caps)
    keeper.run_once(now=T0)
    assert len(ids(runtime)) == 3


def test_a_person_can_see_how_much_was_dropped(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    client = build_app(runtime).test_client()
    send(runtime, *[stage(f"t{number}") for number in range(4)])
    drop(runtime, 0)
    assert BodyCap(runtime.database, most_bodies=1).enforce(for_s=20)
    metrics = client.get("/metrics").text
    assert 'receiver_dropped_total{what="orphans"} 4.0' in metrics
    assert 'receiver_dropped_total{what="bodies"} 3.0' in metrics
    logged = [record.__dict__.get("fields") for record in caplog.records if record.levelname == "WARNING"]
    assert logged == [{"orphans": 4}, {"bodies": 3}]


LONG_QUERY = "x=" + "y" * 1_990
ODD_ROWS = [{"id": "x" * 90, **{f"{'k' * 90}{n}": [1] for n in range(3)}, "duration": "z"} for _ in range(32)]


def lengths(runtime: Runtime) -> list[int]:
    """Of what stays of each delivery beside its body, its ids and its digest."""
    texts = (func.length(delivery.c[name]) for name in ("errors", "change", "status"))
    query = select(sum(texts, func.coalesce(func.length(delivery.c.query), 0)))
    with runtime.database.read() as connection:
        return list(connection.scalars(query.order_by(delivery.c.id)))


@pytest.mark.parametrize("body", [stage("t", data=ODD_ROWS), stage("t", data=5), b"<html>"])
def test_what_stays_of_a_strangers_delivery_for_good_is_short(runtime: Runtime, body: bytes) -> None:
    send(runtime, body, b"<1>", query=LONG_QUERY)
    assert lengths(runtime)[0] > MAX_QUERY_CHARS
    assert BodyCap(runtime.database, most_bodies=1).enforce(for_s=20)
    assert lengths(runtime)[0] <= MAX_QUERY_CHARS + 2 * MAX_CHARS


def test_the_long_texts_of_strangers_count_against_the_cap_as_their_bodies_do(runtime: Runtime) -> None:
    for number in range(20):
        send(runtime, b"<%d>" % number, query=f"n={number}&{LONG_QUERY}")
    assert BodyCap(runtime.database, most_bytes=10_000).enforce(for_s=20)
    assert sum(length > 1_000 for length in lengths(runtime)) == 4


@pytest.mark.parametrize("registered", [True, False])
def test_a_repetition_is_stored_short_at_once(runtime: Runtime, registered: bool) -> None:
    if registered:
        register(runtime, "t")
    body = stage("t", data=ODD_ROWS)
    send(runtime, body, body, body, query=LONG_QUERY)
    first, *others = lengths(runtime)
    assert first > MAX_QUERY_CHARS + MAX_CHARS
    assert max(others) <= MAX_QUERY_CHARS + 2 * MAX_CHARS
