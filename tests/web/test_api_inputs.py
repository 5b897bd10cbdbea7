"""What the API is given wrongly: each kind is told apart, named, and never our fault."""

import io
import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from receiver.app import build_app
from receiver.runtime import Runtime
from receiver.web.problems import ErrorType
from tests.conftest import API_TOKEN, BOTH_STORES

pytestmark = BOTH_STORES

KINDS = {kind.uri: kind for kind in ErrorType}
BEARER = {"Authorization": f"Bearer {API_TOKEN}"}
CALLS = [
    ("POST", "/api/tasks"),
    ("GET", "/api/tasks"),
    ("GET", "/api/tasks/known"),
    ("HEAD", "/api/tasks/known"),
    ("PATCH", "/api/tasks/known"),
    ("DELETE", "/api/tasks/known"),
    ("GET", "/api/tasks/known/deliveries"),
    ("POST", "/api/tasks/known/poll"),
    ("GET", "/api/quarantine"),
    ("GET", "/api/stats"),
]


@pytest.fixture
def client(runtime: Runtime) -> FlaskClient:
    client = build_app(runtime).test_client()
    client.post("/api/tasks", headers=BEARER, json={"taskId": "known", "label": "mine"})
    return client


def problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    told: dict[str, Any] = json.loads(answer.text)
    assert list(told) == ["title", "status", "detail", "type", *(["errors"] if "errors" in told else [])]
    kind = KINDS[told["type"]]
    assert (told["title"], told["status"], kind.status) == (kind.title, status, status)
    assert told["detail"].endswith(".")
    return told


def test_the_table_names_every_call_there_is(runtime: Runtime) -> None:
    app = build_app(runtime)
    rules = {
        (method, rule.rule.replace("<task_id>", "known"))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api")
        for method in rule.methods or ()
    }
    assert {call for call in rules if call[0] not in ("HEAD", "OPTIONS")} == set(CALLS) - {CALLS[3]}


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize("query", ["nosuch=1", "Limit=5", "task_id=known", "token=x", "limit=5&nosuch=2"])
def test_an_unknown_parameter_is_named_on_every_call_and_nothing_is_done(
    client: FlaskClient, method: str, path: str, query: str
) -> None:
    body = {"label": "other"} if method == "PATCH" else {"taskId": "new"}
    answer = client.open(f"{path}?{query}", method=method, headers=BEARER, json=body)
    assert answer.status_code == 422
    if method != "HEAD":
        assert query.split("&")[-1].split("=")[0] in problem(answer, 422)["errors"]
    known = client.get("/api/tasks", headers=BEARER).json
    assert [(one["taskId"], one["label"]) for one in known["tasks"]] == [("known", "mine")]  # type: ignore[index]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/tasks?limit=0", "limit"),
        ("/api/tasks?limit=201", "limit"),
        ("/api/tasks?limit=-1", "limit"),
        ("/api/tasks?limit=", "limit"),
        ("/api/tasks?limit=99999999999999999999999", "limit"),
        ("/api/tasks?limit=1&limit=2", "limit"),
        ("/api/tasks?outcome=failed&outcome=unresolved", "outcome"),
        ("/api/tasks?outcome=", "outcome"),
        ("/api/tasks?outcome=SUCCEEDED", "outcome"),
        ("/api/tasks?product=lyric", "product"),
        ("/api/tasks?product=", "product"),
        ("/api/tasks?settled=maybe", "settled"),
        ("/api/tasks?settled=", "settled"),
        ("/api/tasks?settled=2", "settled"),
        ("/api/tasks?label=%00", "label"),
        (f"/api/tasks?label={'x' * 201}", "label"),
        (f"/api/tasks?q={'x' * 501}", "q"),
        ("/api/tasks?status=%00", "status"),
        ("/api/tasks?changedSince=", "changedSince"),
        ("/api/tasks?changedSince=yesterday", "changedSince"),
        ("/api/tasks?changedSince=1767268800", "changedSince"),
        ("/api/tasks?changedSince=2026-13-01T00:00:00Z", "changedSince"),
        ("/api/tasks?changedSince=0001-01-01T00:00:00%2B05:00", "changedSince"),
        ("/api/tasks?changedSince=9999-12-31T23:59:59-05:00", "changedSince"),
        (
            "/api/tasks?changedSince=2026-01-01T00:00:00Z&cursor=MjAyNi0wMS0wMVQxMjowMDowMCswMDowMHxh",
            "cursor",
        ),
        ("/api/tasks?cursor=~MjAyNi0wMS0wMVQxMjowMDowMCswMDowMHxh", "cursor"),
        ("/api/tasks?cursor=MjAyNi0wMS0wMVQxMjowMDowMCswMDowMHwA", "cursor"),
        ("/api/tasks?cursor=", "cursor"),
        ("/api/tasks?cursor=%F0%9F%92%A9", "cursor"),
        ("/api/tasks/known?wait=-1", "wait"),
        ("/api/tasks/known?wait=60.1", "wait"),
        ("/api/tasks/known?wait=soon", "wait"),
        ("/api/tasks/known?wait=", "wait"),
        ("/api/quarantine?limit=0", "limit"),
        ("/api/quarantine?cursor=x", "cursor"),
    ],
)
def test_a_wrong_parameter_is_told_by_its_name(client: FlaskClient, path: str, name: str) -> None:
    assert problem(client.get(path, headers=BEARER), 422)["errors"].keys() == {name}


