"""The API for the programs of the tasks' owner: bearer token, JSON, camelCase."""

import threading
import time
from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request
from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, validate

from receiver.core.payloads.envelope import readable_task_id
from receiver.core.payloads.errors import flat_errors
from receiver.core.payloads.fields import UNSTORABLE
from receiver.core.settlement import Outcome
from receiver.core.task import Task
from receiver.operations import register_task, request_task_poll
from receiver.runtime import utc_now
from receiver.store import deliveries, listing, quarantine, tasks
from receiver.store.actions import Actor
from receiver.store.deliveries import StoredDelivery
from receiver.store.listing import Filter
from receiver.web.cursors import cursor_at, id_cursor, task_cursor
from receiver.web.here import runtime_here
from receiver.web.problems import ProblemError
from receiver.web.secrets import has_bearer_token
from receiver.web.stats import gather_stats
from receiver.web.views import show_delivery, show_task

blueprint = Blueprint("api", __name__, url_prefix="/api")

LONGEST_WAIT_S = 60
LOOK_S = 0.2
EVERY_ONE = quarantine.Quarantined(seen=True)


class TaskId(fields.Field[str]):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        task_id = readable_task_id(value)
        if task_id is None:
            raise ValidationError("A task id: text without white space or slashes, 200 characters at most.")
        return task_id


def storable(text: str) -> None:
    if UNSTORABLE.search(text):
        raise ValidationError("Must not hold NUL or half a surrogate pair.")


class NewTaskSchema(Schema):
    class Meta:
        unknown = RAISE

    taskId = TaskId(required=True)
    label = fields.String(allow_none=True, load_default=None, validate=[validate.Length(max=200), storable])


class PageSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    limit = fields.Integer(load_default=50, validate=validate.Range(min=1, max=200))
    cursor = fields.String(load_default=None)


class TaskPageSchema(PageSchema):
    outcome = fields.String(
        load_default=None, validate=validate.OneOf([outcome.value for outcome in Outcome])
    )
    status = fields.String(load_default=None, validate=storable)
    q = fields.String(load_default=None, validate=storable)


class WaitSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    wait = fields.Float(load_default=0, validate=validate.Range(min=0, max=LONGEST_WAIT_S))


NEW_TASK, PAGE, TASK_PAGE, WAIT = NewTaskSchema(), PageSchema(), TaskPageSchema(), WaitSchema()


class WaitingRoom:
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


@blueprint.before_request
def _authorize() -> None:
    if not has_bearer_token(runtime_here().settings.api_tokens):
        raise ProblemError(401, "Unauthorized", "Send Authorization: Bearer <one of RECEIVER_API_TOKENS>.")


@blueprint.after_request
def _challenge(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.post("/tasks")
def create_task() -> tuple[Response, int]:
    wanted = _load(NEW_TASK, _json_body())
    task, created = register_task(
        runtime_here(), wanted["taskId"], label=wanted["label"], now=utc_now(), actor=_caller()
    )
    return jsonify(show_task(task)), 201 if created else 200


@blueprint.get("/tasks")
def list_tasks() -> Response:
    wanted = _load(TASK_PAGE, request.args)
    before = task_cursor(wanted["cursor"])
    chosen = Filter(outcome=wanted["outcome"], status=wanted["status"], text=wanted["q"], before=before)
    with runtime_here().database.read() as connection:
        found = listing.find(connection, chosen, limit=wanted["limit"])
    return jsonify(tasks=[show_task(task) for task in found.tasks], next=found.next and cursor_at(found.next))


@blueprint.get("/tasks/<task_id>")
def read_task(task_id: str) -> Response:
    wait_s = _load(WAIT, request.args)["wait"]
    task = _known(task_id)
    room: WaitingRoom = current_app.extensions["waiting_room"]
    if wait_s and not task.verdict.settled:
        if not room.enter():
            answer = jsonify(show_task(task))
            answer.headers["Retry-After"] = "1"
            return answer
        try:
            task = _wait_until_settled(task, wait_s, room)
        finally:
            room.leave()
    return jsonify(show_task(task))


@blueprint.get("/tasks/<task_id>/deliveries")
def list_deliveries(task_id: str) -> Response:
    wanted = _load(PAGE, request.args)
    after = id_cursor(wanted["cursor"]) or 0
    with runtime_here().database.read() as connection:
        shown, last = deliveries.page_of_task(connection, task_id, after=after, limit=wanted["limit"])
    if not shown and not after:
        _known(task_id)
    return _delivery_page(shown, last)


@blueprint.post("/tasks/<task_id>/poll")
def poll_task(task_id: str) -> tuple[Response, int]:
    task = request_task_poll(runtime_here(), task_id, now=utc_now(), actor=_caller())
    if task is None:
        raise _unknown(task_id)
    return jsonify(show_task(task)), 202


@blueprint.get("/quarantine")
def list_quarantine() -> Response:
    wanted = _load(PAGE, request.args)
    before = id_cursor(wanted["cursor"])
    with runtime_here().database.read() as connection:
        shown, older = quarantine.page(connection, EVERY_ONE, limit=wanted["limit"], before=before)
    return _delivery_page(shown, older)


@blueprint.get("/stats")
def read_stats() -> Response:
    return jsonify(gather_stats(runtime_here()))


def _delivery_page(shown: Sequence[StoredDelivery], going_on: int | None) -> Response:
    return jsonify(deliveries=[show_delivery(one) for one in shown], next=going_on and str(going_on))


def _caller() -> Actor:
    return Actor(via="API", address=request.remote_addr)


def _json_body() -> Any:
    try:
        return request.get_json(silent=True, force=True)
    except RecursionError:
        return None


def _load(schema: Schema, values: Any) -> dict[str, Any]:
    try:
        return dict(schema.load(values if values is not None else {}))
    except ValidationError as error:
        detail = "Correct the fields named in errors."
        raise ProblemError(422, "Invalid request", detail, errors=flat_errors(error.messages)) from None


def _known(task_id: str) -> Task:
    with runtime_here().database.read() as connection:
        task = tasks.load(connection, task_id)
    if task is None:
        raise _unknown(task_id)
    return task


def _unknown(task_id: str) -> ProblemError:
    return ProblemError(
        404, "Unknown task", f"No task {task_id!r} is known here; register it with POST /api/tasks."
    )


def _wait_until_settled(task: Task, wait_s: float, room: WaitingRoom) -> Task:
    """The task once it has settled, or as it is when the time is over; another process may settle it."""
    deadline = time.monotonic() + wait_s
    staying = True
    while staying and not task.verdict.settled and (left := deadline - time.monotonic()) > 0:
        staying = room.stay(min(LOOK_S, left))
        task = _known(task.task_id)
    return task
