"""The page of one task, and what a person can do on it."""

from flask import Response, flash, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from receiver.core.validation import LABEL_RULE, MAX_LABEL_CHARS, is_label
from receiver.operations import acknowledge_task, label_task, request_task_poll
from receiver.store import Connection, audit_log, deliveries, tasks
from receiver.store.schema import MAX_ID
from receiver.web.admin.blueprint import blueprint, current_actor, overdue_before, request_time
from receiver.web.admin.body_preview import MAX_LISTED_CHARS
from receiver.web.admin.error_pages import error_page
from receiver.web.admin.layout import page
from receiver.web.admin.media import media_origins
from receiver.web.admin.presenters import delivery_row
from receiver.web.admin.task_page import (
    COUNT_CAP,
    MAX_COMPARED_BODIES,
    TaskRecords,
    build_task_page,
    hidden_count,
)
from receiver.web.current import current_runtime

DELIVERIES_SHOWN = 100
ACTIONS_SHOWN = 100
SCAN_LIMIT = 1000


@blueprint.get("/tasks/<task_id>")
def read_task(task_id: str) -> Response:
    runtime = current_runtime()
    with runtime.database.read() as connection:
        records = _read_records(connection, task_id)
    if records is None:
        return _page_without_task(task_id)
    origins = media_origins(runtime.settings.upstream_url)
    task_page = build_task_page(records, now=request_time(), overdue_before=overdue_before(), origins=origins)
    return page(
        "task.html",
        live=True,
        page=task_page,
        can_poll=bool(runtime.settings.upstream_api_key),
        max_label_chars=MAX_LABEL_CHARS,
    )


def _read_records(connection: Connection, task_id: str) -> TaskRecords | None:
    task = tasks.load(connection, task_id)
    if task is None:
        return None
    return TaskRecords(
        task=task,
        deliveries=deliveries.of_task(connection, task_id, newest=DELIVERIES_SHOWN),
        deliveries_count=deliveries.count_of_task(connection, task_id, most=COUNT_CAP),
        actions=audit_log.of_task(connection, task_id, limit=ACTIONS_SHOWN),
        bodies=deliveries.bodies_of(connection, task_id, newest=MAX_COMPARED_BODIES),
        bodies_dropped=deliveries.any_body_dropped(connection, task_id, newest=SCAN_LIMIT),
        statuses=deliveries.statuses_of(connection, task_id, newest=SCAN_LIMIT),
    )


def _page_without_task(task_id: str) -> Response:
    """Another product's job is not a task here, but its callbacks are stored all the same."""
    with current_runtime().database.read() as connection:
        stored = deliveries.of_task(connection, task_id, newest=DELIVERIES_SHOWN)
        count = deliveries.count_of_task(connection, task_id, most=COUNT_CAP)
    if not stored:
        return _unknown_task()
    now = request_time()
    rows = [delivery_row(delivery, now, max_chars=MAX_LISTED_CHARS) for delivery in reversed(stored)]
    hidden = hidden_count(count, shown=len(stored))
    return page("unsupported.html", task_id=task_id, deliveries=rows, hidden=hidden)


@blueprint.post("/tasks/<task_id>/poll")
def poll_task(task_id: str) -> AnyResponse:
    runtime = current_runtime()
    with runtime.database.read() as connection:
        known = tasks.load(connection, task_id) is not None
    if known and not runtime.settings.upstream_api_key:
        return _back(task_id, "Without an API key nothing can be polled.")
    requested = request_task_poll(runtime, task_id, now=request_time(), actor=current_actor())
    if requested is None:
        return _unknown_task()
    if not requested.changed:
        return _back(task_id, "A poll is already queued. The result will appear in the timeline.")
    return _back(task_id, "Poll queued. The result will appear in the timeline.")


@blueprint.post("/tasks/<task_id>/label")
def set_label(task_id: str) -> AnyResponse:
    label = " ".join(request.form.get("label", "").split())
    if not is_label(label):
        return _back(task_id, f"Label not saved: {LABEL_RULE}.")
    labelled = label_task(
        current_runtime(), task_id, label=label or None, now=request_time(), actor=current_actor()
    )
    if labelled is None:
        return _unknown_task()
    if not labelled.changed:
        return _back(task_id, "This is already the label." if label else "There is no label to remove.")
    return _back(task_id, "Label saved." if label else "Label removed.")


@blueprint.post("/tasks/<task_id>/acknowledge")
def acknowledge(task_id: str) -> AnyResponse:
    done = acknowledge_task(current_runtime(), task_id, now=request_time(), actor=current_actor())
    if done is None:
        return _unknown_task()
    if done.changed:
        return _back(task_id, "Acknowledged. The task will reappear if it changes.")
    already = done.task.acknowledged_version == done.task.version
    return _back(
        task_id, "Already acknowledged." if already else "Nothing to acknowledge: there is no problem."
    )


@blueprint.get("/deliveries/<int:delivery_id>/body")
def read_body(delivery_id: int) -> Response:
    """The bytes as they arrived, as a file that no browser runs."""
    with current_runtime().database.read() as connection:
        delivery = deliveries.load(connection, delivery_id) if delivery_id <= MAX_ID else None
    if delivery is None or delivery.body is None:
        return error_page(404, "Body not found", "There is no such delivery, or its body was deleted.")
    response = Response(delivery.body, content_type="text/plain; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="delivery-{delivery_id}.txt"'
    return response


def _back(task_id: str, message: str) -> AnyResponse:
    flash(message)
    return redirect(url_for("admin.read_task", task_id=task_id), 303)


def _unknown_task() -> Response:
    detail = "There is no task with this ID. It may be mistyped, or not registered and not called back yet."
    return error_page(404, "Task not found", detail)
