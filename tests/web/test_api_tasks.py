"""Tasks through the API: labelled, filtered, read on in order of change, and deleted."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select

from receiver.app import build_app
from receiver.clock import utc_now
from receiver.core import task_counts
from receiver.intake import callback_delivery, poll_delivery
from receiver.operations import delete_task
from receiver.polling.giving_up import give_up_late_tasks
from receiver.runtime import Runtime
from receiver.store import audit_log, hourly_counts, removal, task_list
from receiver.store.deliveries import PAGE_BYTES
from receiver.store.schema import delivery, task
from receiver.store.task_list import TaskFilter
from tests.conftest import API_TOKEN, BOTH_STORES, T0, eventually, json_of
from tests.store.test_migrations import counted_anew
from tests.web.test_api import BEARER, Api
from tests.world import SOMEBODY

pytestmark = BOTH_STORES


@pytest.fixture
def api(runtime: Runtime) -> Api:
    return Api(build_app(runtime).test_client())


def listed(api: Api, query: str) -> list[str]:
    return [found_task["taskId"] for found_task in api.get(f"/tasks?{query}")["tasks"]]


def delete(api: Api, task_id: str, status: int = 204) -> None:
    response = api.client.delete(f"/api/tasks/{task_id}", headers=BEARER)
    assert (response.status_code, response.data == b"") == (status, status == 204)


def patch(api: Api, task_id: str, body: Any, status: int = 200) -> Any:
    response = api.client.patch(f"/api/tasks/{task_id}", headers=BEARER, json=body)
    assert response.status_code == status, response.text
    return response.json


# --- Registering and labels


def test_registering_takes_the_product_and_is_idempotent_with_it(api: Api) -> None:
    first = api.post("/tasks", 201, {"taskId": "t", "label": "one", "product": "music"})
    assert first["product"] == "music"
    assert api.post("/tasks", 200, {"taskId": "t", "label": None}) == first
    assert api.post("/tasks", 200, {"taskId": "t", "product": "music"}) == first


def test_what_registering_answers_is_what_is_stored(api: Api) -> None:
    for task_id in ("a", "b"):
        assert api.post("/tasks", 201, {"taskId": task_id}) == api.get(f"/tasks/{task_id}")


def test_a_label_is_changed_and_removed_and_written_down(api: Api, runtime: Runtime) -> None:
    api.post("/tasks", 201, {"taskId": "t", "label": "one"})
    assert patch(api, "t", {"label": "two"})["label"] == "two"
    assert patch(api, "t", {"label": "two"})["label"] == "two"
    assert (listed(api, "label=two"), listed(api, "label=one"), listed(api, "q=tw")) == (["t"], [], ["t"])
    assert patch(api, "t", {"label": None})["label"] is None
    assert api.get("/tasks/t")["label"] is None
    assert (listed(api, "label=two"), listed(api, "q=tw")) == ([], [])
    with runtime.database.read() as connection:
        done = audit_log.of_task(connection, "t", limit=9)
    assert [(action.kind, action.actor.via, action.detail) for action in done] == [
        ("labelled", "API", {"label": None}),
        ("labelled", "API", {"label": "two"}),
    ]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"label"}),
        ({"label": 5}, {"label"}),
        ({"label": "x" * 201}, {"label"}),
        ({"label": "a\0b"}, {"label"}),
        ({"label": "x", "status": "SUCCESS"}, {"status"}),
        ({"label": "x", "taskId": "t"}, {"taskId"}),
        ({"registered": False}, {"registered", "label"}),
    ],
)
def test_nothing_but_a_label_can_be_patched(api: Api, body: Any, fields: set[str]) -> None:
    api.post("/tasks", 201, {"taskId": "t", "label": "one"})
    assert patch(api, "t", body, 422)["errors"].keys() == fields
    assert api.get("/tasks/t")["label"] == "one"


def test_an_unknown_task_cannot_be_patched(api: Api) -> None:
    assert patch(api, "none", {"label": "x"}, 404)["type"] == "/docs#unknown-task"
    assert listed(api, "") == []


# --- Filters


def test_filters_by_label_settled_and_product_combine(api: Api) -> None:
    for name, label in (("a", "shop 1"), ("b", "shop 1"), ("c", "shop 10"), ("d", None)):
        api.post("/tasks", 201, {"taskId": name, "label": label})
    api.callback("b")
    api.callback("c")
    assert listed(api, "label=shop+1") == ["b", "a"]
    assert listed(api, "label=shop") == listed(api, "label=SHOP+1") == listed(api, "label=") == []
    assert listed(api, "settled=true") == ["c", "b"]
    assert listed(api, "settled=false") == ["d", "a"]
    assert listed(api, "label=shop+1&settled=true&product=music") == ["b"]
    assert (
        listed(api, "settled=true&outcome=in_progress") == listed(api, "settled=false&outcome=failed") == []
    )
    assert listed(api, "settled=true&outcome=succeeded&q=shop&status=SUCCESS") == ["c", "b"]
    assert listed(api, "product=music&limit=200") == ["d", "c", "b", "a"]


# --- Read on in order of change


def test_a_program_reads_on_from_the_last_change_that_it_knows(api: Api) -> None:
    for name in ("a", "b", "c"):
        api.post("/tasks", 201, {"taskId": name})
    first = api.get("/tasks?changedSince=2020-01-01T00:00:00Z")
    assert ([found_task["taskId"] for found_task in first["tasks"]], first["next"]) == (["a", "b", "c"], None)
    since = first["tasks"][-1]["changedAt"]
    eventually(lambda: api.post("/tasks", 200, {"taskId": "c"}) and utc_now().isoformat()[:23] > since[:23])
    api.callback("b", kind="first")
    api.callback("a")
    again = api.get(f"/tasks?changedSince={since}")["tasks"]
    assert [found_task["taskId"] for found_task in again] == ["c", "b", "a"], "the last one known comes again"
    assert listed(api, f"changedSince={since}&settled=true") == ["a"]


def test_changes_are_read_in_pages_whose_cursor_is_theirs_alone(api: Api) -> None:
    for number in range(5):
        api.callback(f"t{number}", kind="text")
    query, cursor, collected = "changedSince=2020-01-01T00:00:00Z&limit=2", "", []
    while True:
        page = api.get(f"/tasks?{query}{cursor}")
        collected += [found_task["taskId"] for found_task in page["tasks"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
        assert api.get(f"/tasks?limit=2{cursor}", 422)["errors"].keys() == {"cursor"}
        if len(collected) == 2:
            api.callback("t0", kind="first")  # moves to the end while we read
    assert collected == ["t0", "t1", "t2", "t3", "t4", "t0"]


# --- Deleted


def totals(runtime: Runtime) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, int]]]:
    """The totals of tasks as they are stored, without zeros, and as the rows give them."""
    with runtime.database.read() as connection:
        stored = hourly_counts.totals(connection, task_counts.TASK, task_counts.SETTLING)
        everything = task_list.find(connection, TaskFilter(), limit=999).tasks
    nonzero = {subject: {name: n for name, n in counts.items() if n} for subject, counts in stored.items()}
    return {subject: counts for subject, counts in nonzero.items() if counts}, counted_anew(everything)


def test_a_deleted_task_is_gone_with_all_that_was_reported_of_it(api: Api, runtime: Runtime) -> None:
    for name in ("gone", "stays"):
        api.post("/tasks", 201, {"taskId": name, "label": "mine"})
        api.callback(name, kind="text")
        api.callback(name)
        api.callback(name)
    delete(api, "gone")
    for path in ("/tasks/gone", "/tasks/gone/deliveries"):
        api.get(path, 404)
    assert (
        listed(api, "label=mine")
        == listed(api, "q=song")
        == listed(api, "changedSince=2020-01-01T00:00:00Z")
        == ["stays"]
    )
    with runtime.database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(delivery)) == 3
        [line] = [action for action in audit_log.newest(connection, limit=9) if action.kind == "deleted"]
    assert (line.task_id, line.actor.via, line.detail) == ("gone", "API", {"outcome": "succeeded"})
    delete(api, "gone", 404)


@pytest.mark.parametrize("code", [200, 500])
@pytest.mark.parametrize("registered", [True, False])
def test_totals_are_as_if_a_deleted_task_had_never_been(
    api: Api, runtime: Runtime, code: int, registered: bool
) -> None:
    for name in ("gone", "stays"):
        if registered:
            api.post("/tasks", 201, {"taskId": name})
        api.callback(name, kind="complete" if code == 200 else "error", code=code)
    give_up_late_tasks(runtime.database, runtime.settings.rules, first_seen_before=utc_now(), now=utc_now())
    before = api.get("/stats")
    delete(api, "gone")
    stored, counted = totals(runtime)
    assert stored == counted
    stats = api.get("/stats")
    assert sum(stats["tasks"].values()) == sum(before["tasks"].values()) - 1 == 1
    assert stats["deliveries"] == before["deliveries"], "they count what came"
    delete(api, "stays")
    stats = api.get("/stats")
    assert {*stats["tasks"].values(), stats["recovered"], stats["lostCallbacks"]} == {0}
    assert totals(runtime) == ({}, {})


def test_a_callback_after_deletion_makes_an_orphan_that_knows_nothing_of_before(api: Api) -> None:
    api.post("/tasks", 201, {"taskId": "t", "label": "mine"})
    api.callback("t", kind="text")
    delete(api, "t")
    api.callback("t", kind="text")  # the same content, which is no repetition now
    again = api.get("/tasks/t")
    assert (again["registered"], again["label"], again["callbacks"]) == (False, None, 1)
    assert [row["result"] for row in api.get("/tasks/t/deliveries")["deliveries"]] == ["accepted"]


def test_many_deliveries_are_deleted_in_several_transactions(api: Api, runtime: Runtime) -> None:
    api.post("/tasks", 201, {"taskId": "t"})
    now, count = utc_now(), removal.BATCH_SIZE + 20
    large = b"x" * (PAGE_BYTES // 4)
    bodies = [
        b'{"code": 200, "data": {"callbackType": "text", "task_id": "t"}, "n": %d}' % n for n in range(count)
    ]
    runtime.intake.accept([callback_delivery(body, now=now, secrets=()) for body in bodies])
    pad = [
        b'{"code": 200, "data": {"callbackType": "text", "task_id": "t"}, "p%d": "%s"}' % (n, large)
        for n in range(9)
    ]
    runtime.intake.accept([callback_delivery(body, now=now, secrets=()) for body in pad])
    deleted = []
    while True:
        with runtime.database.write() as connection:
            before = connection.scalar(select(func.count()).where(delivery.c.task_id == "t")) or 0
            done = removal.delete_some_deliveries(connection, "t")
            deleted.append(
                before - (connection.scalar(select(func.count()).where(delivery.c.task_id == "t")) or 0)
            )
        if done:
            break
    assert sum(deleted) == count + 9
    assert len(deleted) > 3
    assert max(deleted) <= removal.BATCH_SIZE
    assert api.get("/tasks/t")["callbacks"] == count + 9, "the task itself goes last"
    delete(api, "t")


def test_an_answer_to_a_poll_under_way_does_not_bring_a_deleted_task_back(api: Api, runtime: Runtime) -> None:
    for name in ("gone", "stays"):
        api.post("/tasks", 201, {"taskId": name})
    delete(api, "gone")
    polls = [
        poll_delivery(body % name, name.decode(), now=utc_now(), secrets=())
        for name in (b"gone", b"stays")
        for body in (
            b'{"code": 200, "data": {"taskId": "%s", "status": "PENDING"}}',
            b'{"code": 200, "data": null, "about": "%s"}',
            b"<html>%s",
            b'{"code": 200, "data": {"taskId": "%s", "successFlag": "SUCCESS", "response": {"vocalUrl": "x"}}}',
        )
    ]
    results = runtime.intake.accept_answers(polls)
    assert len(results) == 4
    api.get("/tasks/gone", 404)
    assert api.get("/tasks/stays")["polls"] >= 3
    stored, counted = totals(runtime)
    assert stored == counted
    with runtime.database.read() as connection:
        assert set(connection.scalars(select(delivery.c.task_id))) == {"stays"}


def test_waiting_for_a_task_that_is_deleted_ends_with_a_404(runtime: Runtime) -> None:
    app = build_app(runtime)
    api, other = Api(app.test_client()), Api(app.test_client())
    api.post("/tasks", 201, {"taskId": "t"})
    deleting = threading.Timer(0.3, delete, [other, "t"])
    deleting.start()
    api.get("/tasks/t?wait=30", 404)
    deleting.join()


def test_deleting_and_calling_back_at_once_never_fails_and_leaves_totals_right(
    new_runtime: Callable[..., Runtime],
) -> None:
    nodes = [new_runtime() for _ in range(3)]
    stages = ("text", "first", "complete")

    def call_back(number: int) -> None:
        for turn in range(30):
            data = {"callbackType": stages[turn % 3], "task_id": f"t{turn % 2}"}
            body = json.dumps({"code": 200, "data": data, "n": number}).encode()
            nodes[number].intake.accept([callback_delivery(body, now=T0, secrets=())])

    def remove() -> int:
        return sum(delete_task(nodes[2], f"t{turn % 2}", now=T0, actor=SOMEBODY) for turn in range(60))

    with ThreadPoolExecutor(3) as pool:
        calling = [pool.submit(call_back, number) for number in range(2)]
        removing = pool.submit(remove)
        for future in calling:
            future.result()
        assert removing.result() > 0
    stored, counted = totals(nodes[0])
    assert stored == counted
    with nodes[0].database.read() as connection:
        left = set(connection.scalars(select(task.c.task_id)))
        assert set(connection.scalars(select(delivery.c.task_id))) == left


# --- Waiting


def test_however_many_readers_wait_a_callback_is_answered(new_runtime: Callable[..., Runtime]) -> None:
    """Half of the threads at most are taken by readers that wait; the others are answered at once."""
    app = build_app(new_runtime(THREADS="4"))
    api = Api(app.test_client())
    api.post("/tasks", 201, {"taskId": "t"})

    def read(_: int) -> tuple[bool, bool]:
        headers = {"Authorization": f"Bearer {API_TOKEN}"}
        response = app.test_client().get("/api/tasks/t?wait=60", headers=headers)
        return json_of(response)["settled"], "Retry-After" in response.headers

    with ThreadPoolExecutor(5) as readers:
        waiting = [readers.submit(read, number) for number in range(5)]
        eventually(lambda: sum(future.done() for future in waiting) == 3)
        api.callback("t")
        responses = sorted(future.result(timeout=20) for future in waiting)
    assert responses == [(False, True)] * 3 + [(True, False)] * 2
