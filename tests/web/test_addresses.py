"""The callback URL in every form a person or a program makes of it: path, method, query, encoding of the body."""

import gzip
import io
import json
import logging
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import EnvironBuilder, TestResponse, run_wsgi_app

from receiver.app import build_app
from receiver.runtime import Runtime
from receiver.store import hourly_counts
from tests.conftest import API_TOKEN, CALLBACK_TOKEN
from tests.web.admin.page import sign_in

BEARER = {"Authorization": f"Bearer {API_TOKEN}"}
URL = f"/callbacks/{CALLBACK_TOKEN}"
ROW = {"id": "a", "audio_url": "https://example.org/a.mp3", "title": "Tides"}


@pytest.fixture
def client(runtime: Runtime) -> FlaskClient:
    return build_app(runtime).test_client()


def body(task_id: str = "task-1", **data: Any) -> bytes:
    fields = {"callbackType": "complete", "task_id": task_id, "data": [ROW], **data}
    return json.dumps({"code": 200, "msg": "ok", "data": fields}).encode()


def request(
    client: FlaskClient, path: str, *, method: str = "POST", data: bytes = b"", query: str = ""
) -> TestResponse:
    """Ask for a path to the letter: a client would take `//callbacks` for a host."""
    builder = EnvironBuilder(method=method, data=data)
    environ = builder.get_environ() | {"PATH_INFO": path, "QUERY_STRING": query}
    return TestResponse(
        *run_wsgi_app(client.application, environ, buffered=True), request=builder.get_request()
    )


def refused(runtime: Runtime) -> dict[str, int]:
    runtime.intake.flush_counts()
    with runtime.database.read() as connection:
        return dict(hourly_counts.totals(connection, "callback").get("callback", {}))


def deliveries(client: FlaskClient, task_id: str = "task-1") -> list[dict[str, Any]]:
    response = client.get(f"/api/tasks/{task_id}/deliveries", headers=BEARER)
    assert response.json is not None
    return list(response.json["deliveries"])


def task(client: FlaskClient, task_id: str = "task-1") -> dict[str, Any]:
    response = client.get(f"/api/tasks/{task_id}", headers=BEARER)
    assert response.json is not None
    return dict(response.json)


SAME = [
    URL,
    f"{URL}/",
    f"{URL}//",
    f"/{URL}",
    f"//{URL}",
    URL.replace("/callbacks/", "/callbacks//"),
    URL.replace("/callbacks/", "//callbacks///") + "/",
    f"{URL}/0123456789abcdef0123456789abcdef",
    f"{URL}/0123456789abcdef0123456789abcdef/",
    f"{URL}//submission",
]


@pytest.mark.parametrize("path", SAME)
def test_every_form_of_the_address_is_the_same_address(client: FlaskClient, path: str) -> None:
    response = request(client, path, data=body())
    assert response.status_code == 200
    assert response.json is not None
    assert response.json["result"] == "accepted"
    assert "Location" not in response.headers


@pytest.mark.parametrize("host", ["", "a b", "[", "a:b:c", "a..b", "x" * 300, "xn--\u00e4"])
def test_whatever_host_a_callback_is_sent_to_it_is_stored(client: FlaskClient, host: str) -> None:
    response = client.post(URL, data=body(), environ_overrides={"HTTP_HOST": host})
    assert response.status_code == 200
    assert len(deliveries(client)) == 1


REFUSED = [
    "/callbacks",
    "/callbacks/",
    "//callbacks//",
    "/callbacks/wrong-token-0000000",
    "/callbacks/wrong-token-0000000/",
    "/callbacks/wrong-token-0000000/submission",
    f"/callbacks/x/{CALLBACK_TOKEN}",
    f"/callbacks/{CALLBACK_TOKEN}/submission/more",
    f"/callbacks/{CALLBACK_TOKEN[:-1]}",
    f"/callbacks/{CALLBACK_TOKEN}x",
    f"/callbacks/{CALLBACK_TOKEN.upper()}",
    f"/callbacks/ {CALLBACK_TOKEN}",
    "/callbacks/\u00e4\u00f6",
    "/callbacks/../callbacks/x",
]


