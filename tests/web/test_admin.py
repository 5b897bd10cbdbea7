"""The admin page through the front door: true, and safe."""

import json
import re
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from receiver.app import build_app
from receiver.runtime import Runtime, utc_now
from receiver.store import tasks
from receiver.web.admin.presenting import span, web_address
from receiver.web.admin.tries import ALLOWED, PERIOD_S, REMEMBERED, Tries
from tests.conftest import API_TOKEN, CALLBACK_TOKEN

CALLBACKS = f"/callbacks/{CALLBACK_TOKEN}"
BEARER = {"Authorization": f"Bearer {API_TOKEN}"}
PASSWORD = "correct horse"
HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


@pytest.fixture
def client(runtime: Runtime) -> FlaskClient:
    return build_app(runtime).test_client()


@pytest.fixture
def admin(client: FlaskClient) -> FlaskClient:
    assert sign_in(client).status_code == 303
    return client


def token_of(client: FlaskClient, path: str = "/admin/sign-in") -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(path).text)
    assert found, "no form with a token"
    return found[1]


def sign_in(client: FlaskClient, password: str = PASSWORD, to: str = "", **options: Any) -> TestResponse:
    form = {"csrf_token": token_of(client), "password": password}
    return client.post(f"/admin/sign-in{to}", data=form, **options)


def tell(client: FlaskClient, task_id: str = "task-1", stage: str = "complete", **row: Any) -> None:
    rows = [{"id": "a", "audio_url": "https://example.org/a.mp3", "title": "Tides"} | row]
    body = {"code": 200, "data": {"callbackType": stage, "task_id": task_id, "data": rows}}
    assert client.post(CALLBACKS, json=body).status_code == 200


def known(client: FlaskClient, task_id: str = "task-1") -> dict[str, Any]:
    answer = client.get(f"/api/tasks/{task_id}", headers=BEARER)
    return dict(answer.json)  # type: ignore[arg-type]


def make_overdue(runtime: Runtime, task_id: str = "task-1") -> None:
    with runtime.database.write() as connection:
        connection.exec_driver_sql(
            "UPDATE task SET next_poll_at = '2020-01-01 00:00:00.000000' WHERE task_id = ?", (task_id,)
        )


