"""`config/nginx.conf`, as it stands, in a real nginx before the real command."""

import gzip
import re
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import CALLBACK_TOKEN, eventually, need
from tests.e2e.proxied import CLOSED, FORGED, in_chunks
from tests.servers.processes import Deployment, deployed, free_port
from tests.servers.proxies import (
    CALLBACKS,
    HOST,
    Proxy,
    Response,
    callback,
    nginx_before,
    nginx_program,
    read_response,
    request,
)

LIMIT = 1048576
SENDER = "127.0.0.7"


class Site(NamedTuple):
    proxy: Proxy
    receiver: Deployment

    def refused(self) -> dict[str, int]:
        return dict(self.receiver.get("/api/stats")["deliveries"].get("callback", {}))


@pytest.fixture(scope="module", autouse=True)
def _nginx() -> None:
    need("nginx", nginx_program())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("nginx")
    with (
        deployed(folder, WORKERS="1", THREADS="4", TRUSTED_PROXIES="1") as (receiver,),
        nginx_before(folder / "proxy", f"127.0.0.1:{receiver.port}") as proxy,
    ):
        yield Site(proxy, receiver)


def send(site: Site, raw: bytes) -> Response:
    (answer,) = site.proxy.send(raw)
    return answer


@pytest.mark.parametrize(
    ("way", "raw"),
    [
        ("plain", request("POST", CALLBACKS, callback("plain"))),
        ("chunked", in_chunks(CALLBACKS, callback("chunked"))),
        ("slash", request("POST", f"{CALLBACKS}/", callback("slash"))),
        ("doubled", request("POST", f"/{CALLBACKS.replace('/', '//')}", callback("doubled"))),
        ("query", request("POST", f"{CALLBACKS}?song_id=42", callback("query"))),
        ("gzip", request("POST", CALLBACKS, gzip.compress(callback("gzip")), {"Content-Encoding": "gzip"})),
        ("old", request("POST", CALLBACKS, callback("old"), version="1.0")),
        ("nameless", request("POST", CALLBACKS, callback("nameless"), {"Host": ""}, version="1.0")),
        ("largest", request("POST", CALLBACKS, callback("largest", size=LIMIT))),
        ("chunked-largest", in_chunks(CALLBACKS, callback("chunked-largest", size=LIMIT))),
        (
            "upgrading",
            request("POST", CALLBACKS, callback("upgrading"), {"Connection": "upgrade", "Upgrade": "h2c"}),
        ),
    ],
)
def test_a_callback_is_taken_in_whatever_way_it_is_sent(site: Site, way: str, raw: bytes) -> None:
    answer = send(site, raw)
    assert answer.status == 200
    assert answer.json["result"] == "accepted"
    assert answer.headers["Strict-Transport-Security"]
    log = site.proxy.folder / "receiver.access.log"
    eventually(
        lambda: f"request={answer.headers['X-Request-Id']}" in log.read_text(), why="one id for both logs"
    )
    assert site.receiver.get(f"/api/tasks/{way}")["status"] == "SUCCESS"


def test_a_sender_that_asks_first_may_go_on(site: Site) -> None:
    raw = request("POST", CALLBACKS, callback("asking"), {"Expect": "100-continue"})
    head, body = raw.split(b"\r\n\r\n")
    with site.proxy.connect() as connection, connection.makefile("rb") as stream:
        connection.sendall(head + b"\r\n\r\n")
        assert b" 100 " in stream.readline()
        connection.sendall(body)
        assert (stream.readline(), b" 200 " in stream.readline()) == (b"\r\n", True)


def test_two_callbacks_in_one_write_are_answered_in_their_order(site: Site) -> None:
    raw = b"".join(request("POST", CALLBACKS, callback(f"pipelined-{number}")) for number in range(2))
    task_ids = [answer.json["taskId"] for answer in site.proxy.send(raw, responses=2)]
    assert task_ids == ["pipelined-0", "pipelined-1"]


