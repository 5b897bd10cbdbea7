"""What anybody may send is shown and never run; every form and answer is protected."""

import re

import pytest
from flask.testing import FlaskClient

from receiver.web.admin.rows import web_address
from tests.conftest import CALLBACK_TOKEN
from tests.web.admin.page import BEARER, CALLBACKS, HOSTILE, PASSWORD, known, sign_in, tell


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


def test_a_plain_address_is_linked_safely(admin: FlaskClient) -> None:
    tell(admin, image_url="https://example.org/a.jpg")
    text = admin.get("/admin/tasks/task-1").text
    assert '<img src="https://example.org/a.jpg"' in text
    assert '<audio controls preload="none" src="https://example.org/a.mp3"' in text
    assert 'href="https://example.org/a.mp3" target="_blank" rel="noopener noreferrer"' in text


def test_half_a_surrogate_pair_does_not_break_a_page(admin: FlaskClient) -> None:
    admin.post(CALLBACKS, data='{"code": 200, "data": {"title": "\\ud800"}}')
    assert admin.get("/admin/quarantine").status_code == 200


def test_the_callback_token_stands_on_the_home_page_alone(admin: FlaskClient) -> None:
    tell(admin)
    assert f"http://localhost{CALLBACKS}" in admin.get("/admin/").text
    for path in ("/admin/tasks/task-1", "/admin/quarantine", "/admin/nowhere"):
        assert CALLBACK_TOKEN not in admin.get(path).text