class TestSigningIn:
    def test_the_right_password_opens_the_page(self, client: FlaskClient) -> None:
        answer = sign_in(client)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/admin/")
        assert client.get("/admin/").status_code == 200

    def test_a_wrong_password_does_not(self, client: FlaskClient) -> None:
        answer = sign_in(client, "wrong horse")
        assert answer.status_code == 403
        assert "not the password" in answer.text
        assert client.get("/admin/").status_code == 303

    def test_after_five_failures_even_the_right_password_has_to_wait(self, client: FlaskClient) -> None:
        for _ in range(5):
            assert sign_in(client, "wrong horse").status_code == 403
        answer = sign_in(client)
        assert answer.status_code == 429
        assert 0 < int(answer.headers["Retry-After"]) <= 300
        elsewhere = {"REMOTE_ADDR": "192.0.2.7"}
        assert sign_in(client, environ_overrides=elsewhere).status_code == 303

    @pytest.mark.parametrize(
        "path", ["/admin/", "/admin/tasks/task-1", "/admin/quarantine", "/admin/nowhere"]
    )
    def test_without_signing_in_every_page_leads_there_and_nothing_leaks(
        self, client: FlaskClient, path: str
    ) -> None:
        tell(client)
        answer = client.get(path)
        assert answer.status_code == 303
        assert answer.headers["Location"].startswith("/admin/sign-in")
        for secret in ("Tides", CALLBACK_TOKEN):
            assert secret not in answer.text + client.get("/admin/sign-in").text

    def test_without_signing_in_nothing_can_be_done(self, client: FlaskClient) -> None:
        tell(client)
        before = known(client)
        answer = client.post("/admin/tasks/task-1/poll", data={"csrf_token": token_of(client)})
        assert answer.status_code == 303
        assert known(client) == before

    def test_it_goes_on_where_one_wanted_to_go(self, client: FlaskClient) -> None:
        location = client.get("/admin/?q=a%26b&outcome=failed").headers["Location"]
        answer = sign_in(client, to=location.removeprefix("/admin/sign-in"))
        assert answer.headers["Location"] == "/admin/?q=a%26b&outcome=failed"

    @pytest.mark.parametrize(
        "target",
        [
            "https://evil.example/",
            "//evil.example",
            "/\\evil.example",
            "/admin",
            "/adminevil",
            "javascript:x",
        ],
    )
    def test_it_goes_nowhere_else(self, client: FlaskClient, target: str) -> None:
        assert sign_in(client, to=f"?next={target}").headers["Location"] == "/admin/"

    def test_the_cookie_is_kept_from_scripts_and_other_sites(self, client: FlaskClient) -> None:
        plain = sign_in(client).headers["Set-Cookie"]
        assert all(part in plain for part in ("HttpOnly", "SameSite=Lax", "Path=/admin", "Expires="))
        assert "Secure" not in plain

    def test_over_tls_the_cookie_is_secure(self, client: FlaskClient) -> None:
        options = {"base_url": "https://localhost"}
        found = re.search(
            r'csrf_token" value="([^"]+)"',
            client.get("/admin/sign-in", **options).text,  # type: ignore[arg-type]
        )
        assert found
        form = {"csrf_token": found[1], "password": PASSWORD}
        headers = {"Referer": "https://localhost/admin/sign-in"}
        answer = client.post("/admin/sign-in", data=form, headers=headers, base_url="https://localhost")
        assert answer.status_code == 303
        assert "Secure" in answer.headers["Set-Cookie"]

    def test_signing_out_ends_it(self, admin: FlaskClient) -> None:
        assert (
            admin.post("/admin/sign-out", data={"csrf_token": token_of(admin, "/admin/")}).status_code == 303
        )
        assert admin.get("/admin/").status_code == 303

    def test_a_session_dies_when_the_password_changes(
        self, admin: FlaskClient, new_runtime: Callable[..., Runtime]
    ) -> None:
        cookie = admin.get_cookie("receiver_admin", path="/admin")
        assert cookie
        for password, status in ((PASSWORD, 200), ("another horse", 303)):
            later = build_app(new_runtime(ADMIN_PASSWORD=password)).test_client()
            later.set_cookie("receiver_admin", cookie.value, path="/admin")
            assert later.get("/admin/").status_code == status

    @pytest.mark.parametrize(("age_s", "status"), [(11.9 * 3600, 200), (12 * 3600 + 1, 303), (-60, 303)])
    def test_a_session_ends_after_twelve_hours(self, admin: FlaskClient, age_s: float, status: int) -> None:
        with admin.session_transaction(path="/admin/") as session:
            session["signed_in_at"] = int(time.time() - age_s)
        assert admin.get("/admin/").status_code == status


class TestTries:
    def test_they_are_free_again_after_a_while(self) -> None:
        tries = Tries()
        assert [tries.begin("192.0.2.1", now=0.0) for _ in range(ALLOWED)] == [0] * ALLOWED
        assert tries.begin("192.0.2.1", now=1.0) == PERIOD_S - 1
        assert tries.begin("192.0.2.1", now=PERIOD_S) == 0

    def test_another_address_of_the_same_ipv6_network_is_the_same_somebody(self) -> None:
        tries = Tries()
        for number in range(ALLOWED):
            tries.begin(f"2001:db8::{number}", now=0.0)
        assert tries.begin("2001:db8::ffff", now=0.0)
        assert not tries.begin("2001:db8:1::1", now=0.0)

    def test_success_forgives_and_memory_is_bounded(self) -> None:
        tries = Tries()
        for _ in range(ALLOWED):
            tries.begin("192.0.2.1", now=0.0)
        tries.forgive("192.0.2.1")
        assert tries.begin("192.0.2.1", now=0.0) == 0
        for number in range(2 * REMEMBERED):
            tries.begin(f"address {number}", now=0.0)
        assert len(tries._failed_at) == REMEMBERED


