"""The quarantine: payloads that could not be parsed, and reprocessing them with the current parser."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flask import Response, flash, redirect, url_for
from werkzeug.wrappers import Response as AnyResponse

from receiver import reprocessing
from receiver.core.plurals import quantity
from receiver.operations import record_action
from receiver.reprocessing import Reprocessed, Summary
from receiver.store import quarantine
from receiver.store.audit_log import ActionKind
from receiver.store.quarantine import CAUSES, QuarantineFilter
from receiver.web.admin import queries
from receiver.web.admin.badges import cause_badge
from receiver.web.admin.blueprint import blueprint, current_actor, read_query, request_time
from receiver.web.admin.body_preview import MAX_LISTED_CHARS
from receiver.web.admin.error_pages import error_page
from receiver.web.admin.layout import page
from receiver.web.admin.presenters import delivery_row
from receiver.web.admin.queries import SHOW_ALL
from receiver.web.current import current_runtime

PAGE_SIZE = 25
CHANGES_SHOWN = 50
COUNT_CAP = 100_000
ACKNOWLEDGE_BATCH_SIZE = 500


@blueprint.get("/quarantine")
def list_quarantine() -> Response:
    now, (filters, before) = request_time(), _filter()
    with current_runtime().database.read() as connection:
        stored, older = quarantine.page(connection, filters, limit=PAGE_SIZE, before=before)
    return page(
        "quarantine.html",
        live=before is None,
        rows=[delivery_row(delivery, now, max_chars=MAX_LISTED_CHARS) for delivery in stored],
        filters=filters,
        arguments=_filter_arguments(filters),
        causes={cause: cause_badge(cause) for cause in CAUSES},
        first_page=before is None,
        more=url_for("admin.list_quarantine", **_filter_arguments(filters), before=older) if older else None,
    )


@blueprint.get("/quarantine/read-again")
def preview_reprocessing() -> Response:
    """What reprocessing would change, and in how many deliveries, before anything is changed."""
    now, (filters, before) = request_time(), _filter()
    with current_runtime().database.read() as connection:
        count = quarantine.count(connection, filters, cap=COUNT_CAP, before=before)
        found = quarantine.find(connection, filters, limit=reprocessing.MAX_DELIVERIES, before=before)
    if not found and filters.delivery_id is not None:
        return error_page(404, "Not in quarantine", "This delivery is not in quarantine, or no longer.")
    planned = reprocessing.preview(current_runtime(), found, now=now)
    return page(
        "reprocess.html",
        count=count,
        count_cap=COUNT_CAP,
        previewed=len(found),
        summary=reprocessing.summarize(planned),
        shown=[
            (
                delivery_row(step.before, now, max_chars=MAX_LISTED_CHARS),
                delivery_row(step.after, now, max_chars=0),
            )
            for step in _worth_showing(planned, single=filters.delivery_id is not None)
        ],
        filters=filters,
        arguments=_filter_arguments(filters),
        before=before,
        up_to=found[0].id + 1 if found else None,  # what arrives meanwhile was not previewed
    )


@blueprint.post("/quarantine/read-again")
def reprocess_quarantine() -> AnyResponse:
    filters, before = _filter()
    done, older = reprocessing.reprocess(
        current_runtime(), filters, now=request_time(), actor=current_actor(), before=before
    )
    flash(_words(done) if done.total else "Nothing to reprocess: no delivery in quarantine matches.")
    if older is not None and filters.delivery_id is None:
        return redirect(
            url_for("admin.preview_reprocessing", **_filter_arguments(filters), before=older), 303
        )
    return redirect(
        url_for("admin.list_quarantine", **_filter_arguments(replace(filters, delivery_id=None))), 303
    )


def _words(done: Summary) -> str:
    return (
        f"{quantity(done.total, 'delivery', 'deliveries')} reprocessed: {done.readable} parsed,"
        f" {quantity(done.changing, 'task')} changed, {done.total - done.readable} still in quarantine."
    )


@blueprint.post("/quarantine/acknowledge")
def acknowledge_quarantine() -> AnyResponse:
    """Acknowledge all that match, except what has arrived since they were counted."""
    now, count = request_time(), 0
    filters, before = _filter()
    filters = replace(filters, include_acknowledged=False)
    while True:
        with current_runtime().database.write() as connection:
            ids = quarantine.newest_ids(connection, filters, limit=ACKNOWLEDGE_BATCH_SIZE, before=before)
            step = quarantine.acknowledge(connection, ids, now=now)
            count += step
        if step < ACKNOWLEDGE_BATCH_SIZE:
            break
    if count:
        detail = {"deliveries": count, "cause": filters.cause or "any"}
        record_action(
            current_runtime(), ActionKind.ACKNOWLEDGED, now=now, actor=current_actor(), detail=detail
        )
        flash(f"{quantity(count, 'delivery', 'deliveries')} acknowledged.")
    else:
        flash("Nothing to acknowledge: no unacknowledged delivery in quarantine matches.")
    return redirect(url_for("admin.list_quarantine"), 303)


def _filter() -> tuple[QuarantineFilter, int | None]:
    """The deliveries that the address is about, and the id before which they begin."""
    query = read_query(queries.QUARANTINE)
    filters = QuarantineFilter(
        cause=query["cause"], include_acknowledged=query["seen"] is not None, delivery_id=query["delivery_id"]
    )
    return filters, query["before"]


def _filter_arguments(filters: QuarantineFilter) -> dict[str, Any]:
    arguments = {
        "cause": filters.cause,
        "seen": SHOW_ALL if filters.include_acknowledged else None,
        "only": filters.delivery_id,
    }
    return {name: str(value) for name, value in arguments.items() if value is not None}


def _worth_showing(planned: Sequence[Reprocessed], *, single: bool) -> Sequence[Reprocessed]:
    return planned if single else [step for step in planned if step.readable][:CHANGES_SHOWN]
