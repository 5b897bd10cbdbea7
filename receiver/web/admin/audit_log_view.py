"""The audit log: actions by users, API clients, commands and the daily job."""

from flask import Response, url_for

from receiver.core.times import humanize
from receiver.store import audit_log
from receiver.web.admin import queries
from receiver.web.admin.action_words import action_words
from receiver.web.admin.badges import ACTIONS
from receiver.web.admin.blueprint import blueprint, read_query, request_time
from receiver.web.admin.layout import page
from receiver.web.current import current_runtime
from receiver.web.cursors import page_of

PAGE_SIZE = 50


@blueprint.get("/actions")
def list_actions() -> Response:
    now, query = request_time(), read_query(queries.AUDIT_LOG)
    before, kind = query["before"], query["kind"]
    with current_runtime().database.read() as connection:
        found = audit_log.newest(connection, limit=PAGE_SIZE + 1, before=before, kind=kind)
    actions, older = page_of(found, PAGE_SIZE)
    return page(
        "audit_log.html",
        live=before is None,
        rows=[
            (humanize(action.at, now), ACTIONS[action.kind], action.task_id, action_words(action))
            for action in actions
        ],
        kinds={kind: badge.word for kind, badge in ACTIONS.items()},
        kind=kind,
        filters={"kind": kind} if kind else {},
        first_page=before is None,
        more=url_for("admin.list_actions", kind=kind, before=older) if older else None,
    )