class TestSafety:
    def test_a_form_without_its_token_is_refused(self, admin: FlaskClient) -> None:
        tell(admin)
        before = known(admin)
        for path in ("/admin/tasks/task-1/poll", "/admin/sign-out", "/admin/sign-in"):
            answer = admin.post(path, data={"password": PASSWORD})
            assert answer.status_code == 400
            assert answer.content_type.startswith("text/html")
            assert "sign in again" in answer.text
        assert known(admin) == before
        assert admin.get("/admin/").status_code == 200

    def test_callbacks_and_the_api_need_no_token_of_a_form(self, client: FlaskClient) -> None:
        tell(client)
        assert client.post("/api/tasks", json={"taskId": "task-2"}, headers=BEARER).status_code == 201
        assert client.post("/api/tasks/task-1/poll", headers=BEARER).status_code == 202

    def test_every_answer_carries_the_headers(self, client: FlaskClient) -> None:
        paths = ["/admin", "/admin/", "/admin/sign-in", "/admin/nowhere", "/admin/tasks/none"]
        before = [client.get(path) for path in paths]
        sign_in(client)
        for answer in [*before, *(client.get(path) for path in paths)]:
            assert answer.headers["Content-Security-Policy"].startswith(
                "default-src 'none'; style-src 'self';"
            )
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "same-origin"
        assert "Content-Security-Policy" not in client.get("/healthz").headers

    def test_no_page_has_inline_styles_or_scripts(self, admin: FlaskClient) -> None:
        tell(admin)
        for path in ("/admin/", "/admin/tasks/task-1", "/admin/quarantine"):
            assert not re.search(r"<script|<style|\sstyle=|\son\w+=", admin.get(path).text)

    def test_what_the_upstream_says_is_escaped_everywhere(self, admin: FlaskClient) -> None:
        tell(admin, title=HOSTILE, prompt=HOSTILE, tags=HOSTILE)
        admin.post("/api/tasks", json={"taskId": "task-1", "label": HOSTILE}, headers=BEARER)
        admin.post(CALLBACKS, data=HOSTILE)
        for path in ("/admin/", "/admin/tasks/task-1", "/admin/quarantine", f"/admin/?q={HOSTILE}"):
            text = admin.get(path).text
            assert "&lt;script&gt;" in text
            assert "<script" not in text
            assert "<img src=x" not in text

    @pytest.mark.parametrize(
        "address",
        ["javascript:alert(1)", "data:text/html,x", " javascript:x", "java\nscript:x", "//x.example"],
    )
    def test_an_address_that_is_not_plain_http_is_never_linked(
        self, admin: FlaskClient, address: str
    ) -> None:
        tell(admin, audio_url=address, image_url=address, stream_audio_url=address)
        text = admin.get("/admin/tasks/task-1").text
        assert not re.search(r'(?:href|src)="(?!/admin|https://example|#)', text)
        assert web_address(address) is None

    def test_a_plain_address_is_linked_safely(self, admin: FlaskClient) -> None:
        tell(admin, image_url="https://example.org/a.jpg")
        text = admin.get("/admin/tasks/task-1").text
        assert '<img src="https://example.org/a.jpg"' in text
        assert '<audio controls preload="none" src="https://example.org/a.mp3"' in text
        assert 'href="https://example.org/a.mp3" target="_blank" rel="noopener noreferrer"' in text

    def test_half_a_surrogate_pair_does_not_break_a_page(self, admin: FlaskClient) -> None:
        admin.post(CALLBACKS, data='{"code": 200, "data": {"title": "\\ud800"}}')
        assert admin.get("/admin/quarantine").status_code == 200

    def test_the_callback_token_stands_on_the_home_page_alone(self, admin: FlaskClient) -> None:
        tell(admin)
        assert f"http://localhost{CALLBACKS}" in admin.get("/admin/").text
        for path in ("/admin/tasks/task-1", "/admin/quarantine", "/admin/nowhere"):
            assert CALLBACK_TOKEN not in admin.get(path).text


