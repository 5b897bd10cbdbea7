"""`RECEIVER_TRUSTED_PROXIES`: whose word on the sender, the scheme and the host is taken."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, request
from flask.testing import FlaskClient

from receiver.app import build_app
from receiver.runtime import Runtime
from receiver.store import audit_log
from receiver.web.proxies import behind_proxies
from tests.web.admin.page import BEARER, CALLBACKS, HOSTILE, sign_in

PEER = "10.9.9.9"
PEER_ONLY = (PEER, "http://receiver.test/")
JUNK = [HOSTILE, "unix:", "unknown", "_hidden", ",", ",,,", "a" * 8000, "[", "[::1", "\xff\xfe", "%00"]


def observed(app: Flask, headers: dict[str, str]) -> tuple[str, str]:
    """The sender's address, and the site's as the sender called it."""
    app.add_url_rule("/observed", view_func=lambda: [request.remote_addr, request.host_url])
    given: Any = {"base_url": "http://receiver.test", "environ_overrides": {"REMOTE_ADDR": PEER}}
    address, url = app.test_client().get("/observed", headers=headers, **given).get_json()
    return address, url


def observed_behind(count: int, headers: dict[str, str]) -> tuple[str, str]:
    app = Flask(__name__)
    app.wsgi_app = behind_proxies(app.wsgi_app, count)  # type: ignore[method-assign]
    return observed(app, headers)


def test_without_proxies_nobody_is_believed(runtime: Runtime) -> None:
    headers = {"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"}
    assert observed(build_app(runtime), headers) == PEER_ONLY


def test_one_proxy_is_believed_about_address_scheme_and_host(new_runtime: Callable[..., Runtime]) -> None:
    app = build_app(new_runtime(TRUSTED_PROXIES="1"))
    headers = {
        "X-Forwarded-For": "1.2.3.4",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "music.example",
    }
    assert observed(app, headers) == ("1.2.3.4", "https://music.example/")


@pytest.mark.parametrize(
    ("count", "forwarded", "address"),
    [
        (
            1,
            "1.2.3.4, 5.6.7.8",
            "5.6.7.8",
        ),  # what the sender wrote himself stands before what the proxy added
        (2, "6.6.6.6, 1.2.3.4, 5.6.7.8", "1.2.3.4"),
        (2, "1.2.3.4", PEER),  # past one of the proxies
        (1, "1.2.3.4:5678", "1.2.3.4"),
        (1, "[2001:db8::1]:5678", "2001:db8::1"),
        (1, "2001:db8::1", "2001:db8::1"),
        (1, "fe80::1%<script>", "fe80::1"),
        (1, "::ffff:1.2.3.4", "::ffff:1.2.3.4"),
        *((1, junk, PEER) for junk in JUNK),
    ],
)
def test_the_sender_is_the_peer_of_the_first_trusted_proxy(count: int, forwarded: str, address: str) -> None:
    assert observed_behind(count, {"X-Forwarded-For": forwarded}) == (address, "http://receiver.test/")


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("before", ["", "http, ", "http, http, "])
def test_scheme_and_host_are_the_nearest_proxys_word_in_a_chain_of_any_length(
    count: int, before: str
) -> None:
    """The outermost ends the TLS, and those behind it hand on what it said."""
    hosts = before.replace("http", "evil.example") + "music.example"
    headers = {"X-Forwarded-Proto": f"{before}https", "X-Forwarded-Host": hosts}
    assert observed_behind(count, headers) == (PEER, "https://music.example/")


def test_no_other_header_says_who_the_sender_is() -> None:
    headers = {
        "Forwarded": "for=1.2.3.4;proto=https;host=evil.example",
        "X-Real-IP": "1.2.3.4",
        "X-Forwarded-Port": "444",
        "X-Forwarded-Prefix": "/evil",
        "X-Forwarded-Protocol": "ssl",
        "X-Forwarded-Ssl": "on",
    }
    assert observed_behind(1, headers) == PEER_ONLY


def test_junk_from_a_proxy_breaks_nothing(new_runtime: Callable[..., Runtime]) -> None:
    runtime = new_runtime(TRUSTED_PROXIES="1")
    client = build_app(runtime).test_client()
    for junk in JUNK:
        use_everything(client, {"X-Forwarded-For": junk, "X-Forwarded-Proto": junk})
        if len(junk) < 64:  # a host name of longer labels is refused as a bad request
            use_everything(client, {"X-Forwarded-Host": junk})
    with runtime.database.read() as connection:
        assert {act.actor.address for act in audit_log.newest(connection, limit=100)} == {"127.0.0.1"}


def use_everything(client: FlaskClient, headers: dict[str, str]) -> None:
    assert client.post(CALLBACKS, json={"taskId": "t"}, headers=headers).status_code == 200
    assert client.post(f"{CALLBACKS}x", headers=headers).status_code == 404
    created = client.post("/api/tasks", json={"taskId": "t"}, headers=headers | BEARER)
    assert created.status_code in (200, 201)
    assert sign_in(client, headers=headers).status_code == 303
    page = client.get("/admin/", headers=headers)
    assert page.status_code == 200
    assert HOSTILE not in page.text
    client.delete_cookie("receiver_admin", path="/admin")


def test_behind_a_unix_socket_there_may_be_no_address_at_all(runtime: Runtime) -> None:
    client = build_app(runtime).test_client()
    nobody: Any = {"environ_overrides": {"REMOTE_ADDR": ""}}
    assert client.post(f"{CALLBACKS}x", **nobody).status_code == 404
    assert sign_in(client, **nobody).status_code == 303