@pytest.mark.parametrize("path", REFUSED)
@pytest.mark.parametrize("method", ["POST", "GET", "HEAD", "PUT", "OPTIONS", "PROPFIND"])
def test_a_refused_address_is_a_404_counted_and_logged(
    runtime: Runtime,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    method: str,
) -> None:
    monkeypatch.setattr(logging.getLogger("receiver"), "propagate", True)
    client = build_app(runtime).test_client()
    with caplog.at_level(logging.WARNING):
        response = request(client, path, method=method, data=body())
    assert response.status_code == 404
    assert "Location" not in response.headers
    assert CALLBACK_TOKEN not in response.text
    assert refused(runtime) == {"wrong_token": 1}
    assert [record.getMessage() for record in caplog.records] == ["callback refused"]
    assert client.get("/api/tasks", headers=BEARER).json == {"tasks": [], "next": None}


@pytest.mark.parametrize("path", SAME)
def test_a_person_who_looks_is_shown_that_this_is_a_callback_url(runtime: Runtime, path: str) -> None:
    client = build_app(runtime).test_client()
    response = request(client, path, method="GET", query="hub.challenge=1")
    assert (response.status_code, response.mimetype) == (200, "text/plain")
    assert response.text.count("\n") == 1
    assert "callback URL" in response.text
    assert "POST" in response.text
    head = request(client, path, method="HEAD")
    assert (head.status_code, head.data) == (200, b"")
    assert refused(runtime) == {}


@pytest.mark.parametrize(
    "path", ["/api//tasks", "//api/tasks", "/api/tasks/", "//admin//", f"//metrics/{CALLBACK_TOKEN}"]
)
def test_doubled_slashes_redirect_nobody_elsewhere(client: FlaskClient, path: str) -> None:
    assert "tasks" not in request(client, path, method="GET").headers.get("Location", "")


class TestQuery:
    QUERY = "song_id=42&userId=7&token=perSongSecret"
    KEPT = "song_id=42&userId=7&token=[removed]"

    def test_it_is_kept_with_the_delivery_without_secrets(self, client: FlaskClient) -> None:
        assert client.post(f"{URL}?{self.QUERY}", data=body()).status_code == 200
        assert [row["query"] for row in deliveries(client)] == [self.KEPT]

    def test_it_is_kept_with_a_duplicate_and_with_what_cannot_be_read(self, client: FlaskClient) -> None:
        for query, data in (("n=1", body()), ("n=2", body()), ("n=3", body(data="x"))):
            client.post(f"{URL}?{query}", data=data)
        client.post(f"{URL}?n=4", data=b"<html>")
        assert [row["query"] for row in deliveries(client)] == ["n=1", "n=2", "n=3"]
        quarantine = client.get("/api/quarantine", headers=BEARER).json
        assert quarantine is not None
        assert quarantine["deliveries"][0]["query"] == "n=4"

    def test_without_one_it_is_null(self, client: FlaskClient) -> None:
        client.post(URL, data=body())
        assert [row["query"] for row in deliveries(client)] == [None]

    @pytest.mark.parametrize("sought", ["42", "song_id", "userId", "song_id=42"])
    def test_a_task_is_found_by_it(self, client: FlaskClient, sought: str) -> None:
        client.post("/api/tasks", json={"taskId": "task-1", "label": "mine"}, headers=BEARER)
        client.post(f"{URL}?{self.QUERY}", data=body())
        client.post(f"{URL}?other=1", data=body("task-2"))
        found = client.get("/api/tasks", query_string={"q": sought}, headers=BEARER).json
        assert found is not None
        assert [task["taskId"] for task in found["tasks"]] == ["task-1"]

    def test_a_task_is_found_by_its_words_without_their_escapes(self, client: FlaskClient) -> None:
        client.post(f"{URL}?name=%D0%9F%D0%B5%D1%81%D0%BD%D1%8F+one", data=body())
        found = client.get("/api/tasks", query_string={"q": "песня"}, headers=BEARER).json
        assert found is not None
        assert len(found["tasks"]) == 1

    def test_no_secret_of_it_is_stored_shown_or_found(self, client: FlaskClient) -> None:
        client.post(f"{URL}?{self.QUERY}", data=body())
        found = client.get("/api/tasks", query_string={"q": "perSongSecret"}, headers=BEARER).json
        assert found == {"tasks": [], "next": None}

    def test_an_orphan_is_named_by_it_and_a_registered_task_by_its_owner(self, client: FlaskClient) -> None:
        client.post(f"{URL}?{self.QUERY}", data=body())
        assert task(client)["label"] == self.KEPT
        client.post("/api/tasks", json={"taskId": "task-1"}, headers=BEARER)
        assert task(client)["label"] is None
        client.post("/api/tasks", json={"taskId": "task-1", "label": "mine"}, headers=BEARER)
        assert task(client)["label"] == "mine"

    def test_an_orphan_is_named_alike_in_whatever_order_its_callbacks_came(self, client: FlaskClient) -> None:
        queries = ["b=2", "a=1", "c=3", ""]
        for name, order in (("task-1", queries), ("task-2", queries[::-1])):
            for query in order:
                client.post(f"{URL}?{query}", data=body(name, n=query))
        assert task(client, "task-1")["label"] == task(client, "task-2")["label"] == "a=1"

    def test_a_long_one_is_cut(self, client: FlaskClient) -> None:
        assert client.post(f"{URL}?a={'word ' * 900}", data=body()).status_code == 200
        assert len(deliveries(client)[0]["query"]) == 2000
        assert len(task(client)["label"]) == 200

    def test_nothing_in_it_is_believed(self, client: FlaskClient) -> None:
        client.post(f"{URL}?taskId=other&status=FAILED&code=500", data=body())
        assert task(client)["status"] == "SUCCESS"
        assert client.get("/api/tasks/other", headers=BEARER).status_code == 404

    def test_the_task_page_shows_it_as_text(self, client: FlaskClient) -> None:
        client.post(f"{URL}?song=%3Cb%3E42&x=<i>", data=body())
        sign_in(client)
        page = client.get("/admin/tasks/task-1").text
        assert "song=%3Cb%3E42&amp;x=&lt;i&gt;" in page