class TestTasks:
    def test_with_nothing_yet_it_tells_how_to_try(self, admin: FlaskClient) -> None:
        text = admin.get("/admin/").text
        assert "Nothing yet" in text
        assert f"curl 'http://localhost{CALLBACKS}'" in text

    def test_a_task_is_listed_with_what_is_known(self, admin: FlaskClient) -> None:
        admin.post("/api/tasks", json={"taskId": "task-1", "label": "for the film"}, headers=BEARER)
        tell(admin)
        text = admin.get("/admin/").text
        for shown in ("task-1", "Tides", "for the film", "succeeded", "callback", "1/1", " UTC"):
            assert shown in text

    def test_filters_combine_and_live_in_the_address(self, admin: FlaskClient) -> None:
        tell(admin, "task-1", title="Tides")
        tell(admin, "task-2", title="Dunes")
        tell(admin, "task-3", "text", title="Dunes")
        found = admin.get("/admin/?q=dunes&status=TEXT_SUCCESS&outcome=in_progress").text
        assert [key in found for key in ("task-1", "task-2", "task-3")] == [False, False, True]
        assert 'value="dunes"' in found
        none = admin.get("/admin/?q=dunes&outcome=failed").text
        assert "Nothing matches" in none
        assert "Clear filters" in none

    def test_a_strange_filter_or_cursor_is_no_fault_of_ours(self, admin: FlaskClient) -> None:
        assert admin.get("/admin/?outcome=odd&status=%00&q=%25_%5C").status_code == 200
        for path in (
            "/admin/?cursor=odd",
            "/admin/quarantine?cursor=odd",
            f"/admin/quarantine?cursor={'9' * 40}",
        ):
            answer = admin.get(path)
            assert answer.status_code == 422
            assert answer.content_type.startswith("text/html")

    def test_the_next_page_goes_on_with_the_same_filters(self, admin: FlaskClient) -> None:
        for number in range(53):
            admin.post("/api/tasks", json={"taskId": f"task-{number:02}"}, headers=BEARER)
        admin.post("/api/tasks", json={"taskId": "other"}, headers=BEARER)
        first = admin.get("/admin/?q=task").text
        following = re.search(r'rel="next" href="([^"]+)"', first)
        assert following
        second = admin.get(following[1].replace("&amp;", "&")).text
        ids = [set(re.findall(r"/admin/tasks/([\w-]+)", text)) for text in (first, second)]
        assert [len(page) for page in ids] == [50, 3]
        assert not ids[0] & ids[1]

    def test_what_needs_attention_comes_first(self, admin: FlaskClient, runtime: Runtime) -> None:
        tell(admin, "task-1", "text")
        tell(admin, "task-2", "text")
        assert "Needs attention" not in admin.get("/admin/").text
        make_overdue(runtime, "task-1")
        text = admin.get("/admin/").text
        attention = text[text.index("Needs attention") : text.index("All, newest first")]
        assert "task-1" in attention
        assert "overdue" in attention
        assert "task-2" not in attention

    def test_one_task_shows_everything_that_was_told(self, admin: FlaskClient) -> None:
        tell(admin, stage="text", prompt="a song of the sea")
        tell(admin, prompt="a song of the sea")
        admin.post(
            CALLBACKS, json={"code": 200, "data": {"callbackType": "text", "task_id": "task-1", "data": 7}}
        )
        text = admin.get("/admin/tasks/task-1").text
        for shown in ("TEXT_SUCCESS", "SUCCESS", "accepted", "quarantined", "data.data", "orphan", "claimed"):
            assert shown in text
        assert "a song of the sea" in text
        assert "&#34;callbackType&#34;: &#34;text&#34;" in text

    def test_an_unknown_task_is_a_page_not_a_problem_document(self, admin: FlaskClient) -> None:
        for answer in (admin.get("/admin/tasks/none"), admin.get("/admin/none")):
            assert answer.status_code == 404
            assert answer.content_type.startswith("text/html")
            assert "Nobody polls" in answer.text  # the health line is there too
        form = {"csrf_token": token_of(admin, "/admin/")}
        assert admin.post("/admin/tasks/none/poll", data=form).status_code == 404

    def test_poll_now_makes_the_task_due(self, admin: FlaskClient, runtime: Runtime) -> None:
        tell(admin, stage="text")
        form = {"csrf_token": token_of(admin, "/admin/tasks/task-1")}
        answer = admin.post("/admin/tasks/task-1/poll", data=form)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/admin/tasks/task-1")
        with runtime.database.read() as connection:
            task = tasks.load(connection, "task-1")
        assert task
        assert task.poll_requested
        assert task.next_poll_at
        assert abs(task.next_poll_at - utc_now()) < timedelta(seconds=20)
        assert "will be asked" in admin.get("/admin/tasks/task-1").text
        assert "will be asked" not in admin.get("/admin/tasks/task-1").text


class TestQuarantine:
    def test_it_shows_what_could_not_be_read_and_why(self, admin: FlaskClient) -> None:
        admin.post(CALLBACKS, data=b"\xff not json")
        admin.post(CALLBACKS, json={"code": 200, "data": {"taskId": "task-9", "response": []}})
        text = admin.get("/admin/quarantine").text
        assert "Not JSON" in text
        assert "\ufffd not json" in text
        assert "10 bytes" in text

    def test_it_has_pages(self, admin: FlaskClient) -> None:
        for number in range(52):
            admin.post(CALLBACKS, data=f"broken {number:02}.")
        first = admin.get("/admin/quarantine").text
        following = re.search(r'rel="next" href="([^"]+)"', first)
        assert following
        second = admin.get(following[1]).text
        bodies = [re.findall(r"broken (\d\d)\.", text) for text in (first, second)]
        assert bodies == [[f"{number:02}" for number in range(51, 1, -1)], ["01", "00"]]

    def test_empty_it_says_so(self, admin: FlaskClient) -> None:
        assert "Everything that came could be read" in admin.get("/admin/quarantine").text


