"""`/openapi.json` and `/docs`: they describe what the application really does, and nothing else."""

import re
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from receiver.app import build_app
from receiver.core.results import DeliveryResult
from receiver.core.settlement import Outcome
from receiver.core.validation import parse_task_id
from receiver.runtime import Runtime
from receiver.web.api_output import (
    CallbackSchema,
    DeliveryListSchema,
    ProblemSchema,
    ReadinessSchema,
    StatsSchema,
    TaskListSchema,
    TaskSchema,
)
from receiver.web.docs import example_of
from receiver.web.endpoints import ENDPOINTS
from receiver.web.error_types import COMMON_ERRORS, OTHER_ERRORS, ErrorType
from receiver.web.openapi import document
from tests.conftest import API_TOKEN, CALLBACK_TOKEN, json_of

BEARER = {"Authorization": f"Bearer {API_TOKEN}"}
CALLBACKS = f"/callbacks/{CALLBACK_TOKEN}"


@pytest.fixture
def app(runtime: Runtime) -> Flask:
    return build_app(runtime)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def callback(task_id: str, **row: Any) -> dict[str, Any]:
    rows = [{"id": "a", "audio_url": "https://example.org/a.mp3", "title": "Tides", "duration": 12.5} | row]
    return {"code": 200, "data": {"callbackType": "complete", "task_id": task_id, "data": rows}}


