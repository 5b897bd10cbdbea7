"""The quarantine: what could not be read, why, and reading it again by the present schemas."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flask import Response, flash, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from receiver import reprocessing
from receiver.operations import record_action
from receiver.reprocessing import Reprocessed
from receiver.runtime import utc_now
from receiver.store import quarantine
from receiver.store.audit_log import ActionKind
from receiver.store.quarantine import CAUSES, QuarantineFilter
from receiver.web.admin.badges import cause_badge
from receiver.web.admin.body_preview import MAX_LISTED_CHARS
from receiver.web.admin.layout import (
    blueprint,
    current_actor,
    error_page,
    gather_health,
    page,
)
from receiver.web.admin.presenters import delivery_row
from receiver.web.current import current_runtime
from receiver.web.cursors import id_cursor
from receiver.web.problems import ErrorType, ProblemError

PAGE_SIZE = 25
CHANGES_SHOWN = 50
COUNT_CAP = 100_000
ACKNOWLEDGE_BATCH_SIZE = 500


@blueprint.get("/quarantine")
def list_quarantine() -> Response:
    now, wanted, before = utc_now(), _wanted(), id_cursor(request.args.get("before"))
    with current_runtime().database.read() as connection:
        shown, older = quarantine.page(connection, wanted, limit=PAGE_SIZE, before=before)
    return page(
        "quarantine.html",
        health=gather_health(),
        live=before is None,
        rows=[delivery_row(one, now, longest=MAX_LISTED_CHARS) for one in shown],
        wanted=wanted,
        kept=_filter_arguments(wanted),
        causes={cause.value: cause_badge(cause) for cause in CAUSES},
        first_page=before is None,
        more=url_for("admin.list_quarantine", **_filter_arguments(wanted), before=older) if older else None,
    )


@blueprint.get("/quarantine/read-again")
def preview_reprocessing() -> Response:
    """What reading again would change, and how many deliveries it is about, before anything is changed."""
    now, wanted, before = utc_now(), _wanted(), id_cursor(request.args.get("before"))
    with current_runtime().database.read() as connection:
        count = quarantine.count(connection, wanted, most=COUNT_CAP, before=before)
        told = quarantine.find(connection, wanted, limit=reprocessing.MAX_DELIVERIES, before=before)
    if not told and wanted.only is not None:
        return error_page(404, "Not in quarantine", "This delivery is not in quarantine (any more).")
    planned = reprocessing.preview(current_runtime(), told, now=now)
    return page(
        "reread.html",
        health=gather_health(),
        count=count,
        counted=COUNT_CAP,
        looked_at=len(told),
        summary=reprocessing.summarize(planned),
        shown=[
            (delivery_row(one.before, now, longest=MAX_LISTED_CHARS), delivery_row(one.after, now, longest=0))
            for one in _worth_showing(planned, alone=wanted.only is not None)
        ],
        wanted=wanted,
        kept=_filter_arguments(wanted),
        before=before,
        pinned=told[0].id + 1 if told else None,  # what comes meanwhile was not looked at
    )


@blueprint.post("/quarantine/read-again")
def read_again() -> AnyResponse:
    wanted, before = _wanted(), id_cursor(request.args.get("before"))
    done, older = reprocessing.reprocess(
        current_runtime(), wanted, now=utc_now(), actor=current_actor(), before=before
    )
    flash(
        f"{done.looked_at} read again: {done.readable} can be read now, {done.changing} changed their task,"
        f" {done.looked_at - done.readable} stay in quarantine."
    )
    if older is not None and wanted.only is None:
        return redirect(url_for("admin.preview_reprocessing", **_filter_arguments(wanted), before=older), 303)
    return redirect(url_for("admin.list_quarantine", **_filter_arguments(replace(wanted, only=None))), 303)


@blueprint.post("/quarantine/acknowledge")
def acknowledge_quarantine() -> AnyResponse:
    """Mark all that match as seen, but what has come since they were counted."""
    now, wanted, marked = utc_now(), replace(_wanted(), seen=False), 0
    before = id_cursor(request.args.get("before"))
    while True:
        with current_runtime().database.write() as connection:
            ids = quarantine.newest_ids(connection, wanted, limit=ACKNOWLEDGE_BATCH_SIZE, before=before)
            step = quarantine.acknowledge(connection, ids, now=now)
            marked += step
        if step < ACKNOWLEDGE_BATCH_SIZE:
            break
    detail = {"deliveries": marked, "cause": wanted.cause or "any"}
    record_action(current_runtime(), ActionKind.ACKNOWLEDGED, now=now, actor=current_actor(), detail=detail)
    flash(f"{marked} marked as seen.")
    return redirect(url_for("admin.list_quarantine"), 303)


def _wanted() -> QuarantineFilter:
    """Which deliveries the address is about; what is not understood must not widen it."""
    only, cause = id_cursor(request.args.get("only")), request.args.get("cause") or None
    if cause not in (None, *(one.value for one in CAUSES)):
        raise ProblemError(ErrorType.INVALID_REQUEST, "Choose a filter from the list.")
    return QuarantineFilter(cause=cause, seen=request.args.get("seen") == "yes", only=only)


def _filter_arguments(wanted: QuarantineFilter) -> dict[str, Any]:
    told = {"cause": wanted.cause, "seen": "yes" if wanted.seen else None, "only": wanted.only}
    return {name: str(value) for name, value in told.items() if value is not None}


def _worth_showing(planned: Sequence[Reprocessed], *, alone: bool) -> Sequence[Reprocessed]:
    return planned if alone else [one for one in planned if one.readable][:CHANGES_SHOWN]
