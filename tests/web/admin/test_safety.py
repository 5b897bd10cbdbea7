"""What anybody may send is shown and never run; every form and answer is protected."""

import json
import re

import pytest
from flask.testing import FlaskClient

from receiver.clock import utc_now
from receiver.intake import poll_delivery
from receiver.runtime import Runtime
from receiver.web.admin.media import may_load, media_origins
from receiver.web.admin.presenters import web_address
from tests.conftest import CALLBACK_TOKEN
from tests.web.admin.page import BEARER, CALLBACKS, HOSTILE, PASSWORD, known, sign_in, tell

# What a browser asks for by itself, other than the page's own files.
LOADED = re.compile(
    r'<(?:img|audio|video|source|iframe|embed|object|input|script|link)\b[^>]*?(?:src|href|poster|data|srcset)="(?!/admin/)([^"]+)"'
)


def test_a_form_without_its_token_is_refused(admin: FlaskClient) -> None:
    tell(admin)
    before = known(admin)
    for path in ("/admin/tasks/task-1/poll", "/admin/sign-out", "/admin/sign-in"):
        answer = admin.post(path, data={"password": PASSWORD})
        assert answer.status_code == 400
        assert answer.content_type.startswith("text/html")
        assert "sign in again" in answer.text
    assert known(admin) == before
    assert admin.get("/admin/").status_code == 200


def test_callbacks_and_the_api_need_no_token_of_a_form(client: FlaskClient) -> None:
    tell(client)
    assert client.post("/api/tasks", json={"taskId": "task-2"}, headers=BEARER).status_code == 201
    assert client.post("/api/tasks/task-1/poll", headers=BEARER).status_code == 202


def test_every_answer_carries_the_headers(client: FlaskClient) -> None:
    paths = ["/admin", "/admin/", "/admin/sign-in", "/admin/nowhere", "/admin/tasks/none"]
    before = [client.get(path) for path in paths]
    sign_in(client)
    for answer in [*before, *(client.get(path) for path in paths)]:
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith(
            "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self';"
        )
        assert "unsafe" not in policy
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
    assert "Content-Security-Policy" not in client.get("/healthz").headers


def test_no_page_has_inline_styles_or_scripts(admin: FlaskClient) -> None:
    tell(admin)
    for path in ("/admin/", "/admin/tasks/task-1", "/admin/quarantine"):
        assert not re.search(
            r"<script>|<script(?! src=\"/admin/static/)|<style|\sstyle=|\son\w+=", admin.get(path).text
        )


def test_what_the_upstream_says_is_escaped_everywhere(admin: FlaskClient) -> None:
    tell(admin, title=HOSTILE, prompt=HOSTILE, tags=HOSTILE)
    admin.post("/api/tasks", json={"taskId": "task-1", "label": HOSTILE}, headers=BEARER)
    admin.post(CALLBACKS, data=HOSTILE)
    for path in ("/admin/", "/admin/tasks/task-1", "/admin/quarantine", f"/admin/?q={HOSTILE}"):
        text = admin.get(path).text
        assert "&lt;script&gt;" in text
        assert "<script>" not in text
        assert "<img src=x" not in text


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "data:text/html,x", " javascript:x", "java\nscript:x", "//x.example"],
)
def test_an_address_that_is_not_plain_http_is_never_linked(admin: FlaskClient, address: str) -> None:
    tell(admin, audio_url=address, image_url=address, stream_audio_url=address)
    text = admin.get("/admin/tasks/task-1").text
    assert not re.search(r'(?:href|src)="(?!/admin|https://example|#)', text)
    assert web_address(address) is None


ADDRESSES = {"image_url": "https://example.org/a.jpg", "stream_audio_url": "https://example.org/live"}


def confirm(runtime: Runtime, task_id: str = "task-1", **row: str) -> None:
    """Record-info tells of the same track."""
    data = {"taskId": task_id, "status": "SUCCESS", "response": {"sunoData": [{"id": "a"} | row]}}
    body = json.dumps({"code": 200, "data": data}).encode()
    runtime.intake.submit(poll_delivery(body, task_id, now=utc_now(), secrets=()))