def test_http_2_is_spoken(site: Site) -> None:
    with site.proxy.connect(alpn="h2") as connection:
        assert connection.selected_alpn_protocol() == "h2"


def test_slow_clients_never_keep_a_callback_waiting(site: Site) -> None:
    with site.proxy.slow_clients(20) as slow:
        started = time.monotonic()
        for number in range(5):
            assert send(site, request("POST", CALLBACKS, callback(f"quick-{number}"))).status == 200
        assert time.monotonic() - started < 3, "callbacks waited for slow clients"
        slow[0].sendall(b"}")
        assert b" 200 " in slow[0].makefile("rb").readline(), "who is slow is heard, too"


@pytest.mark.parametrize(
    "raw", [request("POST", CALLBACKS, callback("half")), in_chunks(CALLBACKS, callback("half"))]
)
def test_half_a_body_is_nothing(site: Site, raw: bytes) -> None:
    log = site.proxy.folder / "receiver.access.log"
    before, lines = site.receiver.get("/api/stats")["deliveries"], log.read_text().count("\n")
    site.proxy.send_and_go(raw[: len(raw) * 3 // 4])
    eventually(lambda: log.read_text().count("\n") > lines, why="nginx sees that the sender has gone")
    assert " 400 " in log.read_text().splitlines()[-1]
    assert site.receiver.get("/api/stats")["deliveries"] == before


def test_a_body_a_little_too_large_is_refused_and_counted_by_the_receiver(site: Site) -> None:
    before = site.refused().get("too_large", 0)
    for raw in (request("POST", CALLBACKS, b" " * (LIMIT + 1)), in_chunks(CALLBACKS, b" " * (LIMIT + 1))):
        answer = send(site, raw)
        assert (answer.status, answer.is_problem) == (413, True)
        assert str(LIMIT) in answer.json["detail"]
    eventually(lambda: site.refused().get("too_large") == before + 2)


def test_a_huge_body_is_refused_by_nginx_before_it_is_read(site: Site) -> None:
    answer = send(site, request("POST", CALLBACKS, headers={"Content-Length": "10000000000"}))
    assert (answer.status, answer.is_problem) == (413, True)
    answer = send(site, in_chunks(CALLBACKS, b" " * 2_200_000))
    assert (answer.status, answer.is_problem) == (413, True)


@pytest.mark.parametrize(
    "path", [*CLOSED, "/api/../readyz", "//metrics", f"/x{CALLBACKS}", f"{CALLBACKS}%0a%c3%a9"]
)
def test_nothing_else_is_open(site: Site, path: str) -> None:
    answer = send(site, request("GET", path))
    assert (answer.status, answer.is_problem) == (404, True)
    assert answer.json["detail"] == "Nothing is at this address.", "it reached the receiver"


def test_what_is_open_reaches_the_receiver(site: Site) -> None:
    paths = ("/healthz", "/docs", "/openapi.json", "/api/stats", CALLBACKS, "/admin/")
    answers = {path: send(site, request("GET", path)) for path in paths}
    assert {path: answer.status for path, answer in answers.items()} == {
        "/healthz": 200,
        "/docs": 200,
        "/openapi.json": 200,
        "/api/stats": 401,
        CALLBACKS: 200,
        "/admin/": 303,
    }
    assert "takes POST" in answers[CALLBACKS].body.decode()
    assert send(site, request("GET", "/admin/static/admin.css")).status == 200


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (request("TRACE", CALLBACKS), 405),
        (request("CONNECT", CALLBACKS), 405),
        (request("POST", CALLBACKS, callback("x"), {"Transfer-Encoding": "chunked"}), 400),
        (request("POST", CALLBACKS, headers={"Content-Length": "1, 2"}), 400),
        (
            request(
                "POST", CALLBACKS, headers={"Transfer-Encoding": "chunked, identity", "Content-Length": ""}
            ),
            501,
        ),
        (request("POST", CALLBACKS, headers={"Host": "a b"}), 400),
        (request("POST", "/callbacks/%00"), 400),
        (request("GET", "/callbacks/..%2f..%2f..%2fmetrics"), 400),
        (f"POST {CALLBACKS} HTTP/1.1\r\nHost: {HOST}\r\nHost: {HOST}\r\n\r\n".encode(), 400),
    ],
)
def test_a_request_that_can_be_read_in_two_ways_is_refused(site: Site, raw: bytes, status: int) -> None:
    answer = send(site, raw)
    assert (answer.status, answer.is_problem) == (status, True)


