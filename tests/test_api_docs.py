"""docs/api.md is played: its requests go to a real application, and each response is the one that it shows."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from markdown_it import MarkdownIt
from werkzeug.test import TestResponse

from receiver.app import build_app
from receiver.web.endpoints import ENDPOINTS, Endpoint
from receiver.web.error_types import ErrorType
from tests.conftest import API_TOKEN, CALLBACK_TOKEN, json_of
from tests.world import World

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "api.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
TRACK = {"id": "e2f1", "audioUrl": "https://cdn.example.com/e2f1.mp3", "title": "Whispering Tides"}
MORE = "…"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
NUMBERS_OF_THE_MOMENT = {"heartbeatAge"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A request, and the response as the document shows it."""

    method: str
    target: str
    headers: dict[str, str]
    body: str
    status: str
    response_headers: dict[str, str]
    response_body: str

    def __str__(self) -> str:
        return f"{self.method} {self.target}"


def read_examples() -> Iterator[Example]:
    """The `http` blocks of the document, which are requests and responses in turn."""
    blocks = [token.content for token in MarkdownIt().parse(TEXT) if token.info == "http"]
    for request, response in zip(blocks[::2], blocks[1::2], strict=True):
        (method, target), headers, body = _parts_of(request)
        (version, status), response_headers, response_body = _parts_of(response)
        assert version == "HTTP/1.1", f"not a response to {method} {target}: {response}"
        yield Example(
            method=method,
            target=target,
            headers=headers,
            body=body,
            status=status,
            response_headers=response_headers,
            response_body=response_body,
        )


def _parts_of(block: str) -> tuple[Sequence[str], dict[str, str], str]:
    head, _, body = block.partition("\n\n")
    first, *lines = head.splitlines()
    return first.split(" ", 1), dict(line.split(": ", 1) for line in lines), body.strip()


EXAMPLES = list(read_examples())


@dataclass(slots=True)
class Player:
    """Plays examples one after the other; what the document abbreviates is remembered for the requests to come."""

    client: FlaskClient
    learned: dict[str, str] = field(default_factory=dict)

    def play(self, example: Example) -> TestResponse:
        response = self.client.open(
            self._filled(example.target),
            method=example.method,
            headers={name: self._filled(value) for name, value in example.headers.items()},
            data=example.body or None,
        )
        assert response.status == example.status, f"{example}: {response.text}"
        for name, value in example.response_headers.items():
            self._compare(value, response.headers.get(name), f"{example}: {name}")
        if response.is_json:
            self._compare(json.loads(example.response_body), json.loads(response.text), str(example))
        else:
            self._compare_lines(example, response.text)
        return response

    def _filled(self, text: str) -> str:
        """The text with the tokens of this test, and with what stood for an abbreviation before."""
        known = {"CALLBACK_TOKEN": CALLBACK_TOKEN, "API_TOKEN": API_TOKEN} | self.learned
        for shown, real in known.items():
            text = text.replace(shown, real)
        return text

    def _compare(self, shown: Any, real: Any, where: str) -> None:
        if isinstance(shown, dict) and isinstance(real, dict):
            names = [name for name in shown if name != MORE]
            present = [name for name in real if name in shown or MORE not in shown]
            assert names == present, f"{where}: the keys are {list(real)}"
            for name in names:
                self._compare(shown[name], real[name], f"{where}.{name}")
        elif isinstance(shown, list) and isinstance(real, list):
            several = MORE in shown
            assert len(shown) == len(real) or (several and len(shown) <= len(real)), f"{where}: {real}"
            for place, (item, other) in enumerate(zip(shown, real, strict=False)):
                self._compare(item, other, f"{where}.{place}")
        elif where.rpartition(".")[2] in NUMBERS_OF_THE_MOMENT and shown is not None:
            assert isinstance(real, int | float), where
        else:
            self._compare_values(shown, real, where)

    def _compare_values(self, shown: Any, real: Any, where: str) -> None:
        if not isinstance(shown, str) or not isinstance(real, str):
            assert (shown, type(shown)) in ((MORE, str), (real, type(real))), f"{where} is {real!r}"
        elif TIME.fullmatch(shown):
            assert TIME.fullmatch(real) and len(real) == len(shown), f"{where} is {real!r}"
        else:
            pattern = ".*".join(map(re.escape, shown.split(MORE)))
            assert re.fullmatch(pattern, real, re.DOTALL), f"{where} is {real!r}"
            if MORE in shown and shown != MORE:
                self.learned[shown] = real

    @staticmethod
    def _compare_lines(example: Example, text: str) -> None:
        """A body that is no JSON: each line of the document is one of the response."""
        shown = [line for line in example.response_body.splitlines() if line != MORE]
        missing = set(shown) - set(text.splitlines())
        assert not missing, f"{example} has no line {missing}"
        assert shown or not text, f"{example}: {text!r}"


