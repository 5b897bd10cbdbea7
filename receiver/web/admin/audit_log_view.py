"""What people did: signed in, polled, labelled, read again, marked as seen."""

from flask import Response, request, url_for

from receiver.runtime import utc_now
from receiver.store import audit_log
from receiver.store.audit_log import ActionKind
from receiver.web.admin.badges import ACTIONS
from receiver.web.admin.layout import blueprint, gather_health, page
from receiver.web.admin.timeline import action_words
from receiver.web.admin.times import humanize
from receiver.web.current import current_runtime
from receiver.web.cursors import id_cursor, page_of
from receiver.web.problems import ErrorType, ProblemError

PAGE_SIZE = 50


@blueprint.get("/actions")
def list_actions() -> Response:
    now, before, kind = utc_now(), id_cursor(request.args.get("before")), _kind()
    with current_runtime().database.read() as connection:
        found = audit_log.newest(connection, limit=PAGE_SIZE + 1, before=before, kind=kind)
    shown, older = page_of(found, PAGE_SIZE)
    return page(
        "actions.html",
        health=gather_health(),
        live=before is None,
        rows=[(humanize(one.at, now), ACTIONS[one.kind], one.task_id, action_words(one)) for one in shown],
        kinds={one: mark.word for one, mark in ACTIONS.items()},
        kind=kind,
        kept={"kind": kind} if kind else {},
        first_page=before is None,
        more=url_for("admin.list_actions", kind=kind, before=older) if older else None,
    )


def _kind() -> ActionKind | None:
    given = request.args.get("kind") or None
    if given not in (None, *ActionKind):
        raise ProblemError(ErrorType.INVALID_REQUEST, "Choose a filter from the list.")
    return None if given is None else ActionKind(given)
