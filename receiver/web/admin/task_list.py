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
from receiver.operations import acknowledge_tasks, note_done
from receiver.runtime import utc_now
from receiver.store import listing
from receiver.store.actions import Kind
from receiver.store.listing import Filter, Flag
from receiver.web.admin.frame import blueprint, gather_health, late_before, page, person
from receiver.web.admin.rows import task_row
from receiver.web.cursors import cursor_at, task_cursor
from receiver.web.here import runtime_here
from receiver.web.problems import ProblemError

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
MARKED_AT_ONCE = 200
MOST_MARKED = 10_000


@blueprint.get("/")
def list_tasks() -> Response:
    now, kept = utc_now(), _kept()
    chosen = _filter(kept, now)
    first_page = not kept and chosen.before is None
    with runtime_here().database.read() as connection:
        found = listing.find(connection, chosen, limit=PAGE_SIZE)
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
        callback_url=f"{request.host_url}callbacks/{runtime_here().settings.callback_tokens[0]}",
    )


@blueprint.get("/acknowledge")
def confirm_acknowledging() -> Response:
    """How many tasks would be marked as seen, before they are."""
    with runtime_here().database.read() as connection:
        count = listing.count_problems(connection, most=MOST_MARKED + 1)
    return page("acknowledge.html", health=gather_health(), count=count, most=MOST_MARKED)


@blueprint.post("/acknowledge")
def acknowledge_all() -> AnyResponse:
    now, marked = utc_now(), 0
    while marked < MOST_MARKED:
        with runtime_here().database.read() as connection:
            wanted = Filter(flag=Flag.PROBLEM)
            ids = [task.task_id for task in listing.find(connection, wanted, limit=MARKED_AT_ONCE).tasks]
        step = acknowledge_tasks(runtime_here(), ids)
        if not step:
            break
        marked += step
    note_done(runtime_here(), Kind.ACKNOWLEDGED, now=now, actor=person(), detail={"tasks": marked})
    flash(f"{marked} marked as seen. When one of them changes, it is shown again.")
    return redirect(url_for("admin.list_tasks"), 303)


def _filter(kept: Mapping[str, str], now: datetime) -> Filter:
    return Filter(
        outcome=kept.get("outcome"),
        status=kept.get("status"),
        flag=Flag(kept["flag"]) if "flag" in kept else None,
        text=kept.get("q"),
        before=task_cursor(request.args.get("cursor") or None),
        due_before=late_before(now),
    )


def _kept() -> dict[str, Any]:
    """The filters in the address; PostgreSQL takes no NUL in a text."""
    given = {name: request.args.get(name, "").replace("\0", "").strip() for name in FILTERS}
    known = {name: value for name, value in given.items() if value}
    if known.get("flag") not in (None, *FLAGS):
        raise ProblemError(422, "No such filter", "Choose one of the list.")
    return known


def _needing_attention(connection: Connection, now: datetime) -> Sequence[Task]:
    """What ended badly, what is contradictory, what is late: the newest of each, no task twice."""
    wanted = (
        Filter(flag=Flag.PROBLEM, outcome=Outcome.UNRESOLVED),
        Filter(flag=Flag.PROBLEM),
        Filter(flag=Flag.OVERDUE, due_before=late_before(now)),
    )
    found = [task for one in wanted for task in listing.find(connection, one, limit=ATTENTION_SIZE).tasks]
    return list({task.task_id: task for task in found}.values())
