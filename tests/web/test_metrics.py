"""`GET /metrics`: which metrics, for whom, and when things are bad."""

import math
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event

from receiver.app import build_app
from receiver.clock import utc_now
from receiver.core.observation import Source
from receiver.core.results import DeliveryResult
from receiver.core.upstream_health import UpstreamHealth
from receiver.intake import poll_delivery
from receiver.operations import register_task
from receiver.runtime import Runtime
from receiver.store import hourly_counts, lease, new_deliveries, upstream_status
from receiver.store.deliveries import StoredDelivery
from receiver.store.health_queries import MAX_NEWEST_DELIVERIES
from receiver.web.database_metrics import read_database_metrics
from tests.conftest import API_TOKEN, BOTH_STORES, CALLBACK_TOKEN
from tests.web.admin.page import BEARER, CALLBACKS, make_overdue, tell
from tests.world import SOMEBODY

AFAR = {"environ_overrides": {"REMOTE_ADDR": "203.0.113.9"}}


@pytest.fixture
def client(runtime: Runtime) -> FlaskClient:
    return build_app(runtime).test_client()


def read(client: FlaskClient) -> Callable[..., float | None]:
    """The metrics, by name (without `receiver_`) and labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    metric = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    return lambda name, **labels: metric.get((f"receiver_{name}", *sorted(labels.items())))


class TestWho:
    def test_a_program_on_this_machine_needs_no_token(self, client: FlaskClient) -> None:
        for address in ("127.0.0.1", "127.8.8.8", "::1", ""):  # the last is a unix socket's
            assert client.get("/metrics", environ_overrides={"REMOTE_ADDR": address}).status_code == 200

    def test_from_elsewhere_a_token_of_the_api_is_needed(self, client: FlaskClient) -> None:
        assert client.get("/metrics", headers=BEARER, **AFAR).status_code == 200
        for wrong in ({}, {"Authorization": "Bearer wrong-token-00000"}, {"Authorization": API_TOKEN}):
            answer = client.get("/metrics", headers=wrong, **AFAR)
            assert answer.status_code == 401
            assert answer.content_type == "application/problem+json"

    @pytest.mark.parametrize("trusted", ["0", "1", "2"])
    @pytest.mark.parametrize(
        "header",
        ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded", "X-Real-IP", "Forwarded", "Via",
         "CF-Connecting-IP", "CF-Ray", "True-Client-IP", "X-Client-IP", "X-Cluster-Client-IP", "Fastly-Client-IP",
         "Fly-Client-IP", "X-Azure-ClientIP", "X-Amzn-Trace-Id", "X-Envoy-External-Address", "X-Original-Forwarded-For",
         "X-ProxyUser-Ip", "Max-Forwards", "X-Scheme", "Referer", "Origin", "X-Some-CDN-Of-Tomorrow"],
    )  # fmt: skip
    def test_a_proxy_on_this_machine_speaks_for_the_world(
        self, new_runtime: Callable[..., Runtime], header: str, trusted: str
    ) -> None:
        client = build_app(new_runtime(TRUSTED_PROXIES=trusted)).test_client()
        assert client.get("/metrics", headers={header: "127.0.0.1"}).status_code == 401
        assert client.get("/metrics", headers={header: "127.0.0.1", **BEARER}).status_code == 200

    @pytest.mark.parametrize(
        "host", ["receiver.example.org", "10.0.0.11:8000", "localhost.evil.example", "[::2]:8000"]
    )
    def test_a_request_for_another_host_came_by_a_proxy(self, client: FlaskClient, host: str) -> None:
        assert client.get("/metrics", headers={"Host": host}).status_code == 401
        assert client.get("/metrics", headers={"Host": host, **BEARER}).status_code == 200

    @pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:8000", "[::1]:8000", "127.0.0.2"])
    def test_what_prometheus_sends_is_no_proxys(self, client: FlaskClient, host: str) -> None:
        sent = {"Host": host, "Accept": "text/plain", "Accept-Encoding": "gzip", "User-Agent": "Prometheus/3"}
        sent |= {"X-Prometheus-Scrape-Timeout-Seconds": "10", "Connection": "keep-alive"}
        assert client.get("/metrics", headers=sent).status_code == 200

    def test_behind_a_proxy_everybody_needs_a_token(self, new_runtime: Callable[..., Runtime]) -> None:
        client = build_app(new_runtime(TRUSTED_PROXIES="1")).test_client()
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers=BEARER).status_code == 200


@BOTH_STORES
class TestCounts:
    def test_callbacks_and_polls_are_counted_by_result(self, client: FlaskClient, runtime: Runtime) -> None:
        before = read(client)
        assert before("callbacks_total", result="wrong_token") == 0  # so that the first is an increase
        tell(client)
        tell(client)
        client.post(CALLBACKS, data="not JSON")
        client.post("/callbacks/wrong-token-0000000", json={})
        runtime.intake.flush_counts()
        runtime.intake.accept([poll_delivery(b"{}", "task-1", now=utc_now(), secrets=())])
        metric = read(client)
        for result in ("accepted", "duplicate", "quarantined", "wrong_token"):
            assert metric("callbacks_total", result=result) == 1
        assert metric("polls_total", result="unknown") == 1
        assert metric("quarantined_deliveries") == 1

    def test_a_reading_again_never_makes_the_quarantines_counter_fall(
        self, client: FlaskClient, runtime: Runtime
    ) -> None:
        client.post(CALLBACKS, data="not JSON")
        hour = hourly_counts.hour_of(utc_now())
        again = {("callback", "quarantined"): -1, ("callback", "accepted"): 1, ("reread", "callback"): 1}
        with runtime.database.write() as connection:
            hourly_counts.add(connection, Counter({(hour, *key): count for key, count in again.items()}))
        metric = read(client)
        assert metric("callbacks_total", result=DeliveryResult.QUARANTINED) == 1
        assert metric("callbacks_total", result=DeliveryResult.ACCEPTED) == 1

    def test_tasks_are_counted_by_outcome_and_by_how_they_ended(
        self, new_runtime: Callable[..., Runtime]
    ) -> None:
        runtime = new_runtime(CONFIRM="never")
        client = build_app(runtime).test_client()
        tell(client, "called-back")
        tell(client, "begun", "first")
        register_task(runtime, "asked", label=None, now=utc_now(), actor=SOMEBODY)
        body = (
            b'{"code": 200, "data": {"taskId": "asked", "status": "SUCCESS",'
            b' "response": {"sunoData": [{"id": "a", "audioUrl": "https://example.org/a.mp3"}]}}}'
        )
        runtime.intake.accept([poll_delivery(body, "asked", now=utc_now(), secrets=())])
        metric = read(client)
        assert metric("tasks", outcome="succeeded") == 2
        assert metric("tasks", outcome="in_progress") == 1
        assert metric("recovered_tasks") == 1
        assert metric("lost_callback_tasks") == 1

    def test_pauses_refusals_and_calls_are_measured(self, client: FlaskClient, runtime: Runtime) -> None:
        now = utc_now()
        assert read(client)("poller_state", state="polling") == 1
        with runtime.database.write() as connection:
            upstream_status.save_health(
                connection,
                UpstreamHealth(failures=1, trouble="limited", paused_until=now + timedelta(minutes=5)),
            )
            hourly_counts.add(connection, hourly_counts.in_hour(now, {("call", "limited"): 3}))
        metric = read(client)
        assert metric("poller_state", state="paused") == 1
        assert metric("poller_state", state="polling") == 0
        assert 290 < (metric("upstream_pause_left_seconds") or 0) <= 300
        assert metric("record_info_calls_total", result="limited") == 3


class TestSilence:
    def test_what_never_was_is_infinitely_long_ago(self, client: FlaskClient) -> None:
        metric = read(client)
        for name in ("last_callback", "last_poll", "poller_heartbeat"):
            assert metric(f"{name}_age_seconds") == math.inf
        tell(client)
        assert 0 <= (read(client)("last_callback_age_seconds") or -1) < 5

    def test_the_heartbeat_grows_old(self, client: FlaskClient, runtime: Runtime) -> None:
        with runtime.database.write() as connection:
            lease.take(connection, holder="h:1:a", now=utc_now() - timedelta(seconds=90), ttl_s=10)
        assert 90 <= (read(client)("poller_heartbeat_age_seconds") or 0) < 95

    def test_the_age_of_the_longest_overdue_task_is_measured(
        self, client: FlaskClient, runtime: Runtime
    ) -> None:
        for task_id in ("one", "two"):
            tell(client, task_id, "first")
        assert read(client)("oldest_overdue_task_age_seconds") == 0
        make_overdue(runtime, "two")
        metric = read(client)
        assert metric("overdue_tasks") == 1
        assert (metric("oldest_overdue_task_age_seconds") or 0) > 1e8
        assert 0 < (metric("oldest_unsettled_task_age_seconds") or 0) < 5

    def test_without_a_key_nothing_is_polled_or_overdue(self, new_runtime: Callable[..., Runtime]) -> None:
        runtime = new_runtime(UPSTREAM_API_KEY="")
        client = build_app(runtime).test_client()
        tell(client, stage="first")
        make_overdue(runtime)
        assert read(client)("overdue_tasks") == 0
        assert read(client)("oldest_overdue_task_age_seconds") == 0
        assert read(client)("poller_state", state="off") == 1

    def test_after_however_many_polls_the_last_callback_is_known_to_the_hour(
        self, client: FlaskClient, runtime: Runtime
    ) -> None:
        tell(client)
        now = utc_now()
        row = StoredDelivery(
            task_id="t",
            source=Source.POLL,
            received_at=now,
            result=DeliveryResult.DUPLICATE,
            status="",
            digest=b"",
            body=None,
        )
        with runtime.database.write() as connection:
            new_deliveries.add(connection, [row] * MAX_NEWEST_DELIVERIES)
        assert 0 <= (read(client)("last_callback_age_seconds") or 0) < 3600

    def test_a_database_that_is_gone_is_a_metric_and_no_error(
        self, client: FlaskClient, runtime: Runtime, tmp_path: Path
    ) -> None:
        assert read(client)("database_up") == 1
        runtime.database.engine.dispose()
        for file in tmp_path.glob("receiver.db*"):
            file.unlink()
        (tmp_path / "receiver.db").mkdir()
        metric = read(build_app(runtime).test_client())  # which has not tried to write a moment ago
        assert metric("database_up") == 0
        assert metric("poller_heartbeat_age_seconds") is None
        assert metric("commit_duration_seconds_count") == 0


class TestMeasured:
    def test_requests_are_timed_by_route_and_no_path_is_shown(self, client: FlaskClient) -> None:
        assert read(client)("http_request_duration_seconds_count", **callbacks("5xx")) == 0
        tell(client)
        client.post("/callbacks/wrong-token-0000000", json={})
        client.open("/nowhere/at-all", method="BREW")
        client.get("/api/tasks/task-1", headers=BEARER)
        metric = read(client)
        count = "http_request_duration_seconds_count"
        assert metric(count, **callbacks("2xx")) == 1
        assert metric(count, **callbacks("4xx")) == 1
        assert metric(count, route="none", method="other", status="4xx") == 1
        assert metric(count, route="api.read_task", method="GET", status="2xx") == 1
        text = client.get("/metrics").text
        for path in (CALLBACK_TOKEN, "wrong-token", "nowhere", "task-1", "BREW"):
            assert path not in text

    def test_commits_are_timed(self, client: FlaskClient) -> None:
        tell(client)
        metric = read(client)
        assert metric("commit_duration_seconds_count") == 1
        assert 0 < (metric("commit_duration_seconds_sum") or 0) < 5


def callbacks(status: str) -> dict[str, str]:
    return {"route": "callbacks.receive", "method": "POST", "status": status}


def test_no_metric_scans_a_table(runtime: Runtime) -> None:
    statements: list[tuple[str, Any]] = []

    @event.listens_for(runtime.database.engine, "before_cursor_execute")
    def _listen(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: Any) -> None:
        statements.append((statement, parameters))

    read_database_metrics(runtime)
    queries = [item for item in statements if item[0].startswith("SELECT")]
    assert len(queries) > 10
    with runtime.database.read() as connection:
        for statement, parameters in queries:
            plan = [
                row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            ]
            walks = [step for step in plan if step.startswith("SCAN ") and "INDEX" not in step]
            assert set(walks) <= {"SCAN anon_1"}, (statement, plan)
            assert "ORDER BY" not in " ".join(plan), (statement, plan)
