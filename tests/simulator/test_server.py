"""The simulator over HTTP: tasks, callbacks, faults, figures, connections."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from receiver.simulator import FAULTS, Simulator, SimulatorServer
from receiver.simulator.call_meter import max_in_window
from receiver.simulator.callback_sender import signature
from tests.conftest import eventually
from tests.simulator.conftest import CallbackReceiver

FAST = 2000.0
NOWHERE = "http://127.0.0.1:9/callbacks/token"


@contextmanager
def client(**options: Any) -> Iterator["Client"]:
    with SimulatorServer(Simulator(**options)) as server, requests.Session() as session:
        session.trust_env = False
        yield Client(server, session)


class Client:
    def __init__(self, server: SimulatorServer, session: requests.Session) -> None:
        self.server = server
        self.session = session

    def get(self, path: str, **headers: str) -> requests.Response:
        return self.session.get(self.server.url + path, headers=headers, timeout=10)

    def submit(self, url: str = NOWHERE) -> str:
        body = {"callBackUrl": url, "model": "V4", "prompt": "rain"}
        response = self.session.post(self.server.url + "/api/v1/generate", json=body, timeout=10).json()
        task_id: str = response["data"]["taskId"]
        assert (response["code"], response["msg"], len(task_id)) == (200, "success", 32)
        return task_id

    def record_info(self, task_id: str) -> requests.Response:
        return self.get(f"/api/v1/generate/record-info?taskId={task_id}")

    def status(self, task_id: str) -> str:
        status: str = self.record_info(task_id).json()["data"]["status"]
        return status

    def stats(self) -> Any:
        return self.get("/simulator/stats").json()


def test_a_task_goes_from_submit_to_success_and_is_called_back(callback_receiver: CallbackReceiver) -> None:
    with client(speed=FAST) as upstream:
        task_id = upstream.submit(callback_receiver.url + "/cb/token")
        eventually(lambda: upstream.status(task_id) == "SUCCESS")
        eventually(lambda: upstream.stats()["callbacksAnswered"] == {"200": 3})
        rows = upstream.record_info(task_id).json()["data"]["response"]["sunoData"]
        assert rows == upstream.get(f"/simulator/tasks/{task_id}").json()["tracks"]
        assert [each["taskId"] for each in upstream.get("/simulator/tasks").json()["tasks"]] == [task_id]
    assert {each.path for each in callback_receiver.received} == {"/cb/token"}
    assert callback_receiver.received[0].headers["Content-Type"] == "application/json"
    assert "X-Webhook-Signature" not in callback_receiver.received[0].headers


def test_the_same_seed_and_order_give_the_same_tasks() -> None:
    def task_ids(seed: int) -> list[str]:
        simulator = Simulator(seed=seed)
        return [simulator.submit({"callBackUrl": NOWHERE}) for _ in range(3)]

    assert task_ids(1) == task_ids(1)
    assert set(task_ids(1)).isdisjoint(task_ids(2))


def test_a_refused_callback_is_retried_three_times_and_ends_in_callback_exception(
    callback_receiver: CallbackReceiver,
) -> None:
    callback_receiver.status = 302
    with client(speed=20_000.0) as upstream:
        task_id = upstream.submit(callback_receiver.url + "/cb/token")
        eventually(lambda: upstream.stats()["callbacksPending"] == 0)
        data = upstream.record_info(task_id).json()["data"]
        truth = upstream.get(f"/simulator/tasks/{task_id}").json()
        assert upstream.stats()["callbacksAnswered"] == {"302": 12}
    assert data["status"] == "CALLBACK_EXCEPTION"
    assert data["response"]["sunoData"] == truth["tracks"]
    assert (truth["outcome"], truth["status"]) == ("succeeded", "SUCCESS")
    assert {each.path for each in callback_receiver.received} == {"/cb/token"}


def test_a_retry_that_is_accepted_leaves_the_task_a_success(callback_receiver: CallbackReceiver) -> None:
    callback_receiver.status = 500
    with client(speed=500.0) as upstream:
        task_id = upstream.submit(callback_receiver.url + "/cb/token")
        eventually(lambda: upstream.stats()["callbacksAnswered"].get("500", 0) >= 3)
        callback_receiver.status = 200
        eventually(lambda: upstream.stats()["callbacksPending"] == 0)
        assert upstream.status(task_id) == "SUCCESS"


def test_an_unreachable_receiver_counts_as_no_response() -> None:
    with client(speed=20_000.0) as upstream:
        task_id = upstream.submit(NOWHERE)
        upstream.submit("not a url")
        eventually(lambda: upstream.stats()["callbacksPending"] == 0)
        assert upstream.stats()["callbacksAnswered"] == {"none": 24}
        assert upstream.status(task_id) == "CALLBACK_EXCEPTION"


def test_a_slow_receiver_does_not_hold_up_the_others(callback_receiver: CallbackReceiver) -> None:
    callback_receiver.held_path = "/slow"
    with client(speed=FAST) as upstream:
        upstream.submit(callback_receiver.url + "/slow")
        upstream.submit(callback_receiver.url + "/quick")
        eventually(lambda: upstream.stats()["callbacksAnswered"] == {"200": 3})
        assert upstream.stats()["callbacksPending"] == 3
        callback_receiver.release.set()


def test_forged_callbacks_are_sent_once_and_unsigned(callback_receiver: CallbackReceiver) -> None:
    callback_receiver.status = 404
    options = {"speed": 20_000.0, "signing_key": "key"}
    with client(faults={"callback-forged": 1, "all-callbacks-lost": 1}, **options) as upstream:
        upstream.submit(callback_receiver.url + "/cb/token")
        eventually(lambda: upstream.stats()["callbacksPending"] == 0)
        assert upstream.stats()["callbacksSent"] == 2
    assert len({each.path for each in callback_receiver.received}) == 2
    assert not any("X-Webhook-Signature" in each.headers for each in callback_receiver.received)


def test_the_signature_covers_task_id_and_timestamp(callback_receiver: CallbackReceiver) -> None:
    with client(speed=FAST, signing_key="key") as upstream:
        task_id = upstream.submit(callback_receiver.url + "/cb/token")
        eventually(lambda: len(callback_receiver.received) == 3)
    headers = callback_receiver.received[-1].headers
    timestamp = headers["X-Webhook-Timestamp"]
    assert abs(int(timestamp) - time.time()) < 30
    assert headers["X-Webhook-Signature"] == signature("key", task_id, timestamp)


def test_a_signature_is_the_one_computed_by_hand() -> None:
    assert signature("key", "task", "1700000000") == "gvI6gL9GybgZDXL/Mpk0Ccf/YM23cSLbj/iqVul3HJI="


@pytest.mark.parametrize(
    ("fault", "http_status", "code"),
    [
        ("rate-limited", 429, 429),
        ("maintenance", 200, 455),
        ("server-error", 500, 500),
        ("refused", 200, 401),
    ],
)
def test_a_call_fault_responds_with_its_codes(fault: str, http_status: int, code: int) -> None:
    with client(faults={fault: 1}) as upstream:
        response = upstream.record_info("a")
    assert (response.status_code, response.json()["code"]) == (http_status, code)
    assert response.headers.get("Retry-After") == ("1" if fault == "rate-limited" else None)


def test_the_html_fault_sends_a_page_with_status_200() -> None:
    with client(faults={"html": 1}) as upstream:
        response = upstream.record_info("a")
    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


def test_the_timeout_fault_delays_the_response_for_as_long_as_configured() -> None:
    with client(faults={"timeout": 1}, hang_s=0.2) as upstream:
        started = time.monotonic()
        assert upstream.record_info("a").json()["data"] is None
        assert time.monotonic() - started >= 0.2


def test_stopping_does_not_wait_for_a_call_that_hangs() -> None:
    simulator = Simulator(faults={"timeout": 1}, hang_s=60)
    with SimulatorServer(simulator) as server:
        caller = threading.Thread(target=_ignore_response, args=(server.url,))
        caller.start()
        eventually(lambda: simulator.stats()["calls"] == 1)
        started = time.monotonic()
    caller.join(5)
    assert not caller.is_alive()
    assert time.monotonic() - started < 2


def _ignore_response(url: str) -> None:
    try:
        requests.get(f"{url}/api/v1/generate/record-info?taskId=a", timeout=20).close()
    except requests.RequestException:
        return


def test_faults_can_be_set_while_running() -> None:
    with client() as upstream:
        upstream.server.simulator.set_faults({"server-error": 1})
        assert upstream.record_info("a").status_code == 500
        upstream.server.simulator.set_faults({})
        assert upstream.record_info("a").json() == {"code": 200, "msg": "success", "data": None}


@pytest.mark.parametrize("faults", [{"no-such": 0.5}, {"html": 1.5}, {"html": -0.1}, {"html": float("nan")}])
def test_impossible_faults_are_refused(faults: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"no-such.*known: all-callbacks-lost|html"):
        Simulator(faults=faults)


def test_every_fault_is_described_by_one_sentence() -> None:
    assert len(FAULTS) == 40
    assert all(text.endswith(".") and "\n" not in text for text in FAULTS.values())


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b'{"prompt": "x"}', b'{"callBackUrl": ""}'])
def test_a_submit_without_callback_url_is_refused_in_http_200(body: bytes) -> None:
    with client() as upstream:
        response = upstream.session.post(upstream.server.url + "/api/v1/generate", data=body, timeout=5)
    assert response.status_code == 200
    assert (response.json()["code"], response.json()["msg"]) == (422, "Please enter callBackUrl.")


def test_a_wrong_api_key_is_refused_in_http_200() -> None:
    with client(api_key="right") as upstream:
        path = "/api/v1/generate/record-info?taskId=a"
        codes = [
            upstream.get(path, Authorization=a).json()["code"] for a in ("Bearer right", "Bearer x", "right")
        ]
        assert upstream.get(path).json()["msg"] == "You do not have access permissions"
    assert codes == [200, 401, 401]


def test_a_response_can_be_pinned_and_unpinned() -> None:
    with client(faults={"server-error": 1}) as upstream:
        url = upstream.server.url + "/simulator/tasks/some-id"
        assert upstream.session.put(url, json=["anything"], timeout=5).status_code == 204
        assert upstream.record_info("some-id").json() == ["anything"]
        upstream.server.simulator.put("some-id", {"a": 1}, http_status=418, headers={"X-Test": "yes"})
        pinned = upstream.record_info("some-id")
        assert (pinned.status_code, pinned.headers["X-Test"], pinned.json()) == (418, "yes", {"a": 1})
        assert [upstream.session.delete(url, timeout=5).status_code for _ in range(2)] == [204, 404]
        assert upstream.record_info("some-id").status_code == 500
        assert upstream.session.put(url, data=b"{", timeout=5).status_code == 400


def test_stats_count_calls_by_second_and_task() -> None:
    with client() as upstream:
        for task_id in ("a", "a", "b"):
            upstream.record_info(task_id)
        stats = upstream.stats()
        assert upstream.get("/simulator/stats?window=60").json()["busiestSecond"] == 3
        assert upstream.get("/simulator/stats?window=0").status_code == 400
    assert stats["tasks"] == 0
    assert (stats["calls"], stats["busiestSecond"], stats["busiestTaskSecond"]) == (3, 3, 2)
    assert stats["concurrentTask"] == 1
    assert (stats["callbacksSent"], stats["callbacksAnswered"], stats["callbacksPending"]) == (0, {}, 0)


def test_stats_count_simultaneous_calls_for_one_task() -> None:
    simulator = Simulator(faults={"timeout": 1}, hang_s=60)
    with SimulatorServer(simulator) as server:
        threads = [threading.Thread(target=_ignore_response, args=(server.url,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        eventually(lambda: simulator.stats()["concurrentTask"] == 3)
    for thread in threads:
        thread.join(5)


@pytest.mark.parametrize(
    ("arrivals", "most"),
    [([], 0), ([0.0], 1), ([0.0, 1.0], 1), ([0.0, 0.999], 2), ([0.0, 0.6, 1.1, 1.2, 2.5], 3)],
)
def test_the_busiest_window_slides(arrivals: list[float], most: int) -> None:
    assert max_in_window(arrivals, 1.0) == most


def test_one_connection_carries_many_requests_even_after_an_unread_body() -> None:
    with SimulatorServer(Simulator()) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        used = set()
        for method, path in (
            ("POST", "/nowhere"),
            ("DELETE", "/simulator/tasks/a"),
            ("GET", "/simulator/stats"),
        ):
            connection.request(method, path, body=b"x" * 100_000)
            response = connection.getresponse()
            body = response.read()
            used.add(connection.sock.getsockname())
        assert json.loads(body)["calls"] == 0
        assert len(used) == 1
        started = time.monotonic()
    assert time.monotonic() - started < 1
    connection.close()


def test_a_taken_port_is_an_error_and_not_an_exit() -> None:
    with SimulatorServer(Simulator()) as server, pytest.raises(OSError, match="cannot listen"):
        SimulatorServer(Simulator(), port=server.port).start()
