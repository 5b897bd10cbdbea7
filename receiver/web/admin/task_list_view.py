"""The list of tasks: what is wrong first, then all of them, filtered and page by page."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from flask import Response, flash, redirect, request, url_for
from sqlalchemy import Connection
from werkzeug.wrappers import Response as AnyResponse

from receiver.core.observation import Status
from receiver.core.settlement import Outcome
from receiver.core.task import Task
from receiver.operations import acknowledge_tasks, record_action
from receiver.runtime import utc_now
from receiver.store import task_list
from receiver.store.audit_log import ActionKind
from receiver.store.task_list import Flag, TaskFilter
from receiver.web.admin.layout import blueprint, current_actor, gather_health, late_before, page
from receiver.web.admin.presenters import task_row
from receiver.web.current import current_runtime
from receiver.web.cursors import cursor_at, task_cursor
from receiver.web.problems import ErrorType, ProblemError

FILTERS = ("outcome", "status", "flag", "q")
FLAGS = {
    Flag.PROBLEM: "needs attention",
    Flag.OVERDUE: "overdue",
    Flag.CONFLICT: "conflict",
    Flag.UNSEEN_CONFLICT: "conflict nobody has seen",
    Flag.RECOVERED: "recovered",
    Flag.LOST_CALLBACK: "lost callback",
    Flag.ORPHAN: "orphan",
}
PAGE_SIZE = 50
ATTENTION_SIZE = 5
ACKNOWLEDGE_BATCH_SIZE = 200
MAX_ACKNOWLEDGED = 10_000


@blueprint.get("/")
def list_tasks() -> Response:
    now, kept = utc_now(), _filter_arguments()
    chosen = _filter(kept, now)
    first_page = not kept and chosen.before is None
    with current_runtime().database.read() as connection:
        found = task_list.find(connection, chosen, limit=PAGE_SIZE)
        attention = _needing_attention(connection, now) if first_page else []
    more = found.next and url_for("admin.list_tasks", **kept, cursor=cursor_at(found.next))
    return page(
        "tasks.html",
        health=gather_health(),
        live=chosen.before is None,
        attention=[task_row(task, now, late=late_before(now)) for task in attention],
        rows=[task_row(task, now, late=late_before(now)) for task in found.tasks],
        chosen=chosen,
        kept=kept,
        more=more,
        outcomes=list(Outcome),
        statuses=list(Status),
        flags=FLAGS,
        callback_url=f"{request.host_url}callbacks/{current_runtime().settings.callback_tokens[0]}",
    )


@blueprint.get("/acknowledge")
def confirm_acknowledging() -> Response:
    """How many tasks would be marked as seen, before they are."""
    with current_runtime().database.read() as connection:
        count = task_list.count_problems(connection, most=MAX_ACKNOWLEDGED + 1)
    return page("acknowledge.html", health=gather_health(), count=count, most=MAX_ACKNOWLEDGED)


@blueprint.post("/acknowledge")
def acknowledge_all() -> AnyResponse:
    now, marked = utc_now(), 0
    while marked < MAX_ACKNOWLEDGED:
        with current_runtime().database.read() as connection:
            wanted = TaskFilter(flag=Flag.PROBLEM)
            ids = [
                task.task_id
                for task in task_list.find(connection, wanted, limit=ACKNOWLEDGE_BATCH_SIZE).tasks
            ]
        step = acknowledge_tasks(current_runtime(), ids)
        if not step:
            break
        marked += step
    record_action(
        current_runtime(), ActionKind.ACKNOWLEDGED, now=now, actor=current_actor(), detail={"tasks": marked}
    )
    flash(f"{marked} marked as seen. When one of them changes, it is shown again.")
    return redirect(url_for("admin.list_tasks"), 303)


def _filter(kept: Mapping[str, str], now: datetime) -> TaskFilter:
    return TaskFilter(
        outcome=kept.get("outcome"),
        status=kept.get("status"),
        flag=Flag(kept["flag"]) if "flag" in kept else None,
        text=kept.get("q"),
        before=task_cursor(request.args.get("cursor") or None),
        due_before=late_before(now),
    )


def _filter_arguments() -> dict[str, Any]:
    """The filters in the address; PostgreSQL takes no NUL in a text."""
    given = {name: request.args.get(name, "").replace("\0", "").strip() for name in FILTERS}
    known = {name: value for name, value in given.items() if value}
    if known.get("flag") not in (None, *FLAGS):
        raise ProblemError(ErrorType.INVALID_REQUEST, "Choose a filter from the list.")
    return known


def _needing_attention(connection: Connection, now: datetime) -> Sequence[Task]:
    """What ended badly, what is contradictory, what is late: the newest of each, no task twice."""
    wanted = (
        TaskFilter(flag=Flag.PROBLEM, outcome=Outcome.UNRESOLVED),
        TaskFilter(flag=Flag.PROBLEM),
        TaskFilter(flag=Flag.OVERDUE, due_before=late_before(now)),
    )
    found = [task for one in wanted for task in task_list.find(connection, one, limit=ATTENTION_SIZE).tasks]
    return list({task.task_id: task for task in found}.values())
