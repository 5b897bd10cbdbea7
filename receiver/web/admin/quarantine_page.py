"""The quarantine: what could not be read, why, and reading it again by the present schemas."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flask import Response, flash, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from receiver import rereading
from receiver.operations import note_done
from receiver.rereading import Reread
from receiver.runtime import utc_now
from receiver.store import quarantine
from receiver.store.actions import Kind
from receiver.store.quarantine import CAUSES, Quarantined
from receiver.web.admin.bodies import LONGEST_LISTED
from receiver.web.admin.frame import (
    blueprint,
    error_page,
    gather_health,
    page,
    person,
)
from receiver.web.admin.marks import cause_mark
from receiver.web.admin.rows import delivery_row
from receiver.web.cursors import id_cursor
from receiver.web.here import runtime_here
from receiver.web.problems import ProblemError

PAGE_SIZE = 25
CHANGES_SHOWN = 50
COUNTED = 100_000
MARKED_AT_ONCE = 500


@blueprint.get("/quarantine")
def list_quarantine() -> Response:
    now, wanted, before = utc_now(), _wanted(), id_cursor(request.args.get("before"))
    with runtime_here().database.read() as connection:
        shown, older = quarantine.page(connection, wanted, limit=PAGE_SIZE, before=before)
    return page(
        "quarantine.html",
        health=gather_health(),
        live=before is None,
        rows=[delivery_row(one, now, longest=LONGEST_LISTED) for one in shown],
        wanted=wanted,
        kept=_kept(wanted),
        causes={cause.value: cause_mark(cause) for cause in CAUSES},
        first_page=before is None,
        more=url_for("admin.list_quarantine", **_kept(wanted), before=older) if older else None,
    )


@blueprint.get("/quarantine/read-again")
def preview_rereading() -> Response:
    """What reading again would change, and how many deliveries it is about, before anything is changed."""
    now, wanted, before = utc_now(), _wanted(), id_cursor(request.args.get("before"))
    with runtime_here().database.read() as connection:
        count = quarantine.count(connection, wanted, most=COUNTED, before=before)
        told = quarantine.find(connection, wanted, limit=rereading.MOST_AT_ONCE, before=before)
    if not told and wanted.only is not None:
        return error_page(404, "Not in quarantine", "This delivery is not in quarantine (any more).")
    planned = rereading.preview(runtime_here(), told, now=now)
    return page(
        "reread.html",
        health=gather_health(),
        count=count,
        counted=COUNTED,
        looked_at=len(told),
        summary=rereading.summarize(planned),
        shown=[
            (delivery_row(one.before, now, longest=LONGEST_LISTED), delivery_row(one.after, now, longest=0))
            for one in _worth_showing(planned, alone=wanted.only is not None)
        ],
        wanted=wanted,
        kept=_kept(wanted),
        before=before,
        pinned=told[0].id + 1 if told else None,  # what comes meanwhile was not looked at
    )


@blueprint.post("/quarantine/read-again")
def read_again() -> AnyResponse:
    wanted, before = _wanted(), id_cursor(request.args.get("before"))
    done, older = rereading.read_again(runtime_here(), wanted, now=utc_now(), actor=person(), before=before)
    flash(
        f"{done.looked_at} read again: {done.readable} can be read now, {done.changing} changed their task,"
        f" {done.looked_at - done.readable} stay in quarantine."
    )
    if older is not None and wanted.only is None:
        return redirect(url_for("admin.preview_rereading", **_kept(wanted), before=older), 303)
    return redirect(url_for("admin.list_quarantine", **_kept(replace(wanted, only=None))), 303)


@blueprint.post("/quarantine/acknowledge")
def acknowledge_quarantine() -> AnyResponse:
    """Mark all that match as seen, but what has come since they were counted."""
    now, wanted, marked = utc_now(), replace(_wanted(), seen=False), 0
    before = id_cursor(request.args.get("before"))
    while True:
        with runtime_here().database.write() as connection:
            ids = quarantine.newest_ids(connection, wanted, limit=MARKED_AT_ONCE, before=before)
            step = quarantine.acknowledge(connection, ids, now=now)
            marked += step
        if step < MARKED_AT_ONCE:
            break
    detail = {"deliveries": marked, "cause": wanted.cause or "any"}
    note_done(runtime_here(), Kind.ACKNOWLEDGED, now=now, actor=person(), detail=detail)
    flash(f"{marked} marked as seen.")
    return redirect(url_for("admin.list_quarantine"), 303)


def _wanted() -> Quarantined:
    """Which deliveries the address is about; what is not understood must not widen it."""
    only, cause = id_cursor(request.args.get("only")), request.args.get("cause") or None
    if cause not in (None, *(one.value for one in CAUSES)):
        raise ProblemError(422, "No such filter", "Choose one of the list.")
    return Quarantined(cause=cause, seen=request.args.get("seen") == "yes", only=only)


def _kept(wanted: Quarantined) -> dict[str, Any]:
    told = {"cause": wanted.cause, "seen": "yes" if wanted.seen else None, "only": wanted.only}
    return {name: str(value) for name, value in told.items() if value is not None}


def _worth_showing(planned: Sequence[Reread], *, alone: bool) -> Sequence[Reread]:
    return planned if alone else [one for one in planned if one.readable][:CHANGES_SHOWN]
