"""NUL, half a surrogate pair and numbers without end, wherever a request can hold them: never our fault."""

import re
from collections.abc import Iterator
from itertools import product
from urllib.parse import quote, unquote_to_bytes, urlencode

import pytest
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from receiver.app import build_app
from receiver.runtime import Runtime
from receiver.web.endpoints import ENDPOINTS
from tests.conftest import BOTH_STORES
from tests.web.admin.page import BEARER, CALLBACKS, sign_in, tell, token_of

FORM = "application/x-www-form-urlencoded"
ODD = {
    "NUL": "%00",
    "NUL within": "a%00b",
    "half a pair": "%ED%A0%80",
    "the other half": "a%ED%BF%BFb",
    "no UTF-8": "%FF%FE",
    "endless digits": "9" * 5000,
    "digits of another script": quote("٣" * 20),
    "a large number": "9" * 19,
    "minus": "-1",
    "lines": "a%0D%0Ab",
    "dots": "..%2F..%2F..",
    "a long text": quote("🎵" * 600),
}
FIRST = next(iter(ODD))
CHOSEN = ("cause", "seen", "only", "before")
TAKEN = {
    **{endpoint.name: tuple(endpoint.query.fields) for endpoint in ENDPOINTS},
    "admin.list_tasks": ("outcome", "status", "flag", "q", "cursor"),
    "admin.list_quarantine": CHOSEN,
    "admin.preview_reprocessing": CHOSEN,
    "admin.read_again": CHOSEN,
    "admin.acknowledge_quarantine": CHOSEN,
    "admin.list_actions": ("kind", "before"),
    "admin.show_activity": ("days",),
    "admin.sign_in": ("next",),
    "admin.static": ("v",),
}
"""What each takes in its query."""


@pytest.fixture
def client(runtime: Runtime) -> FlaskClient:
    client = build_app(runtime).test_client()
    tell(client)
    assert sign_in(client).status_code == 303
    return client


def addresses(client: FlaskClient, text: str) -> Iterator[tuple[Rule, str, str]]:
    """Each route with each of its methods; `text` stands for what varies in it. Signing out would end the test."""
    for rule in client.application.url_map.iter_rules():
        path = re.sub(r"<[^>]+>", lambda _: text, rule.rule)
        methods = (rule.methods or {"GET", "POST"}) - {"HEAD", "OPTIONS"}
        yield from ((rule, method, path) for method in sorted(methods) if rule.endpoint != "admin.sign_out")


def send(client: FlaskClient, method: str, path: str, form: dict[str, str] | None = None) -> int:
    """With all that it needs to get past the guards."""
    api = path.startswith("/api")
    return client.open(
        path,
        method=method,
        buffered=True,
        headers=BEARER if api else {},
        data=form if method == "POST" and not api else None,
    ).status_code


@pytest.mark.slow
@BOTH_STORES
def test_no_path_with_an_odd_text_is_our_fault(client: FlaskClient) -> None:
    form = {"csrf_token": token_of(client, "/admin/"), "label": "x"}
    wrong = []
    for kind, text in ODD.items():
        for rule, method, path in addresses(client, text):
            if kind != FIRST and not rule.arguments and rule.endpoint != "callbacks.receive":
                continue  # the same path again
            status = send(client, method, path, form)
            refuses = bool(rule.arguments) and kind.startswith("NUL")
            if status >= 500 or (refuses and status not in (400, 404, 405, 422)):
                wrong.append((kind, method, rule.rule, status))
    assert wrong == []


@pytest.mark.slow
@BOTH_STORES
def test_no_query_with_an_odd_text_is_our_fault(client: FlaskClient) -> None:
    form = {"csrf_token": token_of(client, "/admin/")}
    answers = [
        (kind, method, path, name, send(client, method, f"{path}?{name}={text}", form))
        for rule, method, path in addresses(client, "1")
        for name in (TAKEN.get(rule.endpoint, ()) if method in ("GET", "POST") else ())
        for kind, text in ODD.items()
    ]
    assert len(answers) > 10 * len(ODD)
    assert [answer for answer in answers if answer[-1] >= 500] == []


