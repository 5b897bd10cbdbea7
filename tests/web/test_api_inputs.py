"""Wrong input of the API: each kind has its error type, is named, and changes nothing.

Most of it never reaches the store, so one store is enough; a test loops over its cases on one application.
"""

import io
import json
from itertools import product
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from receiver.app import build_app
from receiver.runtime import Runtime
from receiver.web.error_types import ErrorType
from tests.conftest import API_TOKEN, BOTH_STORES, CALLBACK_TOKEN, json_of
from tests.web.admin.page import sign_in, token_of

KINDS = {kind.uri: kind for kind in ErrorType}
CALLBACKS = f"/callbacks/{CALLBACK_TOKEN}"
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
    register(client)
    return client


def register(client: FlaskClient) -> None:
    client.post("/api/tasks", headers=BEARER, json={"taskId": "known", "label": "mine"})


def problem(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.content_type == "application/problem+json"
    fields: dict[str, Any] = json.loads(response.text)
    assert list(fields) == ["title", "status", "detail", "type", *(["errors"] if "errors" in fields else [])]
    kind = KINDS[fields["type"]]
    assert (fields["title"], fields["status"], kind.status) == (kind.title, status, status)
    assert fields["detail"].endswith(".")
    return fields


def stored(client: FlaskClient) -> list[tuple[str, str]]:
    page = json_of(client.get("/api/tasks", headers=BEARER))
    return [(task["taskId"], task["label"]) for task in page["tasks"]]


def test_the_table_names_every_call_there_is(runtime: Runtime) -> None:
    app = build_app(runtime)
    rules = {
        (method, rule.rule.replace("<task_id>", "known"))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api")
        for method in rule.methods or ()
    }
    assert {call for call in rules if call[0] not in ("HEAD", "OPTIONS")} == set(CALLS) - {CALLS[3]}


QUERIES = ["nosuch=1", "Limit=5", "task_id=known", "token=x", "limit=5&nosuch=2"]


def test_an_unknown_parameter_is_named_on_every_call_and_nothing_is_done(
    client: FlaskClient, subtests: pytest.Subtests
) -> None:
    for (method, path), query in product(CALLS, QUERIES):
        with subtests.test(method=method, path=path, query=query):
            body = {"label": "other"} if method == "PATCH" else {"taskId": "new"}
            response = client.open(f"{path}?{query}", method=method, headers=BEARER, json=body)
            assert response.status_code == 422
            if method != "HEAD":
                assert query.split("&")[-1].split("=")[0] in problem(response, 422)["errors"]
    assert stored(client) == [("known", "mine")]


WRONG_PARAMETERS = [
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
    *(
        (f"{path}?{name}={value}", name)
        for path, name in (
            ("/api/tasks", "limit"),
            ("/api/quarantine", "limit"),
            ("/api/tasks/known/deliveries", "limit"),
            ("/api/tasks/known", "wait"),
        )
        for value in (
            *("1_0", "+5", "%2B5", " 5", "%205", "5%20", "5%0A", "05", "0x5", "5,", "5e", "--5", "-", "null"),
            *(quote("٣"), quote("५"), quote("５"), quote("²"), "nan", "inf", "Infinity", "true", "9" * 5000),
        )
    ),
    *((f"/api/tasks?limit={value}", "limit") for value in ("5.0", "5e0", ".5", "1e1")),
    *((f"/api/tasks/known?wait={value}", "wait") for value in (".5", "5.", "1e3", "0.5_0", "1e400")),
    *(
        (f"/api/tasks?settled={value}", "settled")
        for value in ("on", "off", "yes", "t", "True", "FALSE", "1", "0", "true%20", "%0Atrue")
    ),
    *(
        (f"/api/tasks?changedSince={value}", "changedSince")
        for value in (
            *(
                "2020-01-01",
                "2020-01-01T00:00:00",
                "2020-01-01 00:00:00Z",
                "2020-01-01T00:00Z",
                "20200101T000000Z",
            ),
            *(
                "2020-W01-1T00:00:00Z",
                "2020-01-01T24:00:00Z",
                "2020-01-01T00:00:00,5Z",
                "2020-01-01T00:00:00.Z",
            ),
            *("2020-01-01T00:00:00%2B0500", "2020-01-01T00:00:00%2B05", "2020-01-01T00:00:00%2B05:00:30"),
            *(
                "2020-01-01T00:00:00Z%0A",
                "%202020-01-01T00:00:00Z",
                "2020-01-01T00:00:00+24:00",
                "2020-02-30T00:00:00Z",
            ),
            *(quote("２０２０-01-01T00:00:00Z"), "2020-01-01T00:00:00Z[UTC]", "2020-01-01T00:00:00UTC"),
        )
    ),
    *(
        (f"{path}?cursor={value}", "cursor")
        for path in ("/api/tasks", "/api/quarantine", "/api/tasks/known/deliveries")
        for value in (
            "",
            " 1",
            "1%0A",
            "-1",
            "+1",
            quote("٣"),
            "1_0",
            "MjAyNi0wMS0wMVQxMjowMDowMHxh",
            "9" * 19,
            "x=",
        )
    ),
    ("/api/quarantine?limit=0", "limit"),
    ("/api/quarantine?cursor=x", "cursor"),
]


def test_a_wrong_parameter_is_named(client: FlaskClient, subtests: pytest.Subtests) -> None:
    for path, name in WRONG_PARAMETERS:
        with subtests.test(path=path[:80]):
            assert problem(client.get(path, headers=BEARER), 422)["errors"].keys() == {name}


def test_numbers_are_read_as_json_writes_them(client: FlaskClient) -> None:
    for limit in ("1", "50", "200"):
        assert client.get(f"/api/tasks?limit={limit}", headers=BEARER).status_code == 200
    for wait in ("0", "-0.0", "0.01", "1e-05", "1E-2", "0.0e%2B1"):
        assert client.get(f"/api/tasks/known?wait={wait}", headers=BEARER).status_code == 200, wait


def test_only_the_api_refuses_unknown_parameters(client: FlaskClient) -> None:
    """A callback must be taken with whatever its URL has, and monitoring adds parameters of its own."""
    for query in ("?nosuch=1", "?nosuch=1&nosuch=2", "?limit=x", "?%00"):
        body = {"code": 200, "data": {"task_id": "t", "callbackType": "text"}}
        assert client.post(CALLBACKS + query, json=body).status_code == 200
        for path in (CALLBACKS, "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"):
            assert client.get(path + query).status_code == 200, path


def test_an_unknown_product_is_refused_and_the_known_ones_are_listed(
    client: FlaskClient, subtests: pytest.Subtests
) -> None:
    for name in ("lyric", "Music", "", None, 5, ["music"], {"music": 1}):
        with subtests.test(product=name):
            response = client.post("/api/tasks", headers=BEARER, json={"taskId": "new", "product": name})
            errors = problem(response, 422)["errors"]
            assert errors.keys() == {"product"}
            if isinstance(name, str):
                assert "music" in errors["product"][0]


TIMES = [
    "2020-01-01T00:00:00Z",
    "2020-01-01t00:00:00z",
    "2020-01-01T00:00:00.1Z",
    "2020-01-01T00:00:00.123456789012Z",
    "2020-01-01T05:00:00+05:00",  # as it is written, where the sign becomes a space
    "2020-01-01T05:00:00%2B05:00",
    "2019-12-31T12:00:00-12:00",
    "2020-01-01T00:00:00-00:00",
]
SETTLED = {"true": 0, "false": 1}


@BOTH_STORES
def test_times_and_settled_are_read_in_every_form_that_is_described(
    client: FlaskClient, subtests: pytest.Subtests
) -> None:
    cases = {f"changedSince={since}": 1 for since in TIMES}
    cases |= {f"settled={text}": count for text, count in SETTLED.items()}
    for query, count in cases.items():
        with subtests.test(query=query):
            page = json_of(client.get(f"/api/tasks?{query}", headers=BEARER))
            assert len(page["tasks"]) == count


BODIES = [
    (b"{oops", {}, 400, None),
    (b"taskId=x", {}, 400, None),
    (b"\xff\xfe", {}, 400, None),
    (b'{"taskId": "x"', {}, 400, None),
    (b'{"taskId": ' + b"9" * 5000 + b"}", {}, 400, None),
    (b"[" * 60_000, {}, 400, None),
    (b'{"a":' * 20_000, {}, 400, None),
    (b"null", {}, 422, {""}),
    (b"[]", {}, 422, {""}),
    (b'[{"taskId": "x"}]', {}, 422, {""}),
    (b'"x"', {}, 422, {""}),
    (b"5", {}, 422, {""}),
    (b'{"taskId": "x", "labl": "y", "state": 1}', {}, 422, {"labl", "state"}),
    (b'{"taskId": "x", "label": 5}', {}, 422, {"label"}),
    (b'{"taskId": "x", "label": {}}', {}, 422, {"label"}),
    (b'{"taskId": "x", "label": NaN}', {}, 400, None),
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


def test_a_wrong_body_is_a_clear_problem_and_changes_nothing(
    client: FlaskClient, subtests: pytest.Subtests
) -> None:
    for (body, headers, status, errors), method in product(BODIES, ("POST", "PATCH")):
        with subtests.test(method=method, body=body[:60]):
            path = "/api/tasks" if method == "POST" else "/api/tasks/known"
            response = client.open(path, method=method, headers=BEARER | headers, data=body)
            if method == "POST" or errors in (None, {""}):
                named = problem(response, status).get("errors")
                assert (named and set(named)) == errors
            else:
                problem(response, 422)
    assert stored(client) == [("known", "mine")]


NO_JSON = {
    "an open list": b"[" * 100_000,
    "an open object": b'{"a":' * 20_000,
    "a closed list": b"[" * 60_000 + b"]" * 60_000,
    "a closed object": b'{"a":' * 18_000 + b"1" + b"}" * 18_000,
    "deep beside an id": b'{"taskId": "x", "a": ' + b"[" * 60_000 + b"]" * 60_000 + b"}",
    "cut off": b'{"taskId": "x"',
    "no number": b"NaN",
    "no end": b"-Infinity",
    "endless digits": b"9" * 5000,
    "words": b"nothing of the kind",
    "no UTF-8": b'{"taskId": "\xff\xfe"}',
}


@pytest.mark.parametrize("kind", NO_JSON)
def test_one_fault_of_a_body_has_one_type_wherever_it_is_sent(client: FlaskClient, kind: str) -> None:
    calls = [("POST", CALLBACKS), *(call for call in CALLS if call[0] in ("POST", "PATCH", "DELETE"))]
    for method, path in calls:
        response = client.open(path, method=method, headers=BEARER, data=NO_JSON[kind])
        assert problem(response, 400)["type"] == "/docs#not-json", (method, path)
    assert stored(client) == [("known", "mine")]


class BrokenChunk(io.BytesIO):
    """A body as the server's parser gives it: with an error of its own."""

    def read(self, size: int | None = -1) -> bytes:
        raise RuntimeError("Invalid chunk size")


WHOLE = b'{"taskId": "new", "label": "late"}   '
CUT = (0, 1, 20, len(WHOLE.rstrip()), len(WHOLE) - 1)


def test_a_body_that_breaks_off_has_one_type_wherever_it_is_sent(
    client: FlaskClient, subtests: pytest.Subtests
) -> None:
    """Whether the server ends the stream at its end, as gunicorn does, or leaves that to the application."""
    streams: list[tuple[io.BytesIO, dict[str, Any]]] = [(BrokenChunk(), {"wsgi.input_terminated": True})]
    for length, terminated in product(CUT, (True, False)):
        environ = {"CONTENT_LENGTH": str(len(WHOLE))} | (
            {"wsgi.input_terminated": True} if terminated else {}
        )
        streams.append((io.BytesIO(WHOLE[:length]), environ))
    calls = [("POST", CALLBACKS), *(call for call in CALLS if call[0] in ("POST", "PATCH", "DELETE"))]
    for (stream, environ), (method, path) in product(streams, calls):
        with subtests.test(length=len(stream.getvalue()), environ=environ, method=method, path=path):
            stream.seek(0)
            response = client.open(
                path,
                method=method,
                headers=BEARER,
                input_stream=stream,
                content_type="application/json",
                environ_overrides=environ,
            )
            assert problem(response, 400)["type"] == "/docs#body-incomplete"
    assert stored(client) == [("known", "mine")]


@pytest.mark.parametrize("chunks", [True, False])
def test_a_form_of_the_admin_page_that_breaks_off_is_named_and_changes_nothing(
    client: FlaskClient, chunks: bool
) -> None:
    assert sign_in(client).status_code == 303
    form = f"csrf_token={token_of(client, '/admin/')}&label=only+a+part+of+it".encode()
    environ = {"wsgi.input_terminated": True} | ({} if chunks else {"CONTENT_LENGTH": str(len(form) + 5)})
    response = client.post(
        "/admin/tasks/known/label",
        input_stream=BrokenChunk() if chunks else io.BytesIO(form),
        content_type="application/x-www-form-urlencoded",
        environ_overrides=environ,
    )
    assert (response.status_code, "Form incomplete" in response.text) == (400, True)
    assert stored(client) == [("known", "mine")]


def test_options_names_the_methods_and_validates_nothing(client: FlaskClient) -> None:
    for path in ("/api/tasks", "/api/tasks/known", "/api/tasks/%00", "/api/tasks/none/poll", "/api/stats"):
        for query, body in (("", None), ("?nosuch=1&limit=x&limit=y", b"{oops"), ("?taskId=", b"[" * 60_000)):
            response = client.open(path + query, method="OPTIONS", headers=BEARER, data=body)
            assert (response.status_code, response.data) == (200, b""), (path, response.text)
            assert "OPTIONS" in response.headers["Allow"]


def test_an_unknown_task_is_named_in_plain_quotes_and_cut(client: FlaskClient) -> None:
    shown = {
        "none": "'none'",
        "it's": "'it's'",
        "%22": "'\"'",
        "a%5Cb": "'a\\b'",
        "%0A": "'\ufffd'",
        "%E2%80%AEtxt": "'\ufffdtxt'",
        "%C3%A9%F0%9F%8E%B5": "'é🎵'",
        "x" * 200: f"'{'x' * 200}'",
        "x" * 4000: f"'{'x' * 200}…'",
    }
    for task_id, quoted in shown.items():
        detail = problem(client.get(f"/api/tasks/{task_id}", headers=BEARER), 404)["detail"]
        assert detail == f"There is no task {quoted}. Register it with POST /api/tasks."


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


def test_a_field_that_is_given_twice_is_named_at_every_level_and_nothing_is_done(
    client: FlaskClient, subtests: pytest.Subtests
) -> None:
    writing = [call for call in CALLS if call[0] in ("POST", "PATCH", "DELETE")]
    for (method, path), (body, names) in product(writing, TWICE):
        with subtests.test(method=method, path=path, body=body):
            errors = problem(client.open(path, method=method, headers=BEARER, data=body), 422)["errors"]
            assert errors == {name: ["Given more than once."] for name in names}
    assert stored(client) == [("known", "mine")]


WITHOUT_BODY = [call for call in CALLS if call not in (("POST", "/api/tasks"), ("PATCH", "/api/tasks/known"))]
JUNK = [(b'{"junk": 1}', 422), (b'{"label": "x"}', 422), (b"[]", 422), (b"null", 422), (b"{oops", 400)]


def test_a_body_that_a_call_does_not_take_is_refused_and_nothing_is_done(
    client: FlaskClient, subtests: pytest.Subtests
) -> None:
    before = client.get("/api/tasks", headers=BEARER).text
    for (method, path), (body, status) in product(WITHOUT_BODY, JUNK):
        with subtests.test(method=method, path=path, body=body):
            assert client.open(path, method=method, headers=BEARER, data=body).status_code == status
    assert client.get("/api/tasks", headers=BEARER).text == before


def test_no_body_and_an_empty_object_are_fine_where_nothing_is_taken(
    client: FlaskClient, subtests: pytest.Subtests
) -> None:
    types: tuple[dict[str, str], ...] = ({}, {"Content-Type": "application/json"})
    for (method, path), body, headers in product(WITHOUT_BODY, (None, b"", b"{}", b" { } "), types):
        with subtests.test(method=method, path=path, body=body, headers=headers):
            response = client.open(path, method=method, headers=BEARER | headers, data=body)
            assert response.status_code in (200, 202, 204)
        if method == "DELETE":
            register(client)


def test_a_form_is_refused_as_what_it_is(client: FlaskClient) -> None:
    for data in ({"taskId": "x"}, {"taskId": "x", "file": (io.BytesIO(b"x"), "x.json")}):
        assert (
            "application/json" in problem(client.post("/api/tasks", headers=BEARER, data=data), 415)["detail"]
        )


def test_json_is_taken_with_any_json_type_and_with_none(client: FlaskClient) -> None:
    types = (None, "application/json", "application/json; charset=utf-8", "application/problem+json")
    for number, media_type in enumerate(types):
        headers = BEARER | ({"Content-Type": media_type} if media_type else {})
        response = client.post("/api/tasks", headers=headers, data=b'{"taskId": "new-%d"}' % number)
        assert response.status_code == 201, media_type


ALLOWED = {
    ("PUT", "/api/tasks"): {"GET", "HEAD", "POST", "OPTIONS"},
    ("DELETE", "/api/tasks"): {"GET", "HEAD", "POST", "OPTIONS"},
    ("POST", "/api/tasks/known"): {"GET", "HEAD", "PATCH", "DELETE", "OPTIONS"},
    ("PUT", "/api/tasks/known"): {"GET", "HEAD", "PATCH", "DELETE", "OPTIONS"},
    ("GET", "/api/tasks/known/poll"): {"POST", "OPTIONS"},
    ("POST", "/api/tasks/known/deliveries"): {"GET", "HEAD", "OPTIONS"},
    ("DELETE", "/api/quarantine"): {"GET", "HEAD", "OPTIONS"},
    ("POST", "/api/stats"): {"GET", "HEAD", "OPTIONS"},
}


def test_another_method_is_a_405_that_names_those_allowed(client: FlaskClient) -> None:
    for (method, path), allowed in ALLOWED.items():
        response = client.open(path, method=method, headers=BEARER)
        assert all(name in problem(response, 405)["detail"] for name in allowed)
        assert set(response.headers["Allow"].replace(" ", "").split(",")) == allowed, path


UNKNOWN = [
    "/api",
    "/api/",
    "/api/nosuch",
    "/api/tasks/",
    "/api/tasks/a/b",
    "/api/v9/tasks",
    "/api/tasks/known/",
]


def test_an_unknown_path_is_a_404_and_only_for_those_who_may(client: FlaskClient) -> None:
    for path, method in product(UNKNOWN, ("GET", "POST", "DELETE")):
        assert problem(client.open(path, method=method, headers=BEARER), 404)["type"] == "/docs#not-found"
        problem(client.open(path, method=method), 401)


def test_without_a_token_no_path_and_no_method_can_be_distinguished_from_another(client: FlaskClient) -> None:
    for path in ("/api/nosuch", "/api/tasks", "/api/tasks/none", "/api/tasks/known"):
        for method in ("GET", "PUT", "DELETE", "OPTIONS"):
            problem(client.open(f"{path}?nosuch=1", method=method), 401)
    assert client.get("/apiary").status_code == 404


@BOTH_STORES
def test_a_task_id_that_nobody_could_have_registered_is_a_404(client: FlaskClient) -> None:
    ids = ("%00", "a%00b", "%ED%A0%80", "%FF", "none", "x" * 500, "'", "%25", "%E2%80%AE")
    calls = (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/deliveries"), ("POST", "/poll"))
    for task_id, (method, tail) in product(ids, calls):
        body = {"label": "x"} if method == "PATCH" else None
        response = client.open(f"/api/tasks/{task_id}{tail}", method=method, headers=BEARER, json=body)
        assert problem(response, 404)["type"] == "/docs#unknown-task"