class TestHealth:
    def healthy(self, runtime: Runtime, age_s: float = 0) -> None:
        with runtime.database.write() as connection:
            now = (utc_now() - timedelta(seconds=age_s)).replace(tzinfo=None)
            connection.exec_driver_sql("DELETE FROM lease")
            connection.exec_driver_sql(
                "INSERT INTO lease VALUES ('poller', 'host:1:abc', 1, ?, ?)", (str(now), str(now))
            )

    def test_when_nothing_is_wrong_it_says_so(self, admin: FlaskClient, runtime: Runtime) -> None:
        self.healthy(runtime)
        text = admin.get("/admin/").text
        assert "All is well" in text
        assert "<title>Tasks" in text
        assert "ok.svg" in text
        assert "host:1:abc" in text

    def test_nobody_polling_is_wrong(self, admin: FlaskClient) -> None:
        text = admin.get("/admin/").text
        assert "Nobody polls" in text
        assert "<title>⚠ Tasks" in text
        assert "problem.svg" in text

    def test_a_poller_without_a_heartbeat_is_wrong(self, admin: FlaskClient, runtime: Runtime) -> None:
        self.healthy(runtime, age_s=14)
        assert "All is well" in admin.get("/admin/").text
        self.healthy(runtime, age_s=200)
        assert "no sign of life for 3 min" in admin.get("/admin/").text

    def test_no_api_key_is_told_on_every_page(self, new_runtime: Callable[..., Runtime]) -> None:
        client = build_app(new_runtime(UPSTREAM_API_KEY="")).test_client()
        sign_in(client)
        tell(client)
        for path in ("/admin/", "/admin/tasks/task-1", "/admin/quarantine"):
            assert "callbacks only: nothing is polled or confirmed" in client.get(path).text
        assert "Poll now" not in client.get("/admin/tasks/task-1").text

    @pytest.mark.parametrize(
        ("trouble", "shown"),
        [
            ("refused", "refuses our API key"),
            ("limited", "in trouble: limited; paused until 2999-01-01 00:00:00 UTC, in"),
        ],
    )
    def test_trouble_with_the_upstream_is_told(
        self, admin: FlaskClient, runtime: Runtime, trouble: str, shown: str
    ) -> None:
        with runtime.database.write() as connection:
            connection.exec_driver_sql("DELETE FROM upstream")
            until = "2999-01-01 00:00:00.000000"
            row = (1, 3, trouble, None, until, None)
            names = "id, failures, trouble, detail, paused_until, failed_at"
            connection.exec_driver_sql(f"INSERT INTO upstream ({names}) VALUES (?, ?, ?, ?, ?, ?)", row)
        assert shown in admin.get("/admin/").text

    def test_counts_name_what_is_wrong(self, admin: FlaskClient, runtime: Runtime) -> None:
        tell(admin, "task-1", "text")
        make_overdue(runtime, "task-1")
        admin.post(CALLBACKS, data="broken")
        for code in (500, 200):
            admin.post(
                CALLBACKS, json={"code": code, "data": {"callbackType": "complete", "task_id": "task-2"}}
            )
        text = admin.get("/admin/").text
        for shown in ("1 task overdue", "1 delivery in quarantine", "1 task in conflict", "Last callback"):
            assert shown in text

    def test_counting_stops_where_it_says_nothing_more(self, admin: FlaskClient, runtime: Runtime) -> None:
        with runtime.database.write() as connection:
            row = (
                None,
                "callback",
                "2026-01-01 00:00:00.000000",
                "quarantined",
                "",
                json.dumps({}),
                b"",
                b"",
            )
            names = "task_id, source, received_at, result, status, errors, digest, body"
            for _ in range(1001):
                connection.exec_driver_sql(
                    f"INSERT INTO delivery ({names}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row
                )
        assert "999+ deliveries in quarantine" in admin.get("/admin/").text

    def test_a_database_that_cannot_be_read_is_told_on_a_page(
        self, admin: FlaskClient, runtime: Runtime
    ) -> None:
        path = runtime.database.url.database
        assert path
        runtime.database.engine.dispose()
        for name in (path, f"{path}-wal", f"{path}-shm"):
            Path(name).unlink(missing_ok=True)
        Path(path).mkdir()
        answer = admin.get("/admin/")
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
        assert answer.content_type.startswith("text/html")
        assert "The database cannot be used" in answer.text


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59, "59 s"), (61, "1 min"), (3600, "1 h"), (200_000, "2 days")]
)
def test_a_span_is_told_in_its_largest_unit(seconds: float, words: str) -> None:
    assert span(seconds) == words
