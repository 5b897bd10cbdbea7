"""What a button says it did is what it did, and the audit log has no more."""

from collections.abc import Sequence

import pytest
from flask.testing import FlaskClient

from receiver.runtime import Runtime
from receiver.store import audit_log
from receiver.store.audit_log import ActionKind
from tests.web.admin.page import BEARER, CALLBACKS, post, tell

SIGNING_IN = (ActionKind.SIGNED_IN,)


def conflict(client: FlaskClient, task_id: str) -> None:
    for code in (500, 200):
        body = {"callbackType": "complete", "task_id": task_id}
        assert client.post(CALLBACKS, json={"code": code, "data": body}).status_code == 200


def actions(runtime: Runtime) -> Sequence[ActionKind]:
    """What was done, in order, without signing in."""
    with runtime.database.read() as connection:
        found = audit_log.newest(connection, limit=100)
    return [action.kind for action in reversed(found) if action.kind not in SIGNING_IN]


def message_of(client: FlaskClient, path: str, **form: str) -> str:
    """The message on the page to which an action leads."""
    response = post(client, path, **form)
    if response.status_code == 303:
        response = client.get(response.headers["Location"])
    return response.text


def test_acknowledging_again_says_so_and_is_recorded_once(admin: FlaskClient, runtime: Runtime) -> None:
    conflict(admin, "task-1")
    path = "/admin/tasks/task-1/acknowledge"
    assert "Acknowledged. The task will reappear" in message_of(admin, path)
    for _ in range(2):
        assert "Already acknowledged." in message_of(admin, path)
    assert actions(runtime) == [ActionKind.ACKNOWLEDGED]
    tell(admin, "task-1")
    assert "Acknowledged. The task will reappear" in message_of(admin, path)
    assert actions(runtime) == [ActionKind.ACKNOWLEDGED] * 2


def test_a_task_without_a_problem_has_nothing_to_acknowledge(admin: FlaskClient, runtime: Runtime) -> None:
    tell(admin, "task-1", "text")
    assert "Nothing to acknowledge: there is no problem." in message_of(
        admin, "/admin/tasks/task-1/acknowledge"
    )
    assert actions(runtime) == []


@pytest.mark.parametrize("action", ["acknowledge", "poll", "label"])
@pytest.mark.parametrize("task_id", ["none", "x" * 300, "%F0%9F%8E%B5"])
def test_an_unknown_task_is_said_to_be_unknown(
    admin: FlaskClient, runtime: Runtime, action: str, task_id: str
) -> None:
    response = post(admin, f"/admin/tasks/{task_id}/{action}", label="x")
    assert response.status_code == 404
    assert "There is no task with this ID." in response.text
    assert "queued" not in admin.get("/admin/").text
    assert actions(runtime) == []


def test_a_deleted_task_is_unknown_to_an_open_page(admin: FlaskClient, runtime: Runtime) -> None:
    conflict(admin, "task-1")
    assert admin.delete("/api/tasks/task-1", headers=BEARER).status_code == 204
    for action in ("acknowledge", "poll", "label"):
        assert post(admin, f"/admin/tasks/task-1/{action}", label="x").status_code == 404
    assert actions(runtime) == [ActionKind.DELETED]


def test_a_poll_that_is_queued_already_is_not_queued_again(admin: FlaskClient, runtime: Runtime) -> None:
    tell(admin, "task-1", "text")
    assert "Poll queued." in message_of(admin, "/admin/tasks/task-1/poll")
    assert "A poll is already queued." in message_of(admin, "/admin/tasks/task-1/poll")
    assert admin.post("/api/tasks/task-1/poll", headers=BEARER).status_code == 202, "it is due, as promised"
    assert actions(runtime) == [ActionKind.POLL_REQUESTED]


def test_a_label_that_does_not_change_is_not_saved_again(admin: FlaskClient, runtime: Runtime) -> None:
    tell(admin, "task-1")
    path = "/admin/tasks/task-1/label"
    assert "There is no label to remove." in message_of(admin, path, label=" ")
    assert "Label saved." in message_of(admin, path, label="film")
    assert "This is already the label." in message_of(admin, path, label=" film ")
    assert "Label removed." in message_of(admin, path, label="")
    assert actions(runtime) == [ActionKind.LABELLED] * 2


def test_acknowledging_all_counts_what_was_acknowledged(admin: FlaskClient, runtime: Runtime) -> None:
    tell(admin, "task-3", "text")
    assert "Nothing to acknowledge: there are no unacknowledged problems." in message_of(
        admin, "/admin/acknowledge"
    )
    conflict(admin, "task-1")
    conflict(admin, "task-2")
    assert "2 tasks acknowledged." in message_of(admin, "/admin/acknowledge")
    assert "Nothing to acknowledge" in message_of(admin, "/admin/acknowledge")
    assert actions(runtime) == [ActionKind.ACKNOWLEDGED]


def test_an_empty_quarantine_has_nothing_to_do(admin: FlaskClient, runtime: Runtime) -> None:
    for query in ("", "?cause=unreadable", "?only=7", "?before=1"):
        nothing = "no unacknowledged delivery in quarantine matches."
        assert nothing in message_of(admin, f"/admin/quarantine/acknowledge{query}")
        assert "Nothing to reprocess: no delivery" in message_of(
            admin, f"/admin/quarantine/read-again{query}"
        )
    assert actions(runtime) == []
    admin.post(CALLBACKS, data="broken")
    assert "1 delivery acknowledged." in message_of(admin, "/admin/quarantine/acknowledge")
    assert "Nothing to acknowledge" in message_of(admin, "/admin/quarantine/acknowledge")
    assert "1 delivery reprocessed" in message_of(admin, "/admin/quarantine/read-again?seen=yes")
    assert actions(runtime) == [ActionKind.ACKNOWLEDGED, ActionKind.READ_AGAIN]
