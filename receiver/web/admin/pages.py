"""The pages: the list of tasks, one task with its deliveries, the quarantine."""

import logging
from collections.abc import Sequence
from datetime import datetime

from flask import Response, flash, redirect, request, url_for
from sqlalchemy import Connection
from werkzeug.wrappers import Response as AnyResponse

from receiver.core.observation import Status
from receiver.core.settlement import Outcome
from receiver.core.task import Task
from receiver.operations import request_task_poll
from receiver.runtime import utc_now
from receiver.store import deliveries, overview, tasks
from receiver.store.tasks import Filter
from receiver.web.admin import presenting
from receiver.web.admin.frame import blueprint, error_page, gather_health, page, runtime_here
from receiver.web.api import cursor_after, task_cursor

log = logging.getLogger(__name__)

FILTERS = ("outcome", "status", "q")
PAGE_SIZE = 50
ATTENTION_SIZE = 50
DELIVERIES_SHOWN = 200


@blueprint.get("/")
def list_tasks() -> Response:
    now, chosen = utc_now(), _chosen()
    filtered = bool(chosen.outcome or chosen.status or chosen.text)
    with runtime_here().database.read() as connection:
        found = tasks.find(connection, chosen, limit=PAGE_SIZE + 1)
        attention = [] if filtered or chosen.before else _needing_attention(connection, now)
    shown = found[:PAGE_SIZE]
    more = cursor_after(shown[-1]) if len(found) > len(shown) else None
    return page(
        "tasks.html",
        health=gather_health(),
        attention=[presenting.task_row(task, now) for task in attention],
        rows=[presenting.task_row(task, now) for task in shown],
        chosen=chosen,
        filtered=filtered,
        more=more and url_for("admin.list_tasks", _external=False, **(_kept() | {"cursor": more})),
        outcomes=[outcome.value for outcome in Outcome],
        statuses=[status.value for status in Status],
        callback_url=f"{request.host_url}callbacks/{runtime_here().settings.callback_tokens[0]}",
    )


@blueprint.get("/tasks/<task_id>")
def read_task(task_id: str) -> Response:
    now = utc_now()
    with runtime_here().database.read() as connection:
        task = tasks.load(connection, task_id)
        told = deliveries.of_task(connection, task_id)
    if task is None:
        return _unknown_task()
    return page(
        "task.html",
        health=gather_health(),
        task=task,
        row=presenting.task_row(task, now),
        moments=presenting.moments_of(task, now),
        details=presenting.details_of(task),
        tracks=presenting.track_cards(task),
        deliveries=[presenting.delivery_row(one, now) for one in told[-DELIVERIES_SHOWN:]],
        hidden=max(len(told) - DELIVERIES_SHOWN, 0),
        can_poll=bool(runtime_here().settings.upstream_api_key),
    )


@blueprint.post("/tasks/<task_id>/poll")
def poll_task(task_id: str) -> AnyResponse:
    if request_task_poll(runtime_here(), task_id, now=utc_now()) is None:
        return _unknown_task()
    log.info("poll requested on the admin page", extra={"told": {"taskId": task_id}})
    flash("Record-info will be asked as soon as the quota allows. Reload to see what it said.")
    return redirect(url_for("admin.read_task", task_id=task_id), 303)


@blueprint.get("/quarantine")
def list_quarantine() -> Response:
    now, cursor = utc_now(), request.args.get("cursor", "")
    if cursor and not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 19):
        return error_page(422, "No such page", "Take the link to the next page from the list.")
    before = int(cursor) if cursor else None
    with runtime_here().database.read() as connection:
        found = deliveries.quarantined(connection, limit=PAGE_SIZE + 1, before=before)
    shown = found[:PAGE_SIZE]
    more = shown[-1].id if len(found) > len(shown) else None
    return page(
        "quarantine.html",
        health=gather_health(),
        rows=[presenting.delivery_row(one, now) for one in shown],
        first_page=before is None,
        more=more and url_for("admin.list_quarantine", cursor=more),
    )


def _chosen() -> Filter:
    kept = _kept()
    before = task_cursor(request.args.get("cursor") or None)
    return Filter(outcome=kept.get("outcome"), status=kept.get("status"), text=kept.get("q"), before=before)


def _kept() -> dict[str, str]:
    """The filters of this page; PostgreSQL takes no NUL in a text."""
    given = {name: request.args.get(name, "").replace("\0", "").strip() for name in FILTERS}
    return {name: value for name, value in given.items() if value}


def _needing_attention(connection: Connection, now: datetime) -> Sequence[Task]:
    """Unresolved tasks, then overdue ones, then those in conflict; each once."""
    unresolved = tasks.find(connection, Filter(outcome=Outcome.UNRESOLVED), limit=ATTENTION_SIZE)
    due_before = now - presenting.OVERDUE_AFTER
    ids = [
        *overview.overdue_ids(connection, due_before=due_before, limit=ATTENTION_SIZE),
        *overview.conflict_ids(connection, limit=ATTENTION_SIZE),
    ]
    known = tasks.load_many(connection, set(ids))
    wanted = {task.task_id: task for task in unresolved} | {key: known[key] for key in ids if key in known}
    return list(wanted.values())[:ATTENTION_SIZE]


def _unknown_task() -> Response:
    detail = "No task with this id is known here. It may be mistyped, or nobody registered or told of it yet."
    return error_page(404, "Unknown task", detail)
