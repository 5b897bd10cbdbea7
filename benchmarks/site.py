"""The real application on a seeded database, in this process, with somebody signed in."""

import re
from datetime import UTC, datetime
from pathlib import Path

from flask.testing import FlaskClient
from sqlalchemy import Connection, bindparam, select, update

from benchmarks.processes import ADMIN_PASSWORD, environment
from receiver.app import build_app
from receiver.runtime import Runtime, open_runtime
from receiver.settings import load_settings
from receiver.store import call_quota, lease
from receiver.store.database import Database
from receiver.store.schema import task


def open_site(file: Path) -> tuple[Runtime, FlaskClient]:
    runtime = open_runtime(
        load_settings(environment(file.parent, DATABASE_URL=f"sqlite:///{file}")), migrate=True
    )
    freshen(runtime.database, now=datetime.now(UTC))
    return runtime, build_app(runtime).test_client()


def sign_in(client: FlaskClient) -> None:
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/admin/sign-in").text)
    assert found, "the sign-in page has no form with a token"
    response = client.post("/admin/sign-in", data={"csrf_token": found[1], "password": ADMIN_PASSWORD})
    assert response.status_code == 303, f"signing in was answered {response.status_code}"


def freshen(database: Database, *, now: datetime) -> None:
    """Plan the polls of tasks in progress anew, as if no time had gone by since they were planned.

    Nobody polls here; without this every task in progress would be overdue an hour after the seeding.
    """
    due = select(task.c.number.label("key"), task.c.next_poll_at).where(task.c.next_poll_at.is_not(None))
    later = update(task).where(task.c.number == bindparam("key")).values(next_poll_at=bindparam("later"))
    with database.write() as connection:
        held = lease.read(connection)
        gone = now - (held.heartbeat_at if held else now)
        rows = [{"key": row.key, "later": row.next_poll_at + gone} for row in connection.execute(due)]
        if rows:
            connection.execute(later, rows)
        keep_poller(connection, now=now)


def keep_poller(connection: Connection, *, now: datetime) -> None:
    """A poller that is alive at that moment."""
    lease.take(connection, holder="benchmark:1:0", now=now, ttl_s=10)
    call_quota.resize_slots(connection, 2)
