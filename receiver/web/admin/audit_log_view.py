"""The audit log: actions by users, API clients, commands and the daily job."""

from flask import Response, request, url_for

from receiver.core.times import humanize
from receiver.store import audit_log
from receiver.store.audit_log import ActionKind
from receiver.web.admin.action_words import action_words
from receiver.web.admin.badges import ACTIONS
from receiver.web.admin.blueprint import blueprint, request_time
from receiver.web.admin.layout import page
from receiver.web.api_errors import ApiError
from receiver.web.current import current_runtime
from receiver.web.cursors import id_cursor, page_of
from receiver.web.error_types import ErrorType

PAGE_SIZE = 50


@blueprint.get("/actions")
def list_actions() -> Response:
    now, before, kind = request_time(), id_cursor(request.args.get("before")), _kind()
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


def _kind() -> ActionKind | None:
    kind = request.args.get("kind") or None
    if kind not in (None, *ActionKind):
        raise ApiError(ErrorType.INVALID_REQUEST, "Unknown filter value. Choose one from the list.")
    return None if kind is None else ActionKind(kind)
