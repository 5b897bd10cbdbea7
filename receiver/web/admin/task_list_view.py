"""The list of tasks: those that need attention first, then all, filtered and page by page."""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response, flash, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from receiver.core.observation import Status
from receiver.core.plurals import quantity
from receiver.core.settlement import Outcome
from receiver.core.task import Task
from receiver.operations import acknowledge_tasks, record_action
from receiver.store import Connection, task_list
from receiver.store.audit_log import ActionKind
from receiver.store.task_list import Flag, TaskFilter
from receiver.web.admin import queries
from receiver.web.admin.blueprint import blueprint, current_actor, overdue_before, read_query, request_time
from receiver.web.admin.layout import page
from receiver.web.admin.presenters import TaskRow, task_row
from receiver.web.api_input import MAX_SEARCH_CHARS
from receiver.web.current import current_runtime
from receiver.web.cursors import cursor_at, task_cursor

FLAGS = {
    Flag.PROBLEM: "needs attention",
    Flag.OVERDUE: "overdue",
    Flag.CONFLICT: "conflict",
    Flag.UNACKNOWLEDGED_CONFLICT: "unacknowledged conflict",
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
    query = read_query(queries.TASK_LIST)
    filters = _filter(query)
    arguments = _filter_arguments(filters)
    first_page = not arguments and filters.before is None
    with current_runtime().database.read() as connection:
        found = task_list.find(connection, filters, limit=PAGE_SIZE)
        attention = _needing_attention(connection) if first_page else []
    more = found.next and url_for("admin.list_tasks", **arguments, cursor=cursor_at(found.next))
    return page(
        "tasks.html",
        live=filters.before is None,
        attention=_rows(attention),
        rows=_rows(found.tasks),
        filters=filters,
        arguments=arguments,
        more=more,
        outcomes=list(Outcome),
        statuses=list(Status),
        flags=FLAGS,
        max_search_chars=MAX_SEARCH_CHARS,
        callback_url=f"{request.host_url}callbacks/{current_runtime().settings.callback_tokens[0]}",
    )


@blueprint.get("/acknowledge")
def confirm_acknowledging() -> Response:
    """How many tasks would be acknowledged, before they are."""
    with current_runtime().database.read() as connection:
        count = task_list.count_problems(connection, most=MAX_ACKNOWLEDGED + 1)
    return page("acknowledge.html", count=count, cap=MAX_ACKNOWLEDGED)


@blueprint.post("/acknowledge")
def acknowledge_all() -> AnyResponse:
    count = 0
    while count < MAX_ACKNOWLEDGED:
        with current_runtime().database.read() as connection:
            problems = TaskFilter(flag=Flag.PROBLEM)
            found = task_list.find(connection, problems, limit=ACKNOWLEDGE_BATCH_SIZE)
            ids = [task.task_id for task in found.tasks]
        step = acknowledge_tasks(current_runtime(), ids)
        if not step:
            break
        count += step
    if count:
        record_action(
            current_runtime(),
            ActionKind.ACKNOWLEDGED,
            now=request_time(),
            actor=current_actor(),
            detail={"tasks": count},
        )
        flash(f"{quantity(count, 'task')} acknowledged. A task will reappear if it changes.")
    else:
        flash("Nothing to acknowledge: there are no unacknowledged problems.")
    return redirect(url_for("admin.list_tasks"), 303)


def _filter(query: Mapping[str, Any]) -> TaskFilter:
    return TaskFilter(
        outcome=query["outcome"],
        status=query["status"],
        flag=query["flag"],
        text=query["q"] and query["q"].strip(),
        before=task_cursor(query["cursor"]),
        due_before=overdue_before(),
    )


def _filter_arguments(filters: TaskFilter) -> dict[str, Any]:
    """The same filters, for a link."""
    arguments = {
        "outcome": filters.outcome,
        "status": filters.status,
        "flag": filters.flag,
        "q": filters.text,
    }
    return {name: value for name, value in arguments.items() if value is not None}


def _needing_attention(connection: Connection) -> Sequence[Task]:
    """The newest unresolved, conflicting and overdue tasks, no task twice."""
    filters = (
        TaskFilter(flag=Flag.PROBLEM, outcome=Outcome.UNRESOLVED),
        TaskFilter(flag=Flag.PROBLEM),
        TaskFilter(flag=Flag.OVERDUE, due_before=overdue_before()),
    )
    pages = [task_list.find(connection, filter_, limit=ATTENTION_SIZE) for filter_ in filters]
    return list({task.task_id: task for page in pages for task in page.tasks}.values())


def _rows(found: Sequence[Task]) -> Sequence[TaskRow]:
    return [task_row(task, request_time(), overdue_before=overdue_before()) for task in found]
