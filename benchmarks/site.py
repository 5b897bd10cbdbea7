"""The real application on a seeded database, in this process, with somebody signed in."""

import re
from datetime import UTC, datetime
from pathlib import Path

from flask.testing import FlaskClient
from sqlalchemy import select, update

from benchmarks.others import keep_poller
from receiver.app import build_app
from receiver.runtime import Runtime, open_runtime
from receiver.settings import load_settings
from receiver.store import lease
from receiver.store.database import Database
from receiver.store.schema import task

PASSWORD = "correct horse"  # noqa: S105
API_TOKEN = "api-token-000000001"  # noqa: S105
ENVIRONMENT = {
    "RECEIVER_CALLBACK_TOKENS": "callback-token-0001",
    "RECEIVER_API_TOKENS": API_TOKEN,
    "RECEIVER_ADMIN_PASSWORD": PASSWORD,
    "RECEIVER_SECRET_KEY": "0123456789abcdef0123456789abcdef",
    "RECEIVER_UPSTREAM_API_KEY": "upstream-key",
    "RECEIVER_UPSTREAM_URL": "http://127.0.0.1:9",
}


def open_site(file: Path) -> tuple[Runtime, FlaskClient]:
    runtime = open_runtime(
        load_settings(ENVIRONMENT | {"RECEIVER_DATABASE_URL": f"sqlite:///{file}"}), migrate=True
    )
    freshen(runtime.database, now=datetime.now(UTC))
    return runtime, build_app(runtime).test_client()


def sign_in(client: FlaskClient) -> None:
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/admin/sign-in").text)
    if not found:
        raise SystemExit("the sign-in page has no form with a token")
    form = {"csrf_token": found[1], "password": PASSWORD}
    answer = client.post("/admin/sign-in", data=form)
    if answer.status_code != 303:
        raise SystemExit(f"signing in was answered {answer.status_code}")


def freshen(database: Database, *, now: datetime) -> None:
    """Plan the looks at tasks in progress anew, as if no time had gone by since they were planned.

    Nobody polls here; without this every task in progress would be overdue an hour after the seeding.
    """
    with database.write() as connection:
        held = lease.read(connection)
        gone = now - (held.heartbeat_at if held else now)
        planned = connection.execute(
            select(task.c.number, task.c.next_poll_at).where(task.c.next_poll_at.is_not(None))
        ).all()
        for number, next_poll_at in planned:
            later = {"next_poll_at": next_poll_at + gone}
            connection.execute(update(task).where(task.c.number == number).values(later))
        keep_poller(connection, now=now)