@pytest.mark.parametrize("product", ["lyric", "Music", "", None, 5, ["music"], {"music": 1}])
def test_an_unknown_product_is_refused_and_the_known_ones_are_listed(
    client: FlaskClient, product: Any
) -> None:
    answer = client.post("/api/tasks", headers=BEARER, json={"taskId": "new", "product": product})
    told = problem(answer, 422)["errors"]
    assert told.keys() == {"product"}
    if isinstance(product, str):
        assert "music" in told["product"][0]


@pytest.mark.parametrize(
    "since",
    [
        "2020-01-01T00:00:00Z",
        "2020-01-01T00:00:00.123456Z",
        "2020-01-01T05:00:00+05:00",  # as it is written, where the sign becomes a space
        "2020-01-01T05:00:00%2B05:00",
        "2020-01-01T00:00:00",
        "2020-01-01",
        "2020-01-01 00:00:00",
    ],
)
def test_times_are_read_in_every_usual_form(client: FlaskClient, since: str) -> None:
    found = client.get(f"/api/tasks?changedSince={since}", headers=BEARER).json
    assert [one["taskId"] for one in found["tasks"]] == ["known"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("settled", "found"), [("true", 0), ("false", 1), ("True", 0), ("0", 1), ("1", 0), ("FALSE", 1)]
)
def test_settled_is_read_in_every_usual_form(client: FlaskClient, settled: str, found: int) -> None:
    told = client.get(f"/api/tasks?settled={settled}", headers=BEARER).json
    assert len(told["tasks"]) == found  # type: ignore[index]


BODIES = [
    (b"{oops", {}, 400, None),
    (b"taskId=x", {}, 400, None),
    (b"\xff\xfe", {}, 400, None),
    (b'{"taskId": "x"', {}, 400, None),
    (b'{"taskId": ' + b"9" * 5000 + b"}", {}, 400, None),
    (b"[" * 60_000, {}, 422, {""}),
    (b'{"a":' * 20_000, {}, 422, {""}),
    (b"null", {}, 422, {""}),
    (b"[]", {}, 422, {""}),
    (b'[{"taskId": "x"}]', {}, 422, {""}),
    (b'"x"', {}, 422, {""}),
    (b"5", {}, 422, {""}),
    (b'{"taskId": "x", "labl": "y", "state": 1}', {}, 422, {"labl", "state"}),
    (b'{"taskId": "x", "label": 5}', {}, 422, {"label"}),
    (b'{"taskId": "x", "label": {}}', {}, 422, {"label"}),
    (b'{"taskId": "x", "label": NaN}', {}, 422, {"label"}),
    (b'{"taskId": "x", "\\ud800": 1}', {}, 422, {"\ud800"}),
    (b'{"taskId": true}', {}, 422, {"taskId"}),
    (b'{"taskId": null}', {}, 422, {"taskId"}),
    (b'{"task_id": "x"}', {}, 422, {"taskId", "task_id"}),
    (b'{"taskId": "' + b"x" * 201 + b'"}', {}, 422, {"taskId"}),
    (b'{"taskId": "x", "label": "' + b"y" * 201 + b'"}', {}, 422, {"label"}),
    (b'{"taskId": "x", "label": "' + b"y" * 200_000 + b'"}', {}, 413, None),
    (b'{"taskId": "x"}', {"Content-Type": "text/plain"}, 415, None),
    (b'{"taskId": "x"}', {"Content-Type": "application/x-www-form-urlencoded"}, 415, None),
    (b"<taskId>x</taskId>", {"Content-Type": "application/xml"}, 415, None),
]


