"""The real application on a seeded database, in this process, with somebody signed in."""

import re
from datetime import UTC, datetime
from pathlib import Path

from flask.testing import FlaskClient
from sqlalchemy import Connection

from receiver.app import build_app
from receiver.runtime import Runtime, open_runtime
from receiver.settings import load_settings
from receiver.store import call_quota, lease
from tests.servers.processes import ADMIN_PASSWORD, environment


def open_site(file: Path) -> tuple[Runtime, FlaskClient]:
    runtime = open_runtime(
        load_settings(environment(file.parent, DATABASE_URL=f"sqlite:///{file}")), migrate=True
    )
    with runtime.database.write() as connection:
        keep_poller(connection, now=datetime.now(UTC))
    return runtime, build_app(runtime).test_client()


def sign_in(client: FlaskClient) -> None:
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/admin/sign-in").text)
    assert found, "the sign-in page has no form with a token"
    response = client.post("/admin/sign-in", data={"csrf_token": found[1], "password": ADMIN_PASSWORD})
    assert response.status_code == 303, f"signing in was answered {response.status_code}"


def keep_poller(connection: Connection, *, now: datetime) -> None:
    """A poller that is alive at that moment."""
    lease.take(connection, holder="benchmark:1:0", now=now, ttl_s=10)
    call_quota.resize_slots(connection, 2)
