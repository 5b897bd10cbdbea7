"""`POST /callbacks/<token>`: each response of docs/api.md, row by row, through the front door."""

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from receiver.app import build_app
from receiver.core.signature import sign
from receiver.runtime import Runtime
from receiver.store import hourly_counts, quarantine, tasks
from receiver.store.quarantine import QuarantineFilter
from tests.conftest import API_TOKEN, BOTH_STORES, CALLBACK_TOKEN, PAYLOADS, json_of

pytestmark = BOTH_STORES

URL = f"/callbacks/{CALLBACK_TOKEN}"
BEARER = {"Authorization": f"Bearer {API_TOKEN}"}


@pytest.fixture
def client(runtime: Runtime) -> FlaskClient:
    return build_app(runtime).test_client()


def body(task_id: str = "task-1", **data: Any) -> dict[str, Any]:
    row = {"id": "a", "audio_url": "https://example.org/a.mp3", "prompt": "secret lyrics", "title": "Tides"}
    return {
        "code": 200,
        "msg": "ok",
        "data": {"callbackType": "complete", "task_id": task_id, "data": [row], **data},
    }


def stored(client: FlaskClient, task_id: str) -> list[dict[str, Any]]:
    response = client.get(f"/api/tasks/{task_id}/deliveries", headers=BEARER)
    return list(json_of(response)["deliveries"])


def test_a_readable_callback_is_accepted_and_stored(client: FlaskClient) -> None:
    client.post("/api/tasks", json={"taskId": "task-1"}, headers=BEARER)
    response = client.post(URL, json=body())
    assert response.status_code == 200
    expected = {"result": "accepted", "taskId": "task-1", "status": "SUCCESS", "outcome": "succeeded"}
    assert response.json == expected
    assert [row["result"] for row in stored(client, "task-1")] == ["accepted"]


def test_the_same_content_again_is_a_duplicate_and_changes_nothing(client: FlaskClient) -> None:
    client.post(URL, json=body())
    before = json_of(client.get("/api/tasks/task-1", headers=BEARER))
    again = json.dumps(dict(reversed(body().items())), indent=3)
    assert json_of(client.post(URL, data=again))["result"] == "duplicate"
    after = json_of(client.get("/api/tasks/task-1", headers=BEARER))
    assert after["callbacks"] == 2
    passing = {"callbacks", "lastCallbackAt"}
    assert {k: v for k, v in after.items() if k not in passing} == {
        k: v for k, v in before.items() if k not in passing
    }
    first, second = stored(client, "task-1")
    assert (first["repeats"], second["repeats"], second["body"]) == (None, first["id"], None)


def test_a_known_task_with_an_unreadable_rest_is_quarantined_and_due_at_once(client: FlaskClient) -> None:
    response = client.post(URL, json=body(data="garbage"))
    assert response.status_code == 200
    assert response.json is not None
    assert response.json["result"] == "quarantined"
    assert "data.data" in response.json["errors"]
    task = json_of(client.get("/api/tasks/task-1", headers=BEARER))
    assert task["nextPollAt"] <= task["lastCallbackAt"]
    quarantine = json_of(client.get("/api/quarantine", headers=BEARER))
    assert json.loads(quarantine["deliveries"][0]["body"]) == body(data="garbage")


@pytest.mark.parametrize(
    ("sample", "product"),
    [
        ("cb-wav-success-snake", "wav"),
        ("cb-lyrics-complete-docs-sunoapi", "lyrics"),
        ("cb-mp4-error-docs", "mp4"),
        ("cb-vocal-removal-error-docs", "vocal_removal"),
        ("cb-cover-image-success-docs", "cover_image"),
        ("cb-midi-success-docs-root-task-id", "midi"),
        ("cb-kie-market-shape", "market"),
    ],
)
def test_a_sister_product_is_stored_and_not_taken_for_music(
    client: FlaskClient, sample: str, product: str
) -> None:
    response = client.post(URL, data=(PAYLOADS / f"{sample}.json").read_bytes())
    assert response.status_code == 200
    assert response.json is not None
    assert (response.json["result"], response.json["product"]) == ("unsupported", product)
    [row] = stored(client, response.json["taskId"])
    failed = "error" in sample
    assert (row["product"], row["status"]) == (product, "GENERATE_AUDIO_FAILED" if failed else "SUCCESS")
    assert client.get(f"/api/tasks/{response.json['taskId']}", headers=BEARER).status_code == 404


@pytest.mark.parametrize("text", ['{"code": 200, "data": {}}', "[1, 2]", '"words"', "null", "17"])
def test_json_without_a_task_id_is_a_422_and_kept(client: FlaskClient, text: str) -> None:
    response = client.post(URL, data=text)
    assert response.status_code == 422
    assert response.content_type == "application/problem+json"
    assert response.json is not None
    assert response.json.keys() >= {"title", "status", "detail", "errors"}
    quarantine = json_of(client.get("/api/quarantine", headers=BEARER))
    assert quarantine["deliveries"][0]["body"] == text


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe\x00", b"<html>", b"[" * 100_000, b"NaN", b"9" * 5000])
def test_what_is_not_json_is_a_400_and_kept(client: FlaskClient, raw: bytes) -> None:
    response = client.post(URL, data=raw)
    assert response.status_code == 400
    assert response.content_type == "application/problem+json"
    assert len(json_of(client.get("/api/quarantine", headers=BEARER))["deliveries"]) == 1


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000])
def test_a_number_that_is_none_loses_its_field_and_never_comes_out_of_the_api(
    client: FlaskClient, number: str
) -> None:
    row = f'{{"id": "a", "duration": {number}, "title": {number}, "tags": "calm", "x": {number}}}'
    data = f'{{"callbackType": "text", "task_id": "t", "data": [{row}]}}'
    response = client.post(URL, data=f'{{"code": 200, "msg": {number}, "data": {data}}}')
    assert (response.status_code, json_of(response)["result"]) == (200, "accepted")

    def refuse(name: str) -> None:
        raise AssertionError(name)

    for path in ("/api/tasks/t", "/api/tasks", "/api/tasks/t/deliveries"):
        text = client.get(path, headers=BEARER).get_data(as_text=True)
        page = json.loads(text, parse_constant=refuse)
    assert page["deliveries"][0]["errors"].keys() == {"msg", "data.data.0.duration", "data.data.0.title"}


