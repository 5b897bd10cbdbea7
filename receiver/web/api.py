"""The API for the programs of the tasks' owner: bearer token, JSON, camelCase."""

import time
from collections.abc import Sequence
from dataclasses import replace

from flask import Blueprint, Response, current_app, g, jsonify, request, url_for

from receiver.clock import utc_now
from receiver.core.task import Task
from receiver.core.validation import UNSTORABLE, quoted
from receiver.operations import delete_task, label_task, register_task, request_task_poll
from receiver.store import changes, deliveries, quarantine, task_list, tasks
from receiver.store.audit_log import Actor
from receiver.store.deliveries import StoredDelivery
from receiver.store.task_list import TaskFilter
from receiver.web.api_errors import ApiError
from receiver.web.api_input import NOTHING, json_body, load, parameters
from receiver.web.current import current_runtime
from receiver.web.cursors import change_cursor, change_cursor_at, cursor_at, id_cursor, task_cursor
from receiver.web.endpoints import BY_NAME
from receiver.web.error_types import ErrorType
from receiver.web.long_polling import LongPollSlots
from receiver.web.secrets import has_bearer_token
from receiver.web.serializers import serialize_delivery, serialize_task
from receiver.web.stats import gather_stats

blueprint = Blueprint("api", __name__, url_prefix="/api")

CHECK_INTERVAL_S = 0.2
ALL_DELIVERIES = quarantine.QuarantineFilter(include_acknowledged=True)


@blueprint.before_app_request
def _authorize() -> None:
    """Before anything else: without a token, all paths get the same response."""
    if not f"{request.path}/".startswith("/api/"):
        return
    if not has_bearer_token(current_runtime().settings.api_tokens):
        raise ApiError(ErrorType.UNAUTHORIZED, "Send Authorization: Bearer <one of RECEIVER_API_TOKENS>.")


@blueprint.before_request
def _read_input() -> None:
    if request.method == "OPTIONS":  # Flask responds itself, and takes nothing
        return
    task_id = (request.view_args or {}).get("task_id", "")
    if UNSTORABLE.search(task_id):  # PostgreSQL refuses to search for it
        raise _unknown_task(task_id)
    endpoint = BY_NAME[request.endpoint or ""]
    g.parameters = parameters(endpoint.query)
    g.body = load(endpoint.body or NOTHING, json_body())


@blueprint.after_request
def _forbid_caching(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.post("/tasks")
def create_task() -> Response:
    fields = g.body
    task, created = register_task(
        current_runtime(), fields["taskId"], label=fields["label"], now=utc_now(), actor=_caller()
    )
    response = jsonify(serialize_task(task))
    if created:
        response.status_code = 201
        response.headers["Location"] = url_for("api.read_task", task_id=task.task_id)
    return response


def _caller() -> Actor:
    return Actor(via="API", address=request.remote_addr)


@blueprint.get("/tasks")
def list_tasks() -> Response:
    query = g.parameters
    if query["changedSince"] is not None:
        return _list_changes()
    filters = replace(_filters(), before=task_cursor(query["cursor"]))
    with current_runtime().database.read() as connection:
        page = task_list.find(connection, filters, limit=query["limit"])
    return jsonify(
        tasks=[serialize_task(task) for task in page.tasks], next=page.next and cursor_at(page.next)
    )


def _list_changes() -> Response:
    query = g.parameters
    since, after = query["changedSince"], change_cursor(query["cursor"])
    with current_runtime().database.read() as connection:
        page = changes.find_changes(connection, _filters(), since=since, after=after, limit=query["limit"])
    return jsonify(
        tasks=[serialize_task(task) for task in page.tasks], next=page.next and change_cursor_at(page.next)
    )


def _filters() -> TaskFilter:
    """Without the product: as long as there is one, every task has it."""
    query = g.parameters
    names = ("outcome", "status", "label", "settled")
    return TaskFilter(text=query["q"], **{name: query[name] for name in names})


@blueprint.get("/tasks/<task_id>")
def read_task(task_id: str) -> Response:
    wait_s = g.parameters["wait"]
    task = _load_task(task_id)
    if not wait_s or task.settlement.settled:
        return jsonify(serialize_task(task))
    slots: LongPollSlots = current_app.extensions["long_poll_slots"]
    if not slots.acquire():
        response = jsonify(serialize_task(task))
        response.headers["Retry-After"] = "1"
        return response
    try:
        return jsonify(serialize_task(_wait_until_settled(task, wait_s, slots)))
    finally:
        slots.release()


def _load_task(task_id: str) -> Task:
    with current_runtime().database.read() as connection:
        task = tasks.load(connection, task_id)
    if task is None:
        raise _unknown_task(task_id)
    return task


def _unknown_task(task_id: str) -> ApiError:
    detail = f"There is no task {quoted(task_id)}. Register it with POST /api/tasks."
    return ApiError(ErrorType.UNKNOWN_TASK, detail)


def _wait_until_settled(task: Task, wait_s: float, slots: LongPollSlots) -> Task:
    """The task once it is settled, or as it is after `wait_s` seconds. Another process may settle it."""
    deadline = time.monotonic() + wait_s
    waiting = True
    while waiting and not task.settlement.settled and (left_s := deadline - time.monotonic()) > 0:
        waiting = slots.wait(min(CHECK_INTERVAL_S, left_s))
        task = _load_task(task.task_id)
    return task


@blueprint.patch("/tasks/<task_id>")
def change_task(task_id: str) -> Response:
    labelled = label_task(current_runtime(), task_id, label=g.body["label"], now=utc_now(), actor=_caller())
    if labelled is None:
        raise _unknown_task(task_id)
    return jsonify(serialize_task(labelled.task))


@blueprint.delete("/tasks/<task_id>")
def remove_task(task_id: str) -> Response:
    if not delete_task(current_runtime(), task_id, now=utc_now(), actor=_caller()):
        raise _unknown_task(task_id)
    return Response(status=204)


@blueprint.get("/tasks/<task_id>/deliveries")
def list_deliveries(task_id: str) -> Response:
    query = g.parameters
    after = id_cursor(query["cursor"]) or 0
    with current_runtime().database.read() as connection:
        page, last_id = deliveries.page_of_task(connection, task_id, after=after, limit=query["limit"])
    if not page and not after:
        _load_task(task_id)
    return _delivery_page(page, last_id)


def _delivery_page(page: Sequence[StoredDelivery], last_id: int | None) -> Response:
    return jsonify(
        deliveries=[serialize_delivery(delivery) for delivery in page], next=last_id and str(last_id)
    )


@blueprint.post("/tasks/<task_id>/poll")
def poll_task(task_id: str) -> tuple[Response, int]:
    requested = request_task_poll(current_runtime(), task_id, now=utc_now(), actor=_caller())
    if requested is None:
        raise _unknown_task(task_id)
    return jsonify(serialize_task(requested.task)), 202


@blueprint.get("/quarantine")
def list_quarantine() -> Response:
    query = g.parameters
    before = id_cursor(query["cursor"])
    with current_runtime().database.read() as connection:
        page, last_id = quarantine.page(connection, ALL_DELIVERIES, limit=query["limit"], before=before)
    return _delivery_page(page, last_id)


@blueprint.get("/stats")
def read_stats() -> Response:
    return jsonify(gather_stats(current_runtime()))
