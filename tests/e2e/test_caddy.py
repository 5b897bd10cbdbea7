"""`config/Caddyfile` in a real Caddy before the real command: the same promises as nginx.conf's."""

import shutil
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.conftest import CALLBACK_TOKEN, eventually, need
from tests.e2e.proxied import CLOSED, FORGED, in_chunks
from tests.servers.processes import Deployment, deployed
from tests.servers.proxies import CALLBACKS, HOST, Proxy, caddy_before, callback, request

LIMIT = 1048576
SENDER = "127.0.0.7"


class Site(NamedTuple):
    proxy: Proxy
    receiver: Deployment


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    need("caddy", shutil.which("caddy"))
    folder = tmp_path_factory.mktemp("caddy")
    with (
        deployed(folder, WORKERS="1", THREADS="4", TRUSTED_PROXIES="1") as (receiver,),
        caddy_before(folder / "proxy", receiver.port) as proxy,
    ):
        yield Site(proxy, receiver)


@pytest.mark.parametrize(
    ("way", "raw"),
    [
        ("plain", request("POST", CALLBACKS, callback("plain"))),
        ("chunked", in_chunks(CALLBACKS, callback("chunked"))),
        ("slash", request("POST", f"{CALLBACKS}/", callback("slash"))),
        ("doubled", request("POST", f"/{CALLBACKS.replace('/', '//')}", callback("doubled"))),
        ("old", request("POST", CALLBACKS, callback("old"), version="1.0")),
        ("asking", request("POST", CALLBACKS, callback("asking"), {"Expect": "100-continue"})),
        ("largest", request("POST", CALLBACKS, callback("largest", size=LIMIT))),
    ],
)
def test_a_callback_is_taken_in_whatever_way_it_is_sent(site: Site, way: str, raw: bytes) -> None:
    (response,) = site.proxy.send(raw)
    assert (response.status, response.json["result"]) == (200, "accepted")
    assert response.headers["Strict-Transport-Security"]
    assert site.receiver.get(f"/api/tasks/{way}")["status"] == "SUCCESS"


def test_slow_clients_never_keep_a_callback_waiting(site: Site) -> None:
    with site.proxy.slow_clients(20):
        started = time.monotonic()
        for number in range(5):
            (response,) = site.proxy.send(request("POST", CALLBACKS, callback(f"quick-{number}")))
            assert response.status == 200
        assert time.monotonic() - started < 3, "callbacks waited for slow clients"


def test_half_a_body_is_nothing(site: Site) -> None:
    log = site.proxy.folder / "output.log"
    before = log.read_text().count("handled request")
    for raw in (request("POST", CALLBACKS, callback("half")), in_chunks(CALLBACKS, callback("half"))):
        site.proxy.send_and_go(raw[: len(raw) * 3 // 4])
    eventually(lambda: log.read_text().count("handled request") >= before + 2)
    assert site.receiver.get("/api/quarantine")["deliveries"] == []
    assert site.receiver.get("/api/tasks?q=half")["tasks"] == []


def test_what_is_too_large_is_refused(site: Site) -> None:
    (response,) = site.proxy.send(in_chunks(CALLBACKS, b" " * (LIMIT + 1)))
    assert (response.status, response.is_problem) == (413, True)
    assert str(LIMIT) in response.json["detail"], "the receiver says it, and counts it"
    (response,) = site.proxy.send(request("POST", CALLBACKS, headers={"Content-Length": "10000000000"}))
    assert (response.status, response.is_problem) == (413, True)


@pytest.mark.parametrize("path", [*CLOSED, f"/x{CALLBACKS}"])
def test_nothing_else_is_open(site: Site, path: str) -> None:
    (response,) = site.proxy.send(request("GET", path))
    assert (response.status, response.is_problem) == (404, True)


def test_what_is_open_reaches_the_receiver(site: Site) -> None:
    expected = {
        "/healthz": 200,
        "/docs": 200,
        "/openapi.json": 200,
        "/api/stats": 401,
        CALLBACKS: 200,
        "/admin": 308,
        "/admin/static/admin.css": 200,
    }
    for path, status in expected.items():
        (response,) = site.proxy.send(request("GET", path))
        assert response.status == status, path


def test_the_sender_is_the_peer_of_caddy_whatever_it_says_of_itself(site: Site) -> None:
    (response,) = site.proxy.send(request("POST", "/callbacks/forged", b"{}", FORGED), source=SENDER)
    assert response.status == 404
    assert f"from={SENDER}" in site.receiver.log.read_text()
    (response,) = site.proxy.send(request("GET", "/admin/sign-in", headers=FORGED))
    assert "; Secure" in response.headers["Set-Cookie"]


def test_plain_http_leads_people_to_https_and_refuses_secrets(site: Site) -> None:
    response = site.proxy.send_plainly(request("GET", "/admin/?q=x"))
    assert (response.status, response.headers["Location"]) == (302, f"https://{HOST}/admin/?q=x")
    response = site.proxy.send_plainly(request("POST", CALLBACKS, callback("by-http")))
    assert (response.status, response.is_problem, response.headers["Location"]) == (403, True, None)


def test_no_log_holds_the_token_whatever_goes_wrong(site: Site) -> None:
    """The last of them: it takes the receiver away."""
    site.proxy.send(request("GET", "/healthz", headers={"Referer": f"https://{HOST}{CALLBACKS}"}))
    site.receiver.stop()
    (response,) = site.proxy.send(request("POST", CALLBACKS, callback("x")))
    assert (response.status, response.is_problem, response.headers["Retry-After"]) == (502, True, "10")
    log = (site.proxy.folder / "output.log").read_text()
    assert '"status":502' in log
    assert CALLBACK_TOKEN not in log
    assert CALLBACK_TOKEN not in site.receiver.log.read_text()
