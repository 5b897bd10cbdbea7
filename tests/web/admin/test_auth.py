"""Signing in and out, and what stands before every page."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from receiver.app import build_app
from receiver.clock import utc_now
from receiver.core.login_throttle import ALL_LOCKED_AFTER, record_failure, record_global_failure
from receiver.runtime import Runtime
from receiver.store.login_attempts import EVERYBODY, load_attempts, save_attempts
from receiver.store.schema import admin_session
from receiver.store.schema import sign_in as sign_in_table
from receiver.web.admin.auth import network_of
from tests.conftest import BOTH_STORES, CALLBACK_TOKEN
from tests.web.admin.page import PASSWORD, known, sign_in, tell, token_of


def test_the_right_password_opens_the_page(client: FlaskClient) -> None:
    answer = sign_in(client)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/admin/")
    assert client.get("/admin/").status_code == 200


def test_a_wrong_password_does_not(client: FlaskClient) -> None:
    answer = sign_in(client, "wrong horse")
    assert answer.status_code == 403
    assert "Wrong password" in answer.text
    assert client.get("/admin/").status_code == 303


def test_after_some_failures_even_the_right_password_has_to_wait(client: FlaskClient) -> None:
    for _ in range(4):
        assert sign_in(client, "wrong horse").status_code == 403
    answer = sign_in(client)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 2
    assert "Too many wrong passwords" in answer.text
    elsewhere = {"REMOTE_ADDR": "192.0.2.7"}
    assert sign_in(client, environ_overrides=elsewhere).status_code == 303


def test_tries_are_counted_over_all_processes(
    client: FlaskClient, new_runtime: Callable[..., Runtime]
) -> None:
    other = build_app(new_runtime()).test_client()
    for _ in range(2):
        assert sign_in(client, "wrong horse").status_code == 403
        assert sign_in(other, "wrong horse").status_code == 403
    assert sign_in(client).status_code == 429
    assert sign_in(other).status_code == 429


KNOWN, STRANGER = {"REMOTE_ADDR": "192.0.2.7"}, {"REMOTE_ADDR": "203.0.113.9"}


@pytest.fixture
def guessed_at(client: FlaskClient, runtime: Runtime) -> FlaskClient:
    """Somebody has signed in and out, and since then many wrong passwords came from 34 networks."""
    assert sign_in(client, environ_overrides=KNOWN).status_code == 303
    client.delete_cookie("receiver_admin", path="/admin")
    networks = [f"198.51.100.{number}" for number in range(34)]
    with runtime.database.write() as connection:
        now, attempts = utc_now(), load_attempts(connection, [*networks, EVERYBODY])
        for number in range(ALL_LOCKED_AFTER - 1):
            network = networks[number % 34]
            attempts = {
                **attempts,
                network: record_failure(attempts[network], now=now),
                EVERYBODY: record_global_failure(attempts[EVERYBODY], now=now),
            }
        save_attempts(connection, attempts)
    assert sign_in(client, "wrong horse", environ_overrides={"REMOTE_ADDR": networks[-1]}).status_code == 403
    return client


def pass_time(runtime: Runtime, network: str, seconds: float) -> None:
    """Let the time pass for this network, as it is remembered."""
    with runtime.database.write() as connection:
        then = utc_now() - timedelta(seconds=seconds)
        connection.execute(
            update(sign_in_table).values(failed_at=then).where(sign_in_table.c.network == network)
        )


def test_many_failures_from_everywhere_make_strangers_wait_but_not_who_is_known(
    guessed_at: FlaskClient,
) -> None:
    answer = sign_in(guessed_at, environ_overrides=STRANGER)
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "20"
    assert sign_in(guessed_at, environ_overrides=KNOWN).status_code == 303


@BOTH_STORES
def test_in_a_lockout_the_right_password_of_a_stranger_works_after_the_short_wait(
    guessed_at: FlaskClient, runtime: Runtime
) -> None:
    assert sign_in(guessed_at, environ_overrides=STRANGER).status_code == 429
    pass_time(runtime, STRANGER["REMOTE_ADDR"], 10)
    again = sign_in(guessed_at, environ_overrides=STRANGER)
    assert (again.status_code, 1 <= int(again.headers["Retry-After"]) <= 10) == (429, True)
    pass_time(runtime, STRANGER["REMOTE_ADDR"], 21)
    assert sign_in(guessed_at, environ_overrides=STRANGER).status_code == 303


def test_in_a_lockout_a_strangers_wrong_password_is_counted_and_makes_the_wait_longer(
    guessed_at: FlaskClient, runtime: Runtime
) -> None:
    assert sign_in(guessed_at, environ_overrides=STRANGER).status_code == 429
    pass_time(runtime, STRANGER["REMOTE_ADDR"], 21)
    assert sign_in(guessed_at, "wrong horse", environ_overrides=STRANGER).status_code == 403
    answer = sign_in(guessed_at, environ_overrides=STRANGER)
    assert (answer.status_code, 38 <= int(answer.headers["Retry-After"]) <= 40) == (429, True)


@BOTH_STORES
def test_many_strangers_at_once_in_a_lockout_get_no_try_for_nothing(
    guessed_at: FlaskClient, runtime: Runtime
) -> None:
    assert sign_in(guessed_at, environ_overrides=STRANGER).status_code == 429
    pass_time(runtime, STRANGER["REMOTE_ADDR"], 21)
    clients = [guessed_at.application.test_client() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(
            lambda client: sign_in(client, "wrong horse", environ_overrides=STRANGER).status_code, clients
        )
    assert sorted(answers) == [403] + [429] * 7


@BOTH_STORES
def test_a_lockout_is_recorded_and_shown_once(guessed_at: FlaskClient, runtime: Runtime) -> None:
    for _ in range(3):
        assert sign_in(guessed_at, "wrong horse", environ_overrides=KNOWN).status_code == 403
    assert sign_in(guessed_at, environ_overrides=KNOWN).status_code == 303
    written = guessed_at.get("/admin/actions?kind=sign_in_locked").text
    assert written.count("by receiver: 100 wrong passwords, 34 networks") == 1
    assert written.count("-line") == 1
    health = guessed_at.get("/admin/").text
    assert re.search(
        r"Sign-in from new networks was locked at [-0-9]+ [:0-9]+ UTC: 100 wrong passwords from 34 networks",
        health,
    )
    assert "/admin/actions?kind=sign_in_locked" in health


def test_a_day_after_a_lockout_the_health_line_tells_of_it_no_more(
    guessed_at: FlaskClient, runtime: Runtime
) -> None:
    with runtime.database.write() as connection:
        then = utc_now() - timedelta(hours=26)
        connection.execute(update(sign_in_table).values(failed_at=then))
    assert sign_in(guessed_at, environ_overrides=KNOWN).status_code == 303
    assert "was locked at" not in guessed_at.get("/admin/").text
    assert "sign-in locked" in guessed_at.get("/admin/actions").text


def test_addresses_of_one_ipv6_network_share_their_attempts() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff") != network_of("2001:db8:1::1")
    assert network_of("2001:db8:0:ff::1") == network_of("2001:db8::1") != network_of("2001:db8:0:100::1")
    assert network_of("192.0.2.1") == "192.0.2.1"
    assert network_of("unix:") == "unix:"


def test_who_signed_in_and_out_and_who_was_refused_is_written_down(client: FlaskClient) -> None:
    sign_in(client, "wrong horse")
    sign_in(client)
    client.post("/admin/sign-out", data={"csrf_token": token_of(client, "/admin/")})
    sign_in(client)
    text = client.get("/admin/actions").text
    text = text[text.index('id="actions"') :]
    shown = [text.index(words) for words in ("signed out", "sign-in refused")]
    assert shown == sorted(shown)
    assert text.count("signed in") == 2
    assert "from 127.0.0.1" in text


@pytest.mark.parametrize("path", ["/admin/", "/admin/tasks/task-1", "/admin/quarantine", "/admin/nowhere"])
def test_without_signing_in_every_page_leads_there_and_nothing_leaks(client: FlaskClient, path: str) -> None:
    tell(client)
    answer = client.get(path)
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/admin/sign-in")
    for secret in ("Tides", CALLBACK_TOKEN):
        assert secret not in answer.text + client.get("/admin/sign-in").text


def test_without_signing_in_nothing_can_be_done(client: FlaskClient) -> None:
    tell(client)
    before = known(client)
    answer = client.post("/admin/tasks/task-1/poll", data={"csrf_token": token_of(client)})
    assert answer.status_code == 303
    assert known(client) == before


def test_it_goes_on_where_one_wanted_to_go(client: FlaskClient) -> None:
    location = client.get("/admin/?q=a%26b&outcome=failed").headers["Location"]
    answer = sign_in(client, to=location.removeprefix("/admin/sign-in"))
    assert answer.headers["Location"] == "/admin/?q=a%26b&outcome=failed"


@pytest.mark.parametrize("letter", ["a", "%F0%9F%8E%B5", "%25"])
def test_an_address_too_long_to_be_quoted_once_more_is_not_gone_on_to(
    client: FlaskClient, letter: str
) -> None:
    for count in (1, 100, 400, 2000):
        location = client.get(f"/admin/?q={letter * count}").headers["Location"]
        assert len(f"GET {location} HTTP/1.1") < 8190
        assert ("next=" in location) is (count == 1 or len(letter) * count < 1500)


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
def test_it_goes_nowhere_else(client: FlaskClient, target: str) -> None:
    assert sign_in(client, to=f"?next={target}").headers["Location"] == "/admin/"


def test_the_cookie_is_kept_from_scripts_and_other_sites(client: FlaskClient) -> None:
    plain = sign_in(client).headers["Set-Cookie"]
    assert all(part in plain for part in ("HttpOnly", "SameSite=Lax", "Path=/admin", "Expires="))
    assert "Secure" not in plain


def test_over_tls_the_cookie_is_secure(client: FlaskClient) -> None:
    options = {"base_url": "https://localhost"}
    found = re.search(
        r'csrf_token" value="([^"]+)"',
        client.get("/admin/sign-in", **options).text,
    )
    assert found
    form = {"csrf_token": found[1], "password": PASSWORD}
    headers = {"Referer": "https://localhost/admin/sign-in"}
    answer = client.post("/admin/sign-in", data=form, headers=headers, base_url="https://localhost")
    assert answer.status_code == 303
    assert "Secure" in answer.headers["Set-Cookie"]


def test_signing_out_ends_it(admin: FlaskClient) -> None:
    assert admin.post("/admin/sign-out", data={"csrf_token": token_of(admin, "/admin/")}).status_code == 303
    assert admin.get("/admin/").status_code == 303


def test_a_session_dies_when_the_password_changes(
    admin: FlaskClient, new_runtime: Callable[..., Runtime]
) -> None:
    cookie = admin.get_cookie("receiver_admin", path="/admin")
    assert cookie
    for password, status in ((PASSWORD, 200), ("another horse", 303)):
        later = build_app(new_runtime(ADMIN_PASSWORD=password)).test_client()
        later.set_cookie("receiver_admin", cookie.value, path="/admin")
        assert later.get("/admin/").status_code == status


def test_a_copy_of_the_cookie_is_worth_nothing_once_one_has_signed_out(admin: FlaskClient) -> None:
    cookie = admin.get_cookie("receiver_admin", path="/admin")
    assert cookie
    admin.post("/admin/sign-out", data={"csrf_token": token_of(admin, "/admin/")})
    admin.set_cookie("receiver_admin", cookie.value, path="/admin")
    assert admin.get("/admin/").status_code == 303


def test_a_session_ends_after_twelve_hours(admin: FlaskClient, runtime: Runtime) -> None:
    for left, status in ((timedelta(seconds=30), 200), (timedelta(seconds=-1), 303)):
        with runtime.database.write() as connection:
            connection.execute(update(admin_session).values(expires_at=utc_now() + left))
        assert admin.get("/admin/").status_code == status


def test_a_session_begins_with_twelve_hours(admin: FlaskClient, runtime: Runtime) -> None:
    with runtime.database.read() as connection:
        ends = connection.execute(select(admin_session.c.expires_at)).scalar_one()
    assert timedelta(hours=11.9) < ends - utc_now() <= timedelta(hours=12)


@BOTH_STORES
def test_many_tries_at_once_are_not_more_than_one_by_one(runtime: Runtime) -> None:
    app = build_app(runtime)
    clients = [app.test_client() for _ in range(24)]
    forms = [{"csrf_token": token_of(client), "password": "wrong horse"} for client in clients]
    with ThreadPoolExecutor(12) as pool:
        answers = pool.map(
            lambda client, form: client.post("/admin/sign-in", data=form).status_code, clients, forms
        )
    assert sorted(answers) == [403] * 4 + [429] * 20


def test_an_older_address_on_a_socket_for_both_kinds_is_one_of_its_own() -> None:
    assert network_of("::ffff:192.0.2.1") == "192.0.2.1" != network_of("::ffff:192.0.2.2")


def test_only_asking_for_the_page_is_no_try(client: FlaskClient) -> None:
    for _ in range(9):
        assert client.head("/admin/sign-in").status_code == 200
    assert sign_in(client).status_code == 303


def test_actions_can_be_filtered_by_kind(admin: FlaskClient) -> None:
    sign_in(admin.application.test_client(), "wrong horse")
    only = admin.get("/admin/actions?kind=sign_in_refused").text
    assert only.count("-line") == 1
    assert "No actions match" in admin.get("/admin/actions?kind=labelled").text
    assert admin.get("/admin/actions?kind=odd").status_code == 422


def test_where_the_database_takes_no_writes_the_page_says_so_and_nobody_gets_in(
    client: FlaskClient, tmp_path: Path
) -> None:
    form = {"csrf_token": token_of(client), "password": PASSWORD}
    (tmp_path / "receiver.db").rename(tmp_path / "away.db")
    for password in (PASSWORD, "wrong horse"):
        answer = client.post("/admin/sign-in", data=form | {"password": password})
        assert (answer.status_code, bool(answer.headers["Retry-After"])) == (503, True)
        assert (
            "Sign-in is not possible now: the database cannot be reached, or takes no writes" in answer.text
        )
    (tmp_path / "away.db").rename(tmp_path / "receiver.db")
    assert client.get("/admin/").status_code == 303
    assert sign_in(client).status_code == 303
    assert client.get("/admin/").status_code == 200


def test_who_is_signed_in_sees_why_nothing_is_stored(admin: FlaskClient, tmp_path: Path) -> None:
    (tmp_path / "receiver.db").rename(tmp_path / "away.db")
    text = admin.get("/admin/").text
    assert "Callbacks cannot be stored" in text
    assert "deleted or moved away while in use" in text
    answer = admin.post("/admin/tasks/task-1/poll", data={"csrf_token": token_of(admin, "/admin/")})
    assert answer.status_code in (404, 503)
    (tmp_path / "away.db").rename(tmp_path / "receiver.db")