def test_a_body_over_the_limit_is_a_413_and_not_kept(new_runtime: Callable[..., Runtime]) -> None:
    runtime = new_runtime(MAX_BODY_BYTES="100")
    client = build_app(runtime).test_client()
    response = client.post(URL, data=b"x" * 101)
    assert response.status_code == 413
    assert response.content_type == "application/problem+json"
    runtime.intake.flush_counts()
    with runtime.database.read() as connection:
        assert quarantine.find(connection, QuarantineFilter(), limit=1) == []
        assert hourly_counts.totals(connection, "callback") == {"callback": {"too_large": 1}}


def test_a_wrong_token_is_a_404_counted_and_not_kept(runtime: Runtime) -> None:
    client = build_app(runtime).test_client()
    response = client.post("/callbacks/wrong-token-0000000", json=body())
    assert response.status_code == 404
    runtime.intake.flush_counts()
    with runtime.database.read() as connection:
        assert hourly_counts.totals(connection, "callback") == {"callback": {"wrong_token": 1}}
        assert tasks.load(connection, "task-1") is None


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
def test_any_other_method_is_a_405(client: FlaskClient, method: str) -> None:
    response = client.open(URL, method=method)
    assert response.status_code == 405
    assert response.content_type == "application/problem+json"
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "POST"}


def test_every_accepted_token_opens(new_runtime: Callable[..., Runtime]) -> None:
    client = build_app(new_runtime(CALLBACK_TOKENS="new-token-00000001,old-token-00000001")).test_client()
    for number, token in enumerate(("new-token-00000001", "old-token-00000001")):
        assert client.post(f"/callbacks/{token}", json=body(f"task-{number}")).status_code == 200


class TestSigned:
    KEY = "a-key-to-sign-with"

    @pytest.fixture
    def client(self, new_runtime: Callable[..., Runtime]) -> FlaskClient:
        return build_app(new_runtime(SIGNING_KEY=self.KEY)).test_client()

    def headers(self, *, task_id: str = "task-1", age_s: int = 0) -> dict[str, str]:
        timestamp = str(int(time.time()) - age_s)
        signature = sign(self.KEY, task_id=task_id, timestamp=timestamp)
        return {"X-Webhook-Timestamp": timestamp, "X-Webhook-Signature": signature}

    def test_a_valid_signature_is_let_in(self, client: FlaskClient) -> None:
        assert client.post(URL, json=body(), headers=self.headers()).status_code == 200

    def test_missing_wrong_and_stale_signatures_are_401_and_nothing_is_kept(
        self, client: FlaskClient
    ) -> None:
        for headers in ({}, self.headers(task_id="other"), self.headers(age_s=301)):
            response = client.post(URL, json=body(), headers=headers)
            assert response.status_code == 401
            assert response.content_type == "application/problem+json"
        assert client.get("/api/tasks/task-1", headers=BEARER).status_code == 404


def test_a_database_that_takes_no_writes_is_a_503_and_never_a_200(runtime: Runtime, tmp_path: Path) -> None:
    client = build_app(runtime).test_client()
    with runtime.database.write() as connection:
        if runtime.database.is_sqlite:  # a full disk; for this connection, the one in the pool
            connection.exec_driver_sql("PRAGMA max_page_count = 1")
        else:  # a server that has become a standby
            connection.exec_driver_sql("SET default_transaction_read_only = on")
    big = body(padding="x" * 200_000)
    response = client.post(URL, json=big)
    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert response.content_type == "application/problem+json"
    with runtime.database.read() as connection:
        assert tasks.load(connection, "task-1") is None


def test_no_log_line_holds_a_secret_or_a_lyric(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("receiver"), "propagate", True)
    with caplog.at_level(logging.DEBUG):
        client.post(URL, json=body())
        client.post(URL, json=body(data="secret lyrics"))
        client.post("/callbacks/wrong-token-0000000", json=body())
    logged = " ".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert "task-1" in logged
    for hidden in (CALLBACK_TOKEN, "wrong-token", "secret lyrics", "Tides"):
        assert hidden not in logged


def test_the_callback_token_is_removed_before_anything_is_stored(client: FlaskClient) -> None:
    param = json.dumps({"callBackUrl": f"https://me.example.org/callbacks/{CALLBACK_TOKEN}", "model": "V5"})
    old = json.dumps({"callBackUrl": "https://me.example.org/callbacks/forgotten-token-1"})
    client.post(URL, json={"code": 200, "data": {"taskId": "task-1", "status": "PENDING", "param": param}})
    client.post(URL, json={"code": 200, "data": {"taskId": "task-2", "status": "PENDING", "param": old}})
    for task_id in ("task-1", "task-2"):
        shown = client.get(f"/api/tasks/{task_id}", headers=BEARER).text + str(stored(client, task_id))
        assert CALLBACK_TOKEN not in shown
        assert "forgotten-token-1" not in shown
        assert "[removed]" in shown