def test_secrets_in_the_query_of_param_are_not_stored(client: FlaskClient) -> None:
    param = json.dumps({"callBackUrl": f"https://r.example{URL}?song_id=42&token=perSongSecret"})
    client.post(URL, json={"code": 200, "data": {"taskId": "task-1", "status": "PENDING", "param": param}})
    shown = str(task(client)) + str(deliveries(client))
    assert "song_id=42" in shown
    assert "perSongSecret" not in shown
    assert CALLBACK_TOKEN not in shown


def raw_deflate(data: bytes) -> bytes:
    squeezer = zlib.compressobj(wbits=-15)
    return squeezer.compress(data) + squeezer.flush()


ENCODED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "GZIP": ("GZIP", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "deflate without a head": ("Deflate", raw_deflate),
    "identity": ("identity", bytes),
    "nothing": ("", bytes),
    "identity and gzip": ("identity, gzip", gzip.compress),
    "gzip twice": ("gzip, gzip", lambda data: gzip.compress(gzip.compress(data))),
    "deflate in gzip": ("deflate,gzip", lambda data: gzip.compress(zlib.compress(data))),
    "gzip in deflate": ("gzip , deflate", lambda data: zlib.compress(gzip.compress(data))),
    "gzip in pieces": ("gzip", lambda data: gzip.compress(data[:20]) + gzip.compress(data[20:])),
    "gzip with zeros behind it": ("gzip", lambda data: gzip.compress(data) + b"\0" * 512),
    "gzip that a proxy has undone": ("gzip", bytes),
    "brotli that a proxy has undone": ("br", bytes),
}


@pytest.mark.parametrize("way", ENCODED)
def test_a_content_encoding_is_undone(client: FlaskClient, way: str) -> None:
    name, encode = ENCODED[way]
    response = client.post(URL, data=encode(body()), headers={"Content-Encoding": name})
    assert response.status_code == 200
    assert response.json is not None
    assert response.json["result"] == "accepted"
    assert deliveries(client)[0]["body"] == body().decode(), "what is stored can be read"


