"""How the tests meet the admin page: through its front door, as a browser would."""

import re
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from receiver.runtime import Runtime
from tests.conftest import API_TOKEN, CALLBACK_TOKEN, json_of

CALLBACKS = f"/callbacks/{CALLBACK_TOKEN}"
BEARER = {"Authorization": f"Bearer {API_TOKEN}"}
PASSWORD = "correct horse"
HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


def token_of(client: FlaskClient, path: str = "/admin/sign-in") -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(path).text)
    assert found, "no form with a token"
    return found[1]


def sign_in(client: FlaskClient, password: str = PASSWORD, to: str = "", **options: Any) -> TestResponse:
    form = {"csrf_token": token_of(client), "password": password}
    return client.post(f"/admin/sign-in{to}", data=form, **options)


def post(client: FlaskClient, path: str, **form: str) -> TestResponse:
    """Send a form of a page, with its token."""
    return client.post(path, data={"csrf_token": token_of(client, "/admin/")} | form)


def tell(client: FlaskClient, task_id: str = "task-1", stage: str = "complete", **row: Any) -> None:
    rows = [{"id": "a", "audio_url": "https://example.org/a.mp3", "title": "Tides"} | row]
    body = {"code": 200, "data": {"callbackType": stage, "task_id": task_id, "data": rows}}
    assert client.post(CALLBACKS, json=body).status_code == 200


def known(client: FlaskClient, task_id: str = "task-1") -> dict[str, Any]:
    answer = client.get(f"/api/tasks/{task_id}", headers=BEARER)
    return dict(json_of(answer))


def make_overdue(runtime: Runtime, task_id: str = "task-1") -> None:
    with runtime.database.write() as connection:
        connection.exec_driver_sql(
            "UPDATE task SET next_poll_at = '2020-01-01 00:00:00.000000' WHERE task_id = ?", (task_id,)
        )