def test_the_document_is_valid_openapi() -> None:
    from openapi_spec_validator import OpenAPIV31SpecValidator  # only the worker that runs this needs it

    assert document()["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(document()).validate()


def test_the_document_names_every_address_and_method(app: Flask) -> None:
    served = {
        (method, rule.rule.replace("<task_id>", "{taskId}").replace("<path:address>", "{token}"))
        for rule in app.url_map.iter_rules()
        if not rule.rule.startswith("/admin") and rule.rule != "/callbacks"
        for method in (rule.methods or {"GET", "POST"}) - {"HEAD", "OPTIONS"}
    }
    described = {
        (method.upper(), path)
        for path, item in document()["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert described == served
    views = app.view_functions.keys()
    assert {endpoint.name for endpoint in ENDPOINTS} <= views


def test_the_document_is_open_cached_and_holds_no_secret(client: FlaskClient) -> None:
    response = client.get("/openapi.json")
    assert response.json == document()
    assert "public" in response.headers["Cache-Control"]
    again = client.get("/openapi.json", headers={"If-None-Match": response.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    for text in (response.text, client.get("/docs").text):
        assert API_TOKEN not in text and CALLBACK_TOKEN not in text


def test_the_page_explains_every_endpoint_parameter_object_and_error(client: FlaskClient) -> None:
    response = client.get("/docs")
    html = response.text
    assert response.content_type == "text/html; charset=utf-8"
    anchors = re.findall(r' id="([^"]+)"', html)
    assert len(anchors) == len(set(anchors))
    needed = {endpoint.id for endpoint in ENDPOINTS} | document()["components"]["schemas"].keys()
    assert needed | {kind.slug for kind in ErrorType} <= set(anchors)
    assert set(re.findall(r'href="#([^"]+)"', html)) <= set(anchors)
    for endpoint in ENDPOINTS:
        section = html.split(f'<section id="{endpoint.id}"')[1].split("</section>")[0]
        for name in endpoint.query.fields:
            assert f"<code>{name}</code> in the query" in section
        for kind in endpoint.errors:
            assert f'href="#{kind.slug}"' in section


def test_the_page_runs_nothing_and_loads_nothing(client: FlaskClient) -> None:
    response = client.get("/docs")
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert not re.search(r"<script|<link|<img|\sstyle=|\son\w+=|src=|url\(", response.text)


def test_each_error_type_is_one_problem_of_the_document() -> None:
    assert len({kind.slug for kind in ErrorType}) == len(ErrorType)
    allowed = document()["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]
    assert allowed == [kind.uri for kind in ErrorType]
    for kind in ErrorType:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.slug) and kind.title and kind.meaning.endswith(".")


def test_what_is_served_is_what_the_schemas_say(client: FlaskClient) -> None:
    """Every field that a serializer writes is in its schema, in the same order, and with its type."""
    responses = {
        "created": (TaskSchema, client.post("/api/tasks", headers=BEARER, json={"taskId": "one"})),
        "accepted": (CallbackSchema, client.post(CALLBACKS, json=callback("one"))),
        "quarantined": (CallbackSchema, client.post(CALLBACKS, json=callback("two", duration="long"))),
        "unknown product": (CallbackSchema, client.post(CALLBACKS, json={"taskId": "three", "midi": {}})),
        "settled": (TaskSchema, client.get("/api/tasks/one", headers=BEARER)),
        "tasks": (TaskListSchema, client.get("/api/tasks?limit=2", headers=BEARER)),
        "deliveries": (DeliveryListSchema, client.get("/api/tasks/one/deliveries", headers=BEARER)),
        "quarantine": (DeliveryListSchema, client.get("/api/quarantine", headers=BEARER)),
        "stats": (StatsSchema, client.get("/api/stats", headers=BEARER)),
        "readiness": (ReadinessSchema, client.get("/readyz")),
        "problem": (ProblemSchema, client.get("/api/tasks?x=1", headers=BEARER)),
    }
    for name, (schema, response) in responses.items():
        assert schema().validate(json_of(response)) == {}, name
        served, described = list(json_of(response)), list(schema().fields)
        assert served == [key for key in described if key in served], name


def test_examples_keep_the_order_of_their_fields(client: FlaskClient) -> None:
    shown = client.get("/docs").text.split('<section id="readTask"')[1].split("</section>")[0]
    names = re.findall(r"^  &#34;(\w+)&#34;:", shown, flags=re.MULTILINE)
    assert names == list(TaskSchema().fields)


def test_the_example_of_a_callback_is_understood(client: FlaskClient) -> None:
    content = document()["paths"]["/callbacks/{token}"]["post"]["requestBody"]["content"]
    response = client.post(CALLBACKS, json=example_of(content["application/json"]["schema"]))
    assert json_of(response)["result"] == "accepted"


def test_each_example_is_allowed_by_its_schema() -> None:
    for schema in (
        TaskSchema,
        TaskListSchema,
        DeliveryListSchema,
        StatsSchema,
        CallbackSchema,
        ProblemSchema,
    ):
        shown = document()["components"]["schemas"][schema.__name__.removesuffix("Schema")]
        assert schema().validate(example_of(shown)) == {}


# --- What schemathesis makes of the document


HURRIED = {
    "seed": 1,
    "headers": BEARER,
    "parameters": {"path.taskId": "known", "path.token": CALLBACK_TOKEN},
    "generation": {"max-examples": 5, "deterministic": True, "database": "none"},
    "phases": {"stateful": {"enabled": False}},
    # A valid `cursor` is one that a page gave; and a callback that names no task is refused.
    # `ignored_auth` cannot send within the process; test_api.py has it.
    "checks": {"positive_data_acceptance": {"enabled": False}, "ignored_auth": {"enabled": False}},
}


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
def test_every_response_is_as_described_and_invalid_data_is_refused(app: Flask, client: FlaskClient) -> None:
    """Not through schemathesis' plugin for pytest: each worker would load it, and collect all of its cases."""
    from schemathesis import engine, openapi
    from schemathesis.config import SchemathesisConfig
    from schemathesis.engine import events

    client.post("/api/tasks", headers=BEARER, json={"taskId": "known"})
    client.post(CALLBACKS, json=callback("known"))
    client.post(CALLBACKS, data=b"not JSON")
    described = openapi.from_wsgi("/openapi.json", app, config=SchemathesisConfig.from_dict(HURRIED))
    wrong, calls = [], 0
    for event in engine.from_schema(described).execute():
        if isinstance(event, events.ScenarioFinished):
            calls += len(event.recorder.interactions)
            for checks in event.recorder.checks.values():
                failures = [check.failure_info for check in checks if check.failure_info]
                wrong += [
                    f"{event.recorder.label}: {failure.failure} {failure.code_sample}" for failure in failures
                ]
        if isinstance(event, events.NonFatalError | events.FatalError):
            wrong.append(str(event))
    assert wrong == []
    assert calls > 100


def test_a_key_that_is_added_later_breaks_no_client_and_one_too_many_is_refused() -> None:
    schemas = document()["components"]["schemas"]
    closed = {name for name, schema in schemas.items() if schema.get("additionalProperties") is False}
    assert closed == {"NewTask", "Label"}


def test_the_pattern_of_a_task_id_is_the_rule_of_the_code() -> None:
    document_rule = document()["components"]["schemas"]["NewTask"]["properties"]["taskId"]["pattern"]
    [in_path] = [
        parameter["schema"] for parameter in document()["paths"]["/api/tasks/{taskId}"]["parameters"]
    ]
    ids = (
        *("a", "9f3c-task", "...", "..a", ".a.", "é🎵", "5", "-5", "x" * 200, "a'b", '"', "%", "?", "#"),
        *(
            "",
            ".",
            "..",
            "x" * 201,
            "a b",
            "a/b",
            "a\\b",
            "a\tb",
            "a\nb",
            "a\0b",
            "\x7f",
            "\u00a0a\u00a0b",
            "/",
        ),
        *(" a ", "\ta\n", " . ", " .. ", " ", " " * 5 + "x" * 200 + " ", " " + "x" * 201),
    )
    for task_id in ids:
        parsed = parse_task_id(task_id)
        assert bool(re.search(document_rule, task_id)) == (parsed is not None), task_id
        in_rule = re.search(in_path["pattern"], task_id) and len(task_id) <= in_path["maxLength"]
        assert bool(in_rule) == (parsed is not None and parsed == task_id), task_id


def test_numbers_times_and_truth_are_described_as_they_are_read() -> None:
    operation = document()["paths"]["/api/tasks"]["get"]
    described = {parameter["name"]: parameter["schema"] for parameter in operation["parameters"]}
    assert described["limit"] == {"type": "integer", "default": 50, "minimum": 1, "maximum": 200}
    assert described["settled"] == {"type": "boolean"}
    assert described["changedSince"]["format"] == "date-time"
    assert described["outcome"]["enum"] == [*Outcome]
    [wait] = document()["paths"]["/api/tasks/{taskId}"]["get"]["parameters"]
    assert (wait["schema"]["type"], wait["schema"]["minimum"], wait["schema"]["maximum"]) == ("number", 0, 60)


def test_every_result_is_described() -> None:
    schemas = document()["components"]["schemas"]
    assert schemas["Delivery"]["properties"]["result"]["enum"] == [*DeliveryResult]
    results = schemas["Callback"]["properties"]["result"]["enum"]
    assert set(results) == set(DeliveryResult) - {DeliveryResult.UNKNOWN}
    documented = (Path(__file__).resolve().parent.parent / "docs" / "api.md").read_text(encoding="utf-8")
    for result in results:
        assert f"| 200 | `{result}` |" in documented


def test_every_operation_describes_what_any_request_may_get(client: FlaskClient) -> None:
    other = document()["components"]["responses"]["OtherError"]["content"]["application/problem+json"]
    assert list(other["examples"]) == [kind.slug for kind in OTHER_ERRORS]
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            examples = operation["responses"]["400"]["content"]["application/problem+json"]["examples"]
            assert "bad-request" in examples, (method, path)
            assert operation["responses"]["default"] == {"$ref": "#/components/responses/OtherError"}
    named = {kind for endpoint in ENDPOINTS for kind in endpoint.errors} | {*OTHER_ERRORS, *COMMON_ERRORS}
    assert named == set(ErrorType), "each type is one of the document"
    section = client.get("/docs").text.split('id="errors"')[1]
    assert all(f'href="#{kind.slug}"' in section for kind in OTHER_ERRORS)