UNREADABLE = {
    "garbage": ("gzip", b"garbage"),
    "cut off": ("gzip", gzip.compress(body())[:-4]),
    "cut off in the middle": ("deflate", zlib.compress(body())[:40]),
    "broken": ("gzip", gzip.compress(body())[:-6] + b"xxxxxx"),
    "something behind it": ("gzip", gzip.compress(body()) + b"more"),
    "empty": ("gzip", b""),
    "gzip three times": ("gzip, gzip, gzip", gzip.compress(gzip.compress(gzip.compress(body())))),
    "br": ("br", b"\x0b\x02\x80hello\x03"),
    "zstd": ("zstd", b"\x28\xb5\x2f\xfd\x00"),
    "of many pieces": ("gzip", b"".join(gzip.compress(bytes([sign])) for sign in body())),
    "not what it says": ("deflate", gzip.compress(body())),
}


@pytest.mark.parametrize("way", UNREADABLE)
def test_what_cannot_be_undone_is_a_400_that_says_what_to_send_and_kept(
    client: FlaskClient, way: str
) -> None:
    name, data = UNREADABLE[way]
    response = client.post(URL, data=data, headers={"Content-Encoding": name})
    assert (response.status_code, response.content_type) == (400, "application/problem+json")
    assert response.json is not None
    assert "gzip or deflate" in response.json["detail"]
    quarantine = client.get("/api/quarantine", headers=BEARER).json
    assert quarantine is not None
    assert len(quarantine["deliveries"]) == 1


def bomb(size: int) -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb") as squeezed:
        for _ in range(size >> 20):
            squeezed.write(b" " * (1 << 20))
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("gzip", bomb(64 << 20)),
        ("gzip, gzip", gzip.compress(bomb(256 << 20))),
        ("deflate", zlib.compress(b" " * ((1 << 20) + 1))),
        ("gzip", gzip.compress(b" " * (1 << 19)) * 4),
    ],
    ids=["a bomb", "a bomb in a bomb", "one byte too many", "in pieces"],
)
def test_what_would_be_larger_than_the_limit_is_a_413_and_not_kept(
    runtime: Runtime, name: str, data: bytes
) -> None:
    client = build_app(runtime).test_client()
    assert len(data) < 1 << 20
    response = client.post(URL, data=data, headers={"Content-Encoding": name})
    assert (response.status_code, response.content_type) == (413, "application/problem+json")
    assert client.get("/api/quarantine", headers=BEARER).json == {"deliveries": [], "next": None}
    assert refused(runtime) == {"too_large": 1}


def test_a_body_of_exactly_the_limit_is_taken_however_it_is_encoded(client: FlaskClient) -> None:
    whole = body() + b" " * ((1 << 20) - len(body()))
    assert client.post(URL, data=whole).status_code == 200
    response = client.post(URL, data=gzip.compress(whole), headers={"Content-Encoding": "gzip"})
    assert response.json is not None
    assert response.json["result"] == "duplicate"


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        (
            "application/x-www-form-urlencoded",
            b"payload=" + body().replace(b"%", b"%25").replace(b"&", b"%26"),
        ),
        (
            "multipart/form-data; boundary=xyz",
            b'--xyz\r\nContent-Disposition: form-data; name="data"\r\n\r\n' + body() + b"\r\n--xyz--\r\n",
        ),
        ("text/plain", json.dumps(body().decode()).encode()),
        ("application/json", b"[" + body() + b"]"),
        ("", body()),
        ("application/json; charset=GBK", body()),
    ],
)
def test_a_wrapped_body_is_accepted_whatever_its_type(
    client: FlaskClient, content_type: str, data: bytes
) -> None:
    response = client.post(URL, data=data, content_type=content_type)
    assert response.json is not None
    assert (response.status_code, response.json["result"]) == (200, "accepted")
    assert deliveries(client)[0]["body"] == data.decode()


@pytest.mark.parametrize("notes", [3500, 11_000])
def test_a_large_midi_callback_is_stored(client: FlaskClient, notes: int) -> None:
    played = [{"pitch": 60, "start": n / 7, "end": str(n / 7 + 0.5), "velocity": 0.75} for n in range(notes)]
    fields = {
        "code": 200,
        "task_id": "task-1",
        "data": {"state": "complete", "instruments": [{"name": "P", "notes": played}]},
    }
    data = json.dumps(fields).encode()
    assert 290_000 < len(data) < 1 << 20
    response = client.post(URL, data=data)
    assert response.json is not None
    assert (response.status_code, response.json["result"], response.json["product"]) == (
        200,
        "unsupported",
        "midi",
    )
    assert deliveries(client)[0]["body"] == data.decode()