@pytest.mark.parametrize("size", [*range(8150, 8200, 7), 9000, 20_000])
def test_a_request_line_or_header_that_is_too_long_is_a_problem_whoever_refuses_it(
    site: Site, size: int
) -> None:
    long = send(site, request("GET", f"/api/stats?{'a' * size}"))
    assert (long.status in (401, 414), long.is_problem) == (True, True), long
    large = send(site, request("GET", "/api/stats", headers={"X-Large": "a" * size}))
    assert (large.status in (401, 431), large.is_problem) == (True, True), large


@pytest.mark.parametrize(
    ("raw", "statuses"),
    [
        (b"junk\r\n\r\n", {400}),
        (f"GET /healthz HTTP/3.0\r\nHost: {HOST}\r\n\r\n".encode(), {400, 505}),
        (b"GET /healthz HTTP/1.1\r\n\r\n", {400}),
        (request("GET", "/healthz", headers={"Content-Length": "-1"}), {400}),
        (request("TRACE", "/healthz"), {405}),
    ],
)
def test_what_nginx_cannot_read_is_a_problem(site: Site, raw: bytes, statuses: set[int]) -> None:
    answer = send(site, raw)
    assert (answer.status in statuses, answer.is_problem) == (True, True), answer


def test_http_at_the_port_of_https_is_a_problem(site: Site) -> None:
    with socket.create_connection(("127.0.0.1", site.proxy.port), timeout=20) as connection:
        connection.sendall(request("GET", "/healthz"))
        with connection.makefile("rb") as stream:
            answer = read_response(stream)
    assert (answer.status, answer.is_problem) == (400, True), answer


def test_the_sender_is_the_peer_of_nginx_whatever_it_says_of_itself(site: Site) -> None:
    before = site.receiver.log.read_text().count(f"from={SENDER}")
    (answer,) = site.proxy.send(request("POST", "/callbacks/forged", b"{}", FORGED), source=SENDER)
    assert answer.status == 404
    log = site.receiver.log.read_text()
    assert log.count(f"from={SENDER}") == before + 1
    assert "6.6.6.6" not in log


def test_a_person_signs_in_by_https_and_is_known_by_his_address(site: Site) -> None:
    def ask(method: str, path: str, body: bytes = b"", **headers: str) -> Response:
        given = FORGED | {"Host": f"{HOST}:{site.proxy.port}", "Referer": site.proxy.url} | headers
        (answer,) = site.proxy.send(request(method, path, body, given), source=SENDER)
        return answer

    form = ask("GET", "/admin/sign-in")
    cookie = form.headers["Set-Cookie"].split(";")[0]
    (token,) = re.findall(rb'name="csrf_token" value="([^"]+)"', form.body)
    body = b"password=correct+horse&csrf_token=" + token
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    signed_in = ask("POST", "/admin/sign-in", body, Cookie=cookie, **kind)
    assert signed_in.status == 303
    assert "; Secure" in signed_in.headers["Set-Cookie"]
    cookie = signed_in.headers["Set-Cookie"].split(";")[0]
    assert SENDER.encode() in ask("GET", "/admin/actions", Cookie=cookie).body
    page = ask("GET", "/admin/", Cookie=cookie).body
    assert b"evil" not in page


