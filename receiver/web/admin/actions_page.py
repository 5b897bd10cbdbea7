"""What people did: signed in, polled, labelled, read again, marked as seen."""

from flask import Response, request, url_for

from receiver.runtime import utc_now
from receiver.store import actions
from receiver.store.actions import Kind
from receiver.web.admin.frame import blueprint, gather_health, page
from receiver.web.admin.marks import ACTIONS
from receiver.web.admin.moments import moment_words
from receiver.web.admin.timeline import action_words
from receiver.web.cursors import id_cursor, page_of
from receiver.web.here import runtime_here
from receiver.web.problems import ProblemError

PAGE_SIZE = 50


@blueprint.get("/actions")
def list_actions() -> Response:
    now, before, kind = utc_now(), id_cursor(request.args.get("before")), _kind()
    with runtime_here().database.read() as connection:
        found = actions.newest(connection, limit=PAGE_SIZE + 1, before=before, kind=kind)
    shown, older = page_of(found, PAGE_SIZE)
    return page(
        "actions.html",
        health=gather_health(),
        live=before is None,
        rows=[
            (moment_words(one.at, now), ACTIONS[one.kind], one.task_id, action_words(one)) for one in shown
        ],
        kinds={one: mark.word for one, mark in ACTIONS.items()},
        kind=kind,
        kept={"kind": kind} if kind else {},
        first_page=before is None,
        more=url_for("admin.list_actions", kind=kind, before=older) if older else None,
    )


def _kind() -> Kind | None:
    given = request.args.get("kind") or None
    if given not in (None, *Kind):
        raise ProblemError(422, "No such filter", "Choose one of the list.")
    return None if given is None else Kind(given)