@pytest.mark.parametrize(("body", "headers", "status", "errors"), BODIES)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_wrong_body_is_a_clear_problem_and_changes_nothing(
    client: FlaskClient,
    method: str,
    body: bytes,
    headers: dict[str, str],
    status: int,
    errors: set[str] | None,
) -> None:
    path = "/api/tasks" if method == "POST" else "/api/tasks/known"
    answer = client.open(path, method=method, headers=BEARER | headers, data=body)
    if method == "POST" or errors in (None, {""}):
        told = problem(answer, status).get("errors")
        assert (told and set(told)) == errors
    else:
        problem(answer, 422)
    found = client.get("/api/tasks", headers=BEARER).json
    assert [(one["taskId"], one["label"]) for one in found["tasks"]] == [("known", "mine")]  # type: ignore[index]


TWICE = [
    (b'{"taskId": "a", "taskId": "b"}', {"taskId"}),
    (b'{"taskId": "a", "taskId": "a"}', {"taskId"}),
    (b'{"taskId": "a", "\\u0074askId": "b"}', {"taskId"}),
    (b'{"taskId": "a", "label": "x", "label": "y"}', {"label"}),
    (b'{"taskId": "a", "label": null, "label": "y"}', {"label"}),
    (b'{"taskId": "a", "label": "x", "taskId": "b", "label": "y"}', {"taskId", "label"}),
    (b'{"taskId": "a", "other": {"deep": [{"x": 1, "x": 2}]}}', {"x"}),
    (b'[{"taskId": "a", "taskId": "b"}]', {"taskId"}),
    (b'{"": 1, "": 2}', {""}),
    (b'{"\\ud800": 1, "\\ud800": 2}', {"\ud800"}),
]


@pytest.mark.parametrize(("body", "names"), TWICE)
@pytest.mark.parametrize(
    ("method", "path"), [call for call in CALLS if call[0] in ("POST", "PATCH", "DELETE")]
)
def test_a_field_that_is_given_twice_is_named_at_every_level_and_nothing_is_done(
    client: FlaskClient, method: str, path: str, body: bytes, names: set[str]
) -> None:
    answer = problem(client.open(path, method=method, headers=BEARER, data=body), 422)
    assert answer["errors"] == {name: ["Given more than once."] for name in names}
    found = client.get("/api/tasks", headers=BEARER).json
    assert [(one["taskId"], one["label"]) for one in found["tasks"]] == [("known", "mine")]  # type: ignore[index]


WITHOUT_BODY = [call for call in CALLS if call not in (("POST", "/api/tasks"), ("PATCH", "/api/tasks/known"))]


@pytest.mark.parametrize(("method", "path"), WITHOUT_BODY)
@pytest.mark.parametrize(
    ("body", "status"),
    [(b'{"junk": 1}', 422), (b'{"label": "x"}', 422), (b"[]", 422), (b"null", 422), (b"{oops", 400)],
)
def test_a_body_that_a_call_does_not_take_is_refused_and_nothing_is_done(
    client: FlaskClient, method: str, path: str, body: bytes, status: int
) -> None:
    before = client.get("/api/tasks", headers=BEARER).text
    assert client.open(path, method=method, headers=BEARER, data=body).status_code == status
    assert client.get("/api/tasks", headers=BEARER).text == before


