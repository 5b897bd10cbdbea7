"""One line an event, each with the id of its request, and nothing in it that a sender or a secret said."""

import io
import json
import logging
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

import pytest

from receiver.app import build_app
from receiver.logs import LineFormatter, LineHandler, redact_line, request_id
from receiver.runtime import Runtime
from tests.conftest import CALLBACK_TOKEN, eventually
from tests.web.admin.page import CALLBACKS


def record(message: str, *arguments: object, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("receiver.x", logging.INFO, "", 0, message, arguments, None)
    made.fields = fields
    return made


def line(message: str, *, as_json: bool, **fields: object) -> str:
    return LineFormatter(as_json=as_json).format(record(message, **fields))


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """What the receiver logs, as JSON lines."""
    stream, logger = io.StringIO(), logging.getLogger("receiver")
    handler, level = logging.StreamHandler(stream), logger.level
    handler.setFormatter(LineFormatter(as_json=True))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(level)


def lines_of(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_tells_the_same_as_text_and_as_json() -> None:
    request_id.set("id-1")
    text = line("delivery", as_json=False, task="t 1", bytes=3)
    assert re.fullmatch(r'\S+Z?\S* info receiver\.x: delivery request=id-1 task="t 1" bytes=3', text)
    entry = json.loads(line("delivery", as_json=True, task="t 1", bytes=3))
    assert (entry["message"], entry["request"], entry["task"], entry["bytes"]) == (
        "delivery",
        "id-1",
        "t 1",
        3,
    )
    request_id.set(None)
    assert "request" not in json.loads(line("poller", as_json=True))


def test_a_request_keeps_a_sane_id_and_gets_a_new_one_for_another(
    runtime: Runtime, logged: io.StringIO
) -> None:
    client = build_app(runtime).test_client()
    for given in ("a", "7b3f-9.c_0", "x" * 64):
        assert client.get("/healthz", headers={"X-Request-Id": given}).headers["X-Request-Id"] == given
    for given in ("", "x" * 65, "two words", 'quote"', "ä", "a;b"):
        made = client.get("/nowhere", headers={"X-Request-Id": given}).headers["X-Request-Id"]
        assert re.fullmatch("[0-9a-f]{32}", made)
    answer = client.post("/callbacks/wrong-token-0000000", json={})
    assert [entry["request"] for entry in lines_of(logged)] == [answer.headers["X-Request-Id"]]
    assert request_id.get() is None, "what the thread logs next is of no request"


def test_callbacks_that_share_a_commit_are_each_logged_with_their_own_id(
    runtime: Runtime, logged: io.StringIO
) -> None:
    app = build_app(runtime)

    def send(number: int) -> None:
        body = {"code": 200, "data": {"callbackType": "first", "task_id": f"task-{number}", "data": []}}
        app.test_client().post(CALLBACKS, json=body, headers={"X-Request-Id": f"id-{number}"})

    senders = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    with runtime.database.write():  # the first waits for it, and the others for the first
        for sender in senders:
            sender.start()
        eventually(lambda: len(runtime.intake._group._waiting) == 3)
    for sender in senders:
        sender.join()
    request_ids = {
        entry["task"]: entry["request"] for entry in lines_of(logged) if entry["message"] == "delivery"
    }
    assert request_ids == {f"task-{number}": f"id-{number}" for number in range(4)}


def test_many_threads_write_each_line_whole(capfd: pytest.CaptureFixture[str]) -> None:
    handler = LineHandler()
    handler.setFormatter(LineFormatter(as_json=True))
    texts = [f"{number}-" + "\ud800\N{SNOWMAN}x" * 300 for number in range(400)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda text: handler.handle(record("long", text=text)), texts))
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert sorted(line["text"] for line in lines) == sorted(texts)


def test_a_line_that_cannot_be_made_harms_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    LineHandler().handle(record("%d", "no number"))
    assert "Logging error" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("said", "logged_as"),
    [
        ("Invalid request from ip=::1: Invalid HTTP request line: 'POST /callbacks/tok en HTTP/1.1'",
         "Invalid request from ip=::1: Invalid HTTP request line: [removed]"),
        ("Invalid request from ip=1.2.3.4: Invalid chunk size: b'my \\'lyrics\\''",
         "Invalid request from ip=1.2.3.4: Invalid chunk size: [removed]"),
        ("Invalid request from ip=1.2.3.4: Request Line is too large (5000 > 4094)",
         "Invalid request from ip=1.2.3.4: Request Line is too large (5000 > 4094)"),
        ("Error handling request POST https://h/%63allbacks/tok", "Error handling request [removed]"),
        (f"no room for /callbacks%2F{CALLBACK_TOKEN} here", "no room for /callbacks%2F[removed] here"),
        ("Listening at: http://127.0.0.1:8000 (17)", "Listening at: http://127.0.0.1:8000 (17)"),
    ],
)  # fmt: skip
def test_what_a_sender_said_is_cut_out_of_the_servers_lines(said: str, logged_as: str) -> None:
    assert redact_line(said) == logged_as


def test_a_fault_is_logged_with_its_traceback_and_without_the_address(
    runtime: Runtime, logged: io.StringIO
) -> None:
    app = build_app(runtime)

    @app.post("/fails")
    def _fails() -> NoReturn:
        raise RuntimeError(f"cannot redirect to {CALLBACKS}")

    answer = app.test_client().post("/fails")
    assert answer.status_code == 500
    (entry,) = lines_of(logged)
    assert entry["request"] == answer.headers["X-Request-Id"]
    assert "RuntimeError: cannot redirect to /callbacks/[removed]" in str(entry["error"])
    assert CALLBACK_TOKEN not in logged.getvalue()
