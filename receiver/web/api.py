"""The API for the programs of the tasks' owner: bearer token, JSON, camelCase."""

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from flask import Blueprint, Response, current_app, g, jsonify, request, url_for

from receiver.core.payloads.fields import UNSTORABLE
from receiver.core.task import Task
from receiver.operations import delete_task, label_task, register_task, request_task_poll
from receiver.runtime import utc_now
from receiver.store import changes, deliveries, quarantine, task_list, tasks
from receiver.store.audit_log import Actor
from receiver.store.deliveries import StoredDelivery
from receiver.store.task_list import TaskFilter
from receiver.web.api_input import NOTHING, json_body, load, parameters
from receiver.web.current import current_runtime
from receiver.web.cursors import change_cursor, change_cursor_at, cursor_at, id_cursor, task_cursor
from receiver.web.endpoints import BY_NAME
from receiver.web.problems import ErrorType, ProblemError
from receiver.web.secrets import has_bearer_token
from receiver.web.serializers import serialize_delivery, serialize_task
from receiver.web.stats import gather_stats

blueprint = Blueprint("api", __name__, url_prefix="/api")

CHECK_INTERVAL_S = 0.2
EVERY_ONE = quarantine.QuarantineFilter(seen=True)


class LongPollSlots:
    """Seats for readers that wait: fewer than there are threads, so that a callback always finds one."""

    def __init__(self, seats: int) -> None:
        self._seats = threading.BoundedSemaphore(seats) if seats else None
        self._closed = threading.Event()

    def enter(self) -> bool:
        return self._seats is not None and self._seats.acquire(blocking=False)

    def leave(self) -> None:
        if self._seats is not None:
            self._seats.release()

    def close(self) -> None:
        """Let everybody go: a process that is told to stop must not wait for its readers."""
        self._closed.set()

    def stay(self, seconds: float) -> bool:
        """Wait; whether there may be more waiting after that."""
        return not self._closed.wait(seconds)


@blueprint.before_app_request
def _authorize() -> None:
    """First of all, so that without a token nobody learns which paths there are."""
    if not f"{request.path}/".startswith("/api/"):
        return
    if not has_bearer_token(current_runtime().settings.api_tokens):
        raise ProblemError(ErrorType.UNAUTHORIZED, "Send Authorization: Bearer <one of RECEIVER_API_TOKENS>.")


@blueprint.before_request
def _read_input() -> None:
    task_id = (request.view_args or {}).get("task_id", "")
    if UNSTORABLE.search(task_id):  # PostgreSQL would not even look for it
        raise _unknown(task_id)
    endpoint = BY_NAME[request.endpoint or ""]
    g.parameters = parameters(endpoint.query)
    g.body = load(endpoint.body or NOTHING, json_body())


@blueprint.after_request
def _challenge(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.post("/tasks")
def create_task() -> Response:
    wanted = g.body
    task, created = register_task(
        current_runtime(), wanted["taskId"], label=wanted["label"], now=utc_now(), actor=_caller()
    )
    response = jsonify(serialize_task(task))
    if created:
        response.status_code = 201
        response.headers["Location"] = url_for("api.read_task", task_id=task.task_id)
    return response


@blueprint.get("/tasks")
def list_tasks() -> Response:
    wanted = g.parameters
    if wanted["changedSince"] is not None:
        return _list_changes()
    chosen = replace(_filter(), before=task_cursor(wanted["cursor"]))
    with current_runtime().database.read() as connection:
        found = task_list.find(connection, chosen, limit=wanted["limit"])
    return jsonify(
        tasks=[serialize_task(task) for task in found.tasks], next=found.next and cursor_at(found.next)
    )


def _list_changes() -> Response:
    wanted = g.parameters
    since, after = wanted["changedSince"], change_cursor(wanted["cursor"])
    with current_runtime().database.read() as connection:
        found = changes.find_changes(connection, _filter(), since=since, after=after, limit=wanted["limit"])
    going_on = found.next and change_cursor_at(found.next)
    return jsonify(tasks=[serialize_task(task) for task in found.tasks], next=going_on)


def _filter() -> TaskFilter:
    """By product there is nothing to choose as long as there is one."""
    wanted = g.parameters
    names = ("outcome", "status", "label", "settled")
    return TaskFilter(text=wanted["q"], **{name: wanted[name] for name in names})


@blueprint.get("/tasks/<task_id>")
def read_task(task_id: str) -> Response:
    wait_s = g.parameters["wait"]
    task = _known(task_id)
    room: LongPollSlots = current_app.extensions["waiting_room"]
    if wait_s and not task.settlement.settled:
        if not room.enter():
            answer = jsonify(serialize_task(task))
            answer.headers["Retry-After"] = "1"
            return answer
        try:
            task = _wait_until_settled(task, wait_s, room)
        finally:
            room.leave()
    return jsonify(serialize_task(task))


@blueprint.patch("/tasks/<task_id>")
def change_task(task_id: str) -> Response:
    task = label_task(current_runtime(), task_id, label=g.body["label"], now=utc_now(), actor=_caller())
    if task is None:
        raise _unknown(task_id)
    return jsonify(serialize_task(task))


@blueprint.delete("/tasks/<task_id>")
def remove_task(task_id: str) -> Response:
    if not delete_task(current_runtime(), task_id, now=utc_now(), actor=_caller()):
        raise _unknown(task_id)
    return Response(status=204)


@blueprint.get("/tasks/<task_id>/deliveries")
def list_deliveries(task_id: str) -> Response:
    wanted = g.parameters
    after = id_cursor(wanted["cursor"]) or 0
    with current_runtime().database.read() as connection:
        shown, last = deliveries.page_of_task(connection, task_id, after=after, limit=wanted["limit"])
    if not shown and not after:
        _known(task_id)
    return _delivery_page(shown, last)


@blueprint.post("/tasks/<task_id>/poll")
def poll_task(task_id: str) -> tuple[Response, int]:
    task = request_task_poll(current_runtime(), task_id, now=utc_now(), actor=_caller())
    if task is None:
        raise _unknown(task_id)
    return jsonify(serialize_task(task)), 202


@blueprint.get("/quarantine")
def list_quarantine() -> Response:
    wanted = g.parameters
    before = id_cursor(wanted["cursor"])
    with current_runtime().database.read() as connection:
        shown, older = quarantine.page(connection, EVERY_ONE, limit=wanted["limit"], before=before)
    return _delivery_page(shown, older)


@blueprint.get("/stats")
def read_stats() -> Response:
    return jsonify(gather_stats(current_runtime()))


def _delivery_page(shown: Sequence[StoredDelivery], going_on: int | None) -> Response:
    return jsonify(deliveries=[serialize_delivery(one) for one in shown], next=going_on and str(going_on))


def _caller() -> Actor:
    return Actor(via="API", address=request.remote_addr)


def _known(task_id: str) -> Task:
    with current_runtime().database.read() as connection:
        task = tasks.load(connection, task_id)
    if task is None:
        raise _unknown(task_id)
    return task


def _unknown(task_id: str) -> ProblemError:
    detail = f"There is no task {task_id!r}. Register it with POST /api/tasks."
    return ProblemError(ErrorType.UNKNOWN_TASK, detail)


def _wait_until_settled(task: Task, wait_s: float, room: LongPollSlots) -> Task:
    """The task once it has settled, or as it is when the time is over; another process may settle it."""
    deadline = time.monotonic() + wait_s
    staying = True
    while staying and not task.settlement.settled and (left := deadline - time.monotonic()) > 0:
        staying = room.stay(min(CHECK_INTERVAL_S, left))
        task = _known(task.task_id)
    return task
