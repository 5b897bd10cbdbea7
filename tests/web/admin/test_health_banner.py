"""The first line of every page: the system's status."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from receiver.app import build_app
from receiver.clock import utc_now
from receiver.core.observation import Source
from receiver.core.payloads import Trouble
from receiver.core.results import DeliveryResult
from receiver.core.upstream_health import UpstreamHealth
from receiver.runtime import Runtime
from receiver.store import new_deliveries, upstream_status
from receiver.store.deliveries import StoredDelivery
from tests.conftest import json_of
from tests.web.admin.page import CALLBACKS, make_overdue, sign_in, tell


def healthy(runtime: Runtime, age_s: float = 0) -> None:
    with runtime.database.write() as connection:
        now = (utc_now() - timedelta(seconds=age_s)).replace(tzinfo=None)
        connection.exec_driver_sql("DELETE FROM lease")
        connection.exec_driver_sql(
            "INSERT INTO lease VALUES ('poller', 'host:1:abc', 1, ?, ?)", (str(now), str(now))
        )


def test_when_nothing_is_wrong_it_says_so(admin: FlaskClient, runtime: Runtime) -> None:
    healthy(runtime)
    text = admin.get("/admin/").text
    assert "All systems normal" in text
    assert "<title>Tasks" in text
    assert "ok.svg" in text
    assert "host:1:abc" in text


def test_no_poller_is_an_alarm(admin: FlaskClient) -> None:
    text = admin.get("/admin/").text
    assert "Polling has stopped" in text
    assert "<title>⚠ Tasks" in text
    assert "problem.svg" in text


def test_a_poller_without_a_heartbeat_is_wrong(admin: FlaskClient, runtime: Runtime) -> None:
    healthy(runtime, age_s=14)
    assert "All systems normal" in admin.get("/admin/").text
    healthy(runtime, age_s=200)
    assert "No poller heartbeat for 3 min" in admin.get("/admin/").text


def test_a_missing_api_key_is_shown_on_every_page(new_runtime: Callable[..., Runtime]) -> None:
    client = build_app(new_runtime(UPSTREAM_API_KEY="")).test_client()
    sign_in(client)
    tell(client)
    for path in ("/admin/", "/admin/tasks/task-1", "/admin/quarantine"):
        assert "callbacks only, nothing is polled or confirmed" in client.get(path).text
    assert "Poll now" not in client.get("/admin/tasks/task-1").text


@pytest.mark.parametrize(
    ("trouble", "shown"),
    [
        (Trouble.REFUSED, "rejected the API key"),
        (Trouble.LIMITED, "Upstream degraded: limited; paused until"),
        (Trouble.SERVER_ERROR, "Upstream degraded: server error; paused until"),
        (Trouble.NOT_RECORD_INFO, "is RECEIVER_UPSTREAM_URL right?"),
        (Trouble.DENIED, "denies our calls (HTTP 403)"),
    ],
)
def test_every_page_says_since_when_and_why_polling_is_paused(
    admin: FlaskClient, runtime: Runtime, trouble: Trouble, shown: str
) -> None:
    now = utc_now()
    with runtime.database.write() as connection:
        upstream_status.save_health(
            connection,
            UpstreamHealth(
                failures=3,
                trouble=trouble.value,
                detail="HTTP 403",
                paused_since=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
                paused_until=now + timedelta(minutes=5),
            ),
        )
    tell(admin)
    for path in ("/admin/", "/admin/tasks/task-1", "/admin/quarantine", "/admin/activity"):
        text = admin.get(path).text
        assert shown in text
        assert "since 2026-01-02 03:04:05 UTC" in text
    poller = json_of(admin.get("/readyz"))["poller"]
    assert poller["state"] == ("refused" if trouble is Trouble.REFUSED else "paused")
    assert (poller["trouble"], poller["pausedSince"]) == (trouble.value, "2026-01-02T03:04:05.000Z")
    assert poller["pausedUntil"] is not None


def test_one_tasks_failed_call_is_no_trouble_of_the_upstream(admin: FlaskClient, runtime: Runtime) -> None:
    healthy(runtime)
    with runtime.database.write() as connection:
        upstream_status.save_health(connection, UpstreamHealth(trouble="server_error", failed_task="t"))
    assert "All systems normal" in admin.get("/admin/").text
    poller = json_of(admin.get("/readyz"))["poller"]
    assert (poller["state"], poller["trouble"], poller["pausedSince"]) == ("polling", None, None)


def test_counts_name_what_is_wrong(admin: FlaskClient, runtime: Runtime) -> None:
    tell(admin, "task-1", "text")
    make_overdue(runtime, "task-1")
    admin.post(CALLBACKS, data="broken")
    for code in (500, 200):
        admin.post(CALLBACKS, json={"code": code, "data": {"callbackType": "complete", "task_id": "task-2"}})
    text = admin.get("/admin/").text
    for shown in ("1 task overdue", "1 delivery in quarantine", "1 task in conflict", "Last callback"):
        assert shown in text


def test_counting_stops_where_it_says_nothing_more(admin: FlaskClient, runtime: Runtime) -> None:
    delivery = StoredDelivery(
        source=Source.CALLBACK, received_at=utc_now(), result=DeliveryResult.QUARANTINED, digest=b"", body=b""
    )
    with runtime.database.write() as connection:
        new_deliveries.add(connection, [delivery] * 1001)
    assert "999+ deliveries in quarantine" in admin.get("/admin/").text


def test_a_database_that_cannot_be_read_is_shown_on_a_page(admin: FlaskClient, runtime: Runtime) -> None:
    path = runtime.database.url.database
    assert path
    runtime.database.engine.dispose()
    for name in (path, f"{path}-wal", f"{path}-shm"):
        Path(name).unlink(missing_ok=True)
    Path(path).mkdir()
    answer = admin.get("/admin/")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert answer.content_type.startswith("text/html")
    assert "Database unavailable" in answer.text
