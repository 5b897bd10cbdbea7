"""The API of docs/api.md, call by call."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from receiver.app import build_app
from receiver.clock import utc_now
from receiver.core.observation import Source
from receiver.core.results import DeliveryResult
from receiver.runtime import Runtime
from receiver.store import new_deliveries
from receiver.store.deliveries import PAGE_BYTES, StoredDelivery
from tests.conftest import API_TOKEN, BOTH_STORES, CALLBACK_TOKEN, json_of

pytestmark = BOTH_STORES

BEARER = {"Authorization": f"Bearer {API_TOKEN}"}
FIELDS = [
    "taskId", "label", "status", "outcome", "settled", "confirmed", "recovered", "conflict", "registered",
    "operationType", "type", "parentMusicId", "param", "errorCode", "errorMessage", "product", "results", "tracks",
    "registeredAt", "firstSeenAt", "changedAt", "lastCallbackAt", "lastPolledAt", "nextPollAt", "settledAt",
    "callbacks", "polls", "version",
]  # fmt: skip
TRACK_FIELDS = [
    "id", "confirmed", "playable", "audioUrl", "streamAudioUrl", "imageUrl", "sourceAudioUrl", "sourceStreamAudioUrl", "sourceImageUrl",
    "prompt", "modelName", "title", "tags", "createTime", "duration",
]  # fmt: skip


class Api:
    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def get(self, path: str, status: int = 200) -> Any:
        response = self.client.get(f"/api{path}", headers=BEARER)
        assert response.status_code == status, response.text
        return response.json

    def post(self, path: str, status: int, body: Any = None) -> Any:
        response = self.client.post(f"/api{path}", headers=BEARER, json=body)
        assert response.status_code == status, response.text
        return response.json

    def callback(
        self, task_id: str, kind: str = "complete", code: int = 200, url: str = "https://e.org/a"
    ) -> None:
        rows = [{"id": "a", "audio_url": url, "title": f"Song of {task_id}"}]
        body = {"code": code, "msg": kind, "data": {"callbackType": kind, "task_id": task_id, "data": rows}}
        assert self.client.post(f"/callbacks/{CALLBACK_TOKEN}", json=body).status_code == 200


@pytest.fixture
def api(runtime: Runtime) -> Api:
    return Api(build_app(runtime).test_client())


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {API_TOKEN}"}]
)
def test_without_a_token_nothing_is_answered(api: Api, headers: dict[str, str]) -> None:
    for path in ("/tasks", "/stats", "/quarantine", "/tasks/x"):
        response = api.client.get(f"/api{path}", headers=headers)
        assert response.status_code == 401
        assert response.content_type == "application/problem+json"
        assert response.headers["WWW-Authenticate"] == "Bearer"


def test_registering_is_idempotent_and_adopts_an_orphan(api: Api) -> None:
    api.callback("orphan", kind="first")
    assert api.get("/tasks/orphan")["registered"] is False
    assert api.post("/tasks", 200, {"taskId": "orphan", "label": "mine"})["registered"] is True
    assert api.post("/tasks", 201, {"taskId": "new"})["outcome"] == "in_progress"
    again = api.post("/tasks", 200, {"taskId": "new"})
    assert (again["version"], again["label"]) == (0, None)
    assert api.post("/tasks", 200, {"taskId": "new", "label": "later"})["label"] == "later"


def test_a_new_task_tells_where_it_is(api: Api) -> None:
    created = api.client.post("/api/tasks", headers=BEARER, json={"taskId": "50%é"})
    assert created.headers["Location"] == "/api/tasks/50%25%C3%A9"
    assert api.client.get(created.headers["Location"], headers=BEARER).json == created.json
    known = api.client.post("/api/tasks", headers=BEARER, json={"taskId": "50%é"})
    assert (known.status_code, "Location" in known.headers) == (200, False)


def test_an_orphan_is_confirmed_before_it_settles_and_a_registered_task_is_not(api: Api) -> None:
    api.callback("orphan")
    assert api.get("/tasks/orphan")["outcome"] == "in_progress"
    api.post("/tasks", 200, {"taskId": "orphan"})
    assert api.get("/tasks/orphan")["outcome"] == "succeeded"


@pytest.mark.parametrize(
    "body",
    [None, {}, [], "x", {"taskId": ""}, {"taskId": "a b"}, {"taskId": "a/b"}, {"taskId": "x", "labl": "y"}],
)
def test_a_wrong_registration_names_the_fields_at_fault(api: Api, body: Any) -> None:
    response = api.post("/tasks", 422, body)
    assert response["errors"]
    assert response["title"]


def test_a_task_has_the_documented_fields_in_their_order_and_no_others(api: Api) -> None:
    registered = api.post("/tasks", 201, {"taskId": "task-1"})
    api.callback("task-1")
    task = api.get("/tasks/task-1")
    for shown in (registered, task, api.get("/tasks")["tasks"][0], api.post("/tasks/task-1/poll", 202)):
        assert list(shown) == FIELDS
    assert list(task["tracks"][0]) == TRACK_FIELDS
    assert (task["product"], task["results"]) == ("music", [])
    assert task["registeredAt"] == registered["registeredAt"] == registered["changedAt"]
    assert task["changedAt"] == task["settledAt"] > registered["changedAt"]
    assert task["tracks"][0]["title"] == "Song of task-1"


def test_tasks_are_listed_newest_first_in_pages_without_loss(api: Api) -> None:
    names = [f"task-{number}" for number in range(7)]
    for name in names:
        api.post("/tasks", 201, {"taskId": name})
    collected, cursor = [], ""
    while True:
        page = api.get(f"/tasks?limit=3{cursor}")
        collected += [task["taskId"] for task in page["tasks"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert collected == names[::-1]


def test_filters_combine(api: Api) -> None:
    for name in ("one", "two", "three"):
        api.post("/tasks", 201, {"taskId": name, "label": f"label {name}"})
    api.callback("one")
    api.callback("two", kind="first")

    def listed(query: str) -> list[str]:
        return [task["taskId"] for task in api.get(f"/tasks?{query}")["tasks"]]

    assert listed("outcome=succeeded") == ["one"]
    assert listed("status=FIRST_SUCCESS") == ["two"]
    assert listed("q=label%20t") == ["three", "two"]
    assert listed("q=SONG+of+one") == ["one"]
    assert listed("outcome=in_progress&q=tw") == ["two"]
    assert listed("q=%25") == []


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=x", "outcome=fine", "cursor=%21", "cursor=YWJj"]
)
def test_a_wrong_query_is_described_by_field(api: Api, query: str) -> None:
    assert api.get(f"/tasks?{query}", 422)["errors"]


def test_an_unknown_task_is_a_404_that_says_what_to_do(api: Api) -> None:
    for path in ("/tasks/none", "/tasks/none/deliveries"):
        assert "POST /api/tasks" in api.get(path, 404)["detail"]
    assert api.post("/tasks/none/poll", 404)["status"] == 404


def test_deliveries_come_in_order_of_arrival_with_their_bodies(api: Api) -> None:
    api.callback("task-1", kind="text")
    api.callback("task-1", kind="first")
    api.callback("task-1", kind="text")
    rows = api.get("/tasks/task-1/deliveries")["deliveries"]
    assert [(row["source"], row["result"], row["status"]) for row in rows] == [
        ("callback", "accepted", "TEXT_SUCCESS"),
        ("callback", "accepted", "FIRST_SUCCESS"),
        ("callback", "duplicate", "TEXT_SUCCESS"),
    ]
    assert [row["repeats"] for row in rows] == [None, None, rows[0]["id"]]
    assert [bool(row["body"]) for row in rows] == [True, True, False], "each content's body once"
    assert rows[0]["receivedAt"] <= rows[1]["receivedAt"]


def test_deliveries_are_listed_in_pages_without_loss(api: Api) -> None:
    for number in range(7):
        api.callback("task-1", url=f"https://e.org/{number % 4}")
    collected, cursor = [], ""
    while True:
        page = api.get(f"/tasks/task-1/deliveries?limit=3{cursor}")
        assert len(page["deliveries"]) <= 3
        collected += page["deliveries"]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    ids = [row["id"] for row in collected]
    assert ids == sorted(set(ids))
    assert [row["repeats"] for row in collected] == [None] * 4 + ids[:3]


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "cursor=x", "cursor=-1"])
def test_a_wrong_page_of_deliveries_is_described_by_field(api: Api, query: str) -> None:
    api.callback("task-1")
    assert api.get(f"/tasks/task-1/deliveries?{query}", 422)["errors"].keys() == {query.partition("=")[0]}


def test_behind_the_last_delivery_there_is_an_empty_page(api: Api) -> None:
    api.callback("task-1")
    assert api.get("/tasks/task-1/deliveries?cursor=999999") == {"deliveries": [], "next": None}


LARGE = 200_000  # bytes of a body, under every limit that a body may have


def large_body(number: int, task_id: str | None) -> bytes:
    """Bytes that are six times as long once they stand in JSON."""
    names = f'"task_id": "{task_id}", "callbackType": "text"' if task_id else '"n": 1'
    return (
        f'{{"code": 200, "data": {{{names}, "n": {number}, "x": "'.encode()
        + b"\xc3\xa9" * (LARGE // 2)
        + b'"}}'
    )


@pytest.mark.parametrize(("path", "task_id"), [("/tasks/task-1/deliveries", "task-1"), ("/quarantine", None)])
def test_a_page_of_large_bodies_is_shorter_and_nothing_is_left_out(
    api: Api, path: str, task_id: str | None
) -> None:
    count = PAGE_BYTES // LARGE + 5
    for number in range(count):
        api.client.post(f"/callbacks/{CALLBACK_TOKEN}", data=large_body(number, task_id))
    first = api.get(f"{path}?limit=200")
    rest = api.get(f"{path}?limit=200&cursor={first['next']}")
    sizes = [len(row["body"].encode()) for row in first["deliveries"]]
    assert PAGE_BYTES / 2 < sum(sizes) <= PAGE_BYTES
    assert len({row["id"] for page in (first, rest) for row in page["deliveries"]}) == count
    assert rest["next"] is None


def test_a_body_larger_than_a_page_is_a_page_of_its_own(api: Api, runtime: Runtime) -> None:
    row = StoredDelivery(
        source=Source.CALLBACK,
        received_at=utc_now(),
        result=DeliveryResult.ACCEPTED,
        digest=b"d",
        task_id="t",
        body=b"x" * (PAGE_BYTES + 1),
    )
    with runtime.database.write() as connection:
        new_deliveries.add(connection, [row, row])
    first = api.get("/tasks/t/deliveries")
    assert [len(row["body"]) for row in first["deliveries"]] == [PAGE_BYTES + 1]
    assert len(api.get(f"/tasks/t/deliveries?cursor={first['next']}")["deliveries"]) == 1


def test_a_poll_request_makes_the_task_due_now_even_when_settled(api: Api) -> None:
    api.post("/tasks", 201, {"taskId": "task-1"})
    api.callback("task-1")
    assert api.get("/tasks/task-1")["nextPollAt"] is None
    due = api.post("/tasks/task-1/poll", 202)["nextPollAt"]
    assert due <= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))


def test_the_quarantine_is_listed_in_pages(api: Api) -> None:
    for number in range(3):
        api.client.post(f"/callbacks/{CALLBACK_TOKEN}", data=f"no json {number}")
    first = api.get("/quarantine?limit=2")
    rest = api.get(f"/quarantine?limit=2&cursor={first['next']}")
    bodies = [row["body"] for row in first["deliveries"] + rest["deliveries"]]
    assert bodies == ["no json 2", "no json 1", "no json 0"]
    assert rest["next"] is None


def test_stats_count_what_happened(api: Api) -> None:
    api.post("/tasks", 201, {"taskId": "one"})
    api.callback("one")
    api.callback("one")
    stats = api.get("/stats")
    assert stats["tasks"] == {"in_progress": 0, "succeeded": 1, "failed": 0, "unresolved": 0}
    assert stats["deliveries"] == {"callback": {"accepted": 1, "duplicate": 1}}
    assert (stats["recovered"], stats["lostCallbacks"]) == (0, 0)
    assert stats["poller"].keys() >= {
        "holder", "heartbeatAge", "state", "pausedUntil", "pausedSince", "trouble",
    }  # fmt: skip


def test_without_an_api_key_stats_say_that_polling_is_off(new_runtime: Callable[..., Runtime]) -> None:
    api = Api(build_app(new_runtime(UPSTREAM_API_KEY="")).test_client())
    assert api.get("/stats")["poller"]["state"] == "off"


def test_waiting_answers_when_the_task_settles(runtime: Runtime) -> None:
    app = build_app(runtime)
    api, other = Api(app.test_client()), Api(app.test_client())
    api.post("/tasks", 201, {"taskId": "task-1"})
    settling = threading.Timer(0.3, other.callback, ["task-1"])
    settling.start()
    started = time.monotonic()
    assert api.get("/tasks/task-1?wait=20")["outcome"] == "succeeded"
    assert time.monotonic() - started < 15
    settling.join()


def test_waiting_ends_when_its_time_is_over_and_has_a_bound(api: Api) -> None:
    api.post("/tasks", 201, {"taskId": "task-1"})
    assert api.get("/tasks/task-1?wait=0.1")["settled"] is False
    assert api.get("/tasks/task-1?wait=61", 422)["errors"].keys() == {"wait"}


def test_where_no_seat_is_free_a_reader_is_answered_at_once(new_runtime: Callable[..., Runtime]) -> None:
    api = Api(build_app(new_runtime(THREADS="1")).test_client())
    api.post("/tasks", 201, {"taskId": "task-1"})
    response = api.client.get("/api/tasks/task-1?wait=60", headers=BEARER)
    assert response.headers["Retry-After"] == "1"


def test_the_probes_need_no_token_and_tell_the_pollers_state(api: Api) -> None:
    assert api.client.get("/healthz").status_code == 200
    ready = api.client.get("/readyz")
    assert ready.status_code == 200
    assert json_of(ready)["poller"]["holder"] is None


def test_an_unknown_path_is_a_problem_too(api: Api) -> None:
    response = api.client.get("/nowhere")
    assert (response.status_code, response.content_type) == (404, "application/problem+json")


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/tasks?cursor=MDAwMS0wMS0wMVQwMDowMDowMCswNTowMHxh", {"cursor"}),
        ("/quarantine?cursor=99999999999999999999999", {"cursor"}),
        ("/quarantine?cursor=-1", {"cursor"}),
        ("/tasks?q=%00", {"q"}),
        ("/tasks/t?wait=nan", {"wait"}),
        ("/tasks/t?wait=inf", {"wait"}),
    ],
)
def test_odd_input_is_described_by_field_and_never_our_fault(api: Api, path: str, fields: set[str]) -> None:
    assert api.get(path, 422)["errors"].keys() == fields


@pytest.mark.parametrize(
    "raw", ['{"taskId": "t", "label": "\\ud800"}', '{"taskId": "t", "label": "\\u0000"}']
)
def test_a_body_that_cannot_be_stored_is_a_422(api: Api, raw: str) -> None:
    assert api.client.post("/api/tasks", headers=BEARER, data=raw).status_code == 422