def test_plain_http_leads_people_to_https_and_refuses_secrets(site: Site) -> None:
    answer = site.proxy.send_plainly(request("GET", "/admin/?q=x"))
    assert (answer.status, answer.headers["Location"]) == (301, f"https://{HOST}/admin/?q=x")
    for path in (CALLBACKS, "/api/tasks"):
        answer = site.proxy.send_plainly(request("POST", path, callback("by-http")))
        assert (answer.status, answer.is_problem, answer.headers["Location"]) == (403, True, None)


class Dying(socketserver.BaseRequestHandler):
    """A machine that goes away with the request in its hands."""

    def handle(self) -> None:
        self.request.recv(65536)


@contextmanager
def dying_machine() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Dying) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            serving.join()


def test_a_callback_that_one_machine_dies_of_is_handed_to_the_other(site: Site, tmp_path: Path) -> None:
    with (
        dying_machine() as port,
        nginx_before(
            tmp_path / "proxy", f"127.0.0.1:{port}", second=f"127.0.0.1:{site.receiver.port}"
        ) as proxy,
    ):
        for number in range(2):
            (answer,) = proxy.send(request("POST", CALLBACKS, callback(f"handed-on-{number}")))
            assert answer.json["result"] == "accepted"
    assert_token_free(tmp_path)


@pytest.mark.parametrize("there", [True, False])
def test_without_a_receiver_the_sender_is_asked_to_come_again(tmp_path: Path, there: bool) -> None:
    with (
        dying_machine() as dying,
        nginx_before(tmp_path / "proxy", f"127.0.0.1:{dying if there else free_port()}") as proxy,
    ):
        for path in (CALLBACKS, "/api/stats", "/healthz"):
            (answer,) = proxy.send(request("POST", path, callback("x")))
            assert (answer.status, answer.is_problem, answer.headers["Retry-After"]) == (502, True, "10")
        assert "/healthz" in (proxy.folder / "receiver.error.log").read_text(), "the one place that tells why"
    assert_token_free(tmp_path)


def test_no_log_holds_the_token_whatever_goes_wrong(site: Site) -> None:
    broken = [
        request("POST", CALLBACKS, headers={"Content-Length": "10000000"}),
        in_chunks(CALLBACKS, b" " * 2_200_000),
        in_chunks(CALLBACKS, b" ").replace(b"\r\n5\r\n", b"\r\nzz\r\n"),
        request("POST", CALLBACKS, callback("x"), {"Transfer-Encoding": "chunked"}),
        request("POST", CALLBACKS, headers={"Host": "a b"}),
        request("POST", CALLBACKS, headers={"Bad Name": "x"}),
        request("POST", CALLBACKS, version="9.9"),
        request("POST", CALLBACKS, headers={"X-Long": "x" * 40000}),
        request("POST", f"{CALLBACKS}{'x' * 40000}"),
        request("POST", f"{CALLBACKS}?{CALLBACK_TOKEN}", callback("x")),
        request("POST", f"{CALLBACKS}\xe9", callback("x")),
        request("POST", f"/callback/{CALLBACK_TOKEN}"),
        request("GET", "/favicon.ico", headers={"Referer": f"https://{HOST}{CALLBACKS}"}),
        request("GET", "/healthz", headers={"Referer": f"https://{HOST}{CALLBACKS}"}),
        CALLBACKS.encode() + b"\r\n\r\n",
    ]
    for raw in broken:
        with site.proxy.connect() as connection, suppress(OSError):  # nginx may hang up before it has all
            connection.sendall(raw)
            connection.recv(100)
    with socket.create_connection(("127.0.0.1", site.proxy.port), timeout=20) as connection:
        connection.sendall(request("POST", CALLBACKS, callback("x")))  # plain text to the TLS port
        assert b"400" in connection.recv(100)
    site.proxy.send_plainly(request("POST", CALLBACKS, headers={"Host": "a b"}))
    assert_token_free(site.proxy.folder.parent)


def assert_token_free(folder: Path) -> None:
    logs = list(folder.rglob("*.log"))
    assert {"receiver.access.log", "error.log", "access.log"} <= {log.name for log in logs}
    for log in logs:
        assert CALLBACK_TOKEN not in log.read_text(), log.name