@pytest.mark.parametrize(("method", "path"), WITHOUT_BODY)
@pytest.mark.parametrize("body", [None, b"", b"{}", b" { } "])
@pytest.mark.parametrize("kind", [None, "application/json"])
def test_no_body_and_an_empty_object_are_fine_where_nothing_is_taken(
    client: FlaskClient, method: str, path: str, body: bytes | None, kind: str | None
) -> None:
    headers = BEARER | ({"Content-Type": kind} if kind else {})
    answer = client.open(path, method=method, headers=headers, data=body)
    assert answer.status_code in (200, 202, 204)


def test_a_form_is_refused_as_what_it_is(client: FlaskClient) -> None:
    for data in ({"taskId": "x"}, {"taskId": "x", "file": (io.BytesIO(b"x"), "x.json")}):
        told = problem(client.post("/api/tasks", headers=BEARER, data=data), 415)
        assert "application/json" in told["detail"]


@pytest.mark.parametrize(
    "kind", [None, "application/json", "application/json; charset=utf-8", "application/problem+json"]
)
def test_json_is_taken_with_any_json_type_and_with_none(client: FlaskClient, kind: str | None) -> None:
    headers = BEARER | ({"Content-Type": kind} if kind else {})
    answer = client.post("/api/tasks", headers=headers, data=b'\xef\xbb\xbf{"taskId": "new"}'[3:])
    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/tasks", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("DELETE", "/api/tasks", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("POST", "/api/tasks/known", {"GET", "HEAD", "PATCH", "DELETE", "OPTIONS"}),
        ("PUT", "/api/tasks/known", {"GET", "HEAD", "PATCH", "DELETE", "OPTIONS"}),
        ("GET", "/api/tasks/known/poll", {"POST", "OPTIONS"}),
        ("POST", "/api/tasks/known/deliveries", {"GET", "HEAD", "OPTIONS"}),
        ("DELETE", "/api/quarantine", {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/api/stats", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_another_method_is_a_405_that_names_those_allowed(
    client: FlaskClient, method: str, path: str, allowed: set[str]
) -> None:
    answer = client.open(path, method=method, headers=BEARER)
    problem(answer, 405)
    assert set(answer.headers["Allow"].replace(" ", "").split(",")) == allowed


UNKNOWN = [
    "/api",
    "/api/",
    "/api/nosuch",
    "/api/tasks/",
    "/api/tasks/a/b",
    "/api/v9/tasks",
    "/api/tasks/known/",
]


@pytest.mark.parametrize("path", UNKNOWN)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_path_is_a_404_and_only_for_those_who_may(
    client: FlaskClient, method: str, path: str
) -> None:
    problem(client.open(path, method=method, headers=BEARER), 404)
    problem(client.open(path, method=method), 401)


def test_without_a_token_no_path_and_no_method_can_be_told_from_another(client: FlaskClient) -> None:
    for path in ("/api/nosuch", "/api/tasks", "/api/tasks/none", "/api/tasks/known"):
        for method in ("GET", "PUT", "DELETE", "OPTIONS"):
            problem(client.open(f"{path}?nosuch=1", method=method), 401)
    assert client.get("/apiary").status_code == 404


@pytest.mark.parametrize(
    "task_id", ["%00", "a%00b", "%ED%A0%80", "%FF", "none", "x" * 500, "'", "%25", "%E2%80%AE"]
)
def test_a_task_id_that_nobody_could_have_registered_is_a_404(client: FlaskClient, task_id: str) -> None:
    path = f"/api/tasks/{task_id}"
    for method, tail in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "/deliveries"),
        ("POST", "/poll"),
    ):
        body = {"label": "x"} if method == "PATCH" else None
        problem(client.open(path + tail, method=method, headers=BEARER, json=body), 404)