@pytest.fixture
def app(world: World) -> Flask:
    return build_app(world.runtime)


def test_every_example_gets_the_response_that_is_shown(app: Flask, world: World) -> None:
    player = Player(app.test_client())
    for example in EXAMPLES:
        response = player.play(example)
        if example.target.endswith("/poll") and response.status_code == 202:
            world.answers(example.target.split("/")[-2], "SUCCESS", TRACK)
            world.clock.now = datetime.now(UTC)
            assert world.run().answered == 1


def documented_endpoints() -> set[tuple[str, str]]:
    return set(re.findall(r"^### `(\w+) (/\S+)`$", TEXT, flags=re.MULTILINE))


def test_every_endpoint_is_documented(app: Flask) -> None:
    assert documented_endpoints() == set(endpoints_of(app))


def endpoints_of(app: Flask) -> Iterator[tuple[str, str]]:
    """Those for programs; `HEAD` and `OPTIONS` are the framework's, and the callback takes every method itself."""
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        if rule.endpoint == "callbacks.receive":
            yield from (("GET", "/callbacks/{token}"), ("POST", "/callbacks/{token}"))
        elif not path.startswith(("/admin", "/static")) and path != "/":
            path = path.replace("{task_id}", "{taskId}")
            yield from ((method, path) for method in (rule.methods or set()) - {"HEAD", "OPTIONS"})


@pytest.mark.parametrize("endpoint", sorted(documented_endpoints()), ids=" ".join)
def test_every_endpoint_has_an_example(endpoint: tuple[str, str]) -> None:
    method, path = endpoint
    pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[^/?]+", re.escape(path)) + r"(\?.*)?")
    assert [example for example in EXAMPLES if example.method == method and pattern.fullmatch(example.target)]


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.id)
def test_every_parameter_and_field_of_a_request_is_documented(endpoint: Endpoint) -> None:
    documented = fields_under(f"### `{endpoint.method} {endpoint.path}`")
    taken = {*endpoint.query.fields, *(endpoint.body.fields if endpoint.body else ())}
    assert taken == set(documented if taken else ())


def test_every_error_is_documented() -> None:
    documented = re.findall(r"^\| `(/docs#[\w-]+)` \| (\d+) \|", TEXT, flags=re.MULTILINE)
    assert documented == [(error.uri, str(error.status)) for error in ErrorType]


def fields_under(heading: str) -> list[str]:
    """The names in the first column of the table under this heading."""
    section = re.split(r"\n##+ ", TEXT.split(f"\n{heading}\n", 1)[1])[0]
    rows = re.findall(r"^\| (`[^|]*) \|", section, flags=re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`(\w+)`", row)]


class TestFields:
    """Each field that the application answers is in its table, in the same order, and no other."""

    @pytest.fixture
    def client(self, app: Flask) -> FlaskClient:
        client = app.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {API_TOKEN}"
        row = {"id": "e2f1", "audio_url": "https://cdn.example.com/e2f1.mp3"}
        data = {"task_id": "t", "callbackType": "complete", "data": [row]}
        body = {"code": 200, "msg": "success", "data": data}
        assert client.post(f"/callbacks/{CALLBACK_TOKEN}", json=body).status_code == 200
        return client

    def test_of_a_task(self, client: FlaskClient) -> None:
        assert fields_under("## The task") == list(json_of(client.get("/api/tasks/t")))

    def test_of_a_track(self, client: FlaskClient) -> None:
        assert fields_under("## The track") == list(json_of(client.get("/api/tasks/t"))["tracks"][0])

    def test_of_a_delivery(self, client: FlaskClient) -> None:
        assert fields_under("## The delivery") == list(
            json_of(client.get("/api/tasks/t/deliveries"))["deliveries"][0]
        )

    def test_of_the_poller(self, client: FlaskClient) -> None:
        assert fields_under("## The poller") == list(json_of(client.get("/api/stats"))["poller"])