def test_an_unconfirmed_url_is_a_link_and_nothing_that_a_browser_loads_by_itself(
    admin: FlaskClient,
) -> None:
    tell(admin, **ADDRESSES)
    text = admin.get("/admin/tasks/task-1").text
    assert not LOADED.findall(text)
    assert 'href="https://example.org/a.jpg" target="_blank" rel="noopener noreferrer"' in text
    assert 'href="https://example.org/a.mp3" target="_blank" rel="noopener noreferrer"' in text
    assert "Load cover" in text
    assert "Load player" in text


def test_a_confirmed_url_is_loaded_without_a_click(admin: FlaskClient, runtime: Runtime) -> None:
    urls = {"imageUrl": "https://example.org/a.jpg", "audioUrl": "https://example.org/a.mp3"}
    confirm(runtime, **urls)
    text = admin.get("/admin/tasks/task-1").text
    assert LOADED.findall(text) == ["https://example.org/a.jpg", "https://example.org/a.mp3"]
    assert '<audio controls preload="none"' in text
    assert "Load cover" not in text


def test_a_url_is_loaded_only_if_record_info_confirmed_it(admin: FlaskClient, runtime: Runtime) -> None:
    tell(admin, image_url="https://evil.example/a.jpg", source_image_url="https://evil.example/b.jpg")
    confirm(runtime, audioUrl="https://example.org/a.mp3")
    assert LOADED.findall(admin.get("/admin/tasks/task-1").text) == ["https://example.org/a.mp3"]


@pytest.mark.parametrize("address", ["http://example.org/a", "HTTP://example.org/a", "http://127.0.0.1:1/x"])
def test_an_address_without_tls_is_linked_and_never_loaded(
    admin: FlaskClient, runtime: Runtime, address: str
) -> None:
    confirm(runtime, imageUrl=address, audioUrl=address)
    text = admin.get("/admin/tasks/task-1").text
    assert not LOADED.findall(text)
    assert "data-media" not in text
    assert f'href="{address}"' in text


def test_the_policy_allows_nothing_without_tls_and_no_other_host_but_on_a_tasks_page(
    admin: FlaskClient,
) -> None:
    tell(admin)
    for path in ("/admin/tasks/task-1", "/admin/", "/admin/quarantine", "/admin/actions"):
        answer = admin.get(path)
        parts = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
        media = "'self' https: http://127.0.0.1:9" if path == "/admin/tasks/task-1" else "'self'"
        assert (parts["img-src"], parts["media-src"]) == (media, media)
        assert answer.headers["X-DNS-Prefetch-Control"] == "off"


@pytest.mark.parametrize(
    ("upstream", "address", "loaded"),
    [
        ("https://api.example.org", "https://cdn.example.org/a.mp3", True),
        ("https://api.example.org", "http://api.example.org/a.mp3", False),
        ("http://api.example.org", "http://api.example.org/a.mp3", False),
        ("http://10.0.0.1:9000", "http://10.0.0.1:9000/a.mp3", False),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000/a.mp3", True),
        ("http://127.0.0.1:9000", "http://127.0.0.1:90001/a.mp3", False),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000.evil.example/a.mp3", False),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9001/a.mp3", False),
        ("http://localhost:9000", "https://cdn.example.org/a.mp3", True),
    ],
)
def test_without_tls_only_a_simulator_on_this_machine_may_be_loaded_from(
    upstream: str, address: str, loaded: bool
) -> None:
    assert may_load(address, media_origins(upstream)) is loaded


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize(
    "path",
    ["/admin", "/admin?x=//a", "/admin//actions", "/admin//", "/api//tasks", "/admin/", "/admin/sign-in/"],
)
@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "evil.example/x", "localhost"])
def test_no_redirect_leads_to_the_host_that_a_request_names(
    client: FlaskClient, host: str, path: str, method: str
) -> None:
    answer = getattr(client, method)(path, headers={"Host": host})
    location = answer.headers.get("Location", "/")
    assert location.startswith("/")
    assert not location.startswith("//")
    assert "evil" not in location


def test_half_a_surrogate_pair_does_not_break_a_page(admin: FlaskClient) -> None:
    admin.post(CALLBACKS, data='{"code": 200, "data": {"title": "\\ud800"}}')
    assert admin.get("/admin/quarantine").status_code == 200


def test_the_callback_token_stands_on_the_home_page_alone(admin: FlaskClient) -> None:
    tell(admin)
    assert f"http://localhost{CALLBACKS}" in admin.get("/admin/").text
    for path in ("/admin/tasks/task-1", "/admin/quarantine", "/admin/nowhere"):
        assert CALLBACK_TOKEN not in admin.get(path).text