@BOTH_STORES
def test_a_callback_is_taken_whatever_its_query_and_the_last_part_of_its_address_hold(
    client: FlaskClient,
) -> None:
    for kind, text in ODD.items():
        body = {"code": 200, "data": {"callbackType": "text", "task_id": f"of {kind}".replace(" ", "-")}}
        for tail in (f"?orderId={text}", f"?{text}", f"?token={text}"):
            assert client.post(CALLBACKS + tail, json=body).status_code == 200, (kind, tail)
        assert client.post(f"{CALLBACKS}/{text}", json=body).status_code in (200, 404), kind


@BOTH_STORES
def test_no_form_with_an_odd_text_is_our_fault(client: FlaskClient) -> None:
    token = token_of(client, "/admin/")
    paths = [
        path
        for _, method, path in addresses(client, "task-1")
        if method == "POST" and path.startswith("/admin")
    ]
    for kind, path in product(ODD, paths):
        text = unquote_to_bytes(ODD[kind])
        form = {"csrf_token": token, "label": text, "password": text}
        answer = client.post(path, data=urlencode(form), content_type=FORM)
        assert answer.status_code < 500, (kind, path)
    for kind, encoded in ODD.items():  # one check stands before all forms
        form = {"csrf_token": unquote_to_bytes(encoded)}
        assert client.post(paths[0], data=urlencode(form), content_type=FORM).status_code == 400, kind


def test_no_odd_text_before_signing_in_is_our_fault(client: FlaskClient) -> None:
    """The guard stands before every page, so what a page does with its path is not reached."""
    stranger = client.application.test_client()
    for text in ODD.values():
        for rule, method, path in addresses(client, text):
            if rule.arguments or rule.endpoint == "callbacks.receive":
                assert stranger.open(path, method=method, buffered=True).status_code < 500, (method, path)
        form = urlencode({"csrf_token": token_of(stranger), "password": unquote_to_bytes(text)})
        response = stranger.post("/admin/sign-in", data=form, content_type=FORM)
        assert response.status_code in (403, 429), text


# Each is of printable ASCII or of what HTTP lets pass.
HEADERS = [
    ("Host", "["), ("Host", "[::1"), ("Host", "x:y"), ("Host", "a b"), ("Host", "x" * 5000), ("Host", "\xff"), ("Host", ""),
    ("Referer", "http://["), ("Referer", "\xff"), ("Referer", "//"), ("Origin", "http://["), ("Cookie", "receiver_admin=\xff"),
    ("Cookie", "receiver_admin=a.b.c; ;=;receiver_admin"), ("Authorization", "Bearer \xff"), ("Authorization", "Basic \xff"),
    ("Authorization", "Bearer"), ("X-Request-Id", "\xff" * 100), ("Range", "bytes=9-1,x"), ("If-Modified-Since", "\xff"),
    ("If-None-Match", '"\xff'), ("Content-Type", "a/b; charset=nosuch"), ("Content-Type", "multipart/form-data"),
    ("Content-Type", "multipart/form-data; boundary=\xff"), ("Content-Type", ";"), ("Content-Encoding", "\xff, gzip"),
    ("X-Forwarded-For", "\xff"), ("X-Forwarded-Host", "["), ("X-Forwarded-Proto", "\xff"), ("Accept", "\xff;q=x"),
    ("X-HTTP-Method-Override", "PUT"), ("X-CSRFToken", "\xff"), ("X-Webhook-Timestamp", "\xff" * 50),
]  # fmt: skip


REQUESTS = (
    ("GET", "/metrics"),
    ("GET", "/healthz"),
    ("GET", "/admin"),
    ("GET", "/admin/tasks/task-1"),
    ("GET", "/admin/static/admin.css"),
    ("POST", "/admin/tasks/task-1/label"),
    ("GET", "/api/tasks/task-1"),
    ("POST", "/api/tasks"),
    ("POST", CALLBACKS),
)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_odd_header_is_our_fault(client: FlaskClient, scheme: str) -> None:
    form = urlencode({"csrf_token": token_of(client, "/admin/"), "label": "x"})
    for (name, value), (method, path) in product(HEADERS, REQUESTS):
        response = client.open(
            path,
            method=method,
            buffered=True,
            base_url=f"{scheme}://localhost",
            content_type=FORM if method == "POST" and name != "Content-Type" else None,
            headers=(BEARER if path.startswith("/api") else {}) | {name: value},
            data=form if method == "POST" else None,
        )
        assert response.status_code < 500, (name, value[:40], method, path)
