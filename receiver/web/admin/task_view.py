"""One task: its tracks, its story, what was said about it by whom, and what a person can do."""

from collections.abc import Iterable

from flask import Response, flash, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from receiver.clock import utc_now
from receiver.core import source_comparison
from receiver.core.claim_bounds import exceeds_claim_limits
from receiver.core.observation import Source
from receiver.core.payloads import ParseOutcome, parse_stored
from receiver.core.payloads.fields import UNSTORABLE
from receiver.core.reconciliation import TaskState, reconcile
from receiver.core.task import MAX_LABEL_CHARS
from receiver.operations import acknowledge_task, label_task, request_task_poll
from receiver.store import audit_log, deliveries, tasks
from receiver.store.deliveries import StoredDelivery
from receiver.store.schema import LARGEST_ID
from receiver.web.admin import presenters, timeline
from receiver.web.admin.body_preview import MAX_LISTED_CHARS
from receiver.web.admin.layout import (
    blueprint,
    current_actor,
    error_page,
    gather_health,
    late_before,
    page,
)
from receiver.web.admin.media import media_origins
from receiver.web.current import current_runtime

DELIVERIES_SHOWN = 100
ACTIONS_SHOWN = 100
# What two sources said is put together of so many contents and bytes: whoever may call back must not stall the page.
COMPARED = 200
MAX_COMPARED_BYTES = 2_000_000
COUNT_CAP = 10_000
SCAN_LIMIT = 1000


@blueprint.get("/tasks/<task_id>")
def read_task(task_id: str) -> Response:
    now, runtime = utc_now(), current_runtime()
    with runtime.database.read() as connection:
        task = tasks.load(connection, task_id)
        told = deliveries.of_task(connection, task_id, newest=DELIVERIES_SHOWN)
        count = deliveries.count_of_task(connection, task_id, most=COUNT_CAP)
        done = audit_log.of_task(connection, task_id, limit=ACTIONS_SHOWN)
        kept = deliveries.bodies_of(connection, task_id, newest=COMPARED)
        dropped = deliveries.any_body_dropped(connection, task_id, newest=SCAN_LIMIT)
        statuses = deliveries.statuses_of(connection, task_id, newest=SCAN_LIMIT)
    hidden = "" if count == len(told) else f"{count - len(told)}{' or more' * (count == COUNT_CAP)}"
    if task is None and not told:
        return _unknown_task()
    if task is None:  # a sister product's job is no task of ours, and its callbacks are kept all the same
        jobs = [presenters.delivery_row(one, now, longest=MAX_LISTED_CHARS) for one in reversed(told)]
        return page("job.html", health=gather_health(), task_id=task_id, deliveries=jobs, hidden=hidden)
    compared = source_comparison.compare(_said(kept, Source.CALLBACK), _said(kept, Source.POLL), task.state)
    return page(
        "task.html",
        health=gather_health(),
        live=True,
        task=task,
        row=presenters.task_row(task, now, late=late_before(now)),
        moments=presenters.moments_of(task, now),
        details=presenters.details_of(task),
        tracks=presenters.track_cards(task, now, origins=media_origins(runtime.settings.upstream_url)),
        entries=timeline.build_timeline(task, told, done, now=now),
        hidden=hidden,
        compared=source_comparison.by_track(compared),
        differing=sum(row.differs for row in compared),
        told_statuses=statuses,
        partly=dropped
        or len(kept) == COMPARED
        or any(one.cause == ParseOutcome.TOO_MUCH for one in kept)
        or sum(len(one.body or b"") for one in kept) > MAX_COMPARED_BYTES,
        can_poll=bool(runtime.settings.upstream_api_key),
        longest_label=MAX_LABEL_CHARS,
    )


@blueprint.post("/tasks/<task_id>/poll")
def poll_task(task_id: str) -> AnyResponse:
    if not current_runtime().settings.upstream_api_key:
        return _back(task_id, "Without an API key nothing can be polled.")
    if request_task_poll(current_runtime(), task_id, now=utc_now(), actor=current_actor()) is None:
        return _unknown_task()
    return _back(
        task_id, "Record-info will be asked as soon as the quota allows; what it says is shown here."
    )


@blueprint.post("/tasks/<task_id>/label")
def set_label(task_id: str) -> AnyResponse:
    label = " ".join(request.form.get("label", "").split())
    if len(label) > MAX_LABEL_CHARS or UNSTORABLE.search(label):
        return _back(task_id, f"Not saved: a label is {MAX_LABEL_CHARS} characters at most.")
    if (
        label_task(current_runtime(), task_id, label=label or None, now=utc_now(), actor=current_actor())
        is None
    ):
        return _unknown_task()
    return _back(task_id, "The label is saved." if label else "The label is removed.")


@blueprint.post("/tasks/<task_id>/acknowledge")
def acknowledge(task_id: str) -> AnyResponse:
    acknowledge_task(current_runtime(), task_id, now=utc_now(), actor=current_actor())
    return _back(task_id, "Marked as seen. When the task changes, it is shown again.")


@blueprint.get("/deliveries/<int:delivery_id>/body")
def read_body(delivery_id: int) -> Response:
    """The bytes as they came, as a file that no browser runs."""
    with current_runtime().database.read() as connection:
        told = deliveries.load(connection, delivery_id) if delivery_id <= LARGEST_ID else None
    if told is None or told.body is None:
        return error_page(404, "No such body", "There is no such delivery, or its body is not kept any more.")
    answer = Response(told.body, content_type="text/plain; charset=utf-8")
    answer.headers["Content-Disposition"] = f'attachment; filename="delivery-{delivery_id}.txt"'
    return answer


def _said(kept: Iterable[StoredDelivery], source: Source) -> TaskState:
    """What these deliveries of one source say together, by the present schemas, as far as they are worth reading.

    Without the callbacks that claimed too much: a page must not grow with what strangers send either.
    """
    state, left = TaskState(), MAX_COMPARED_BYTES
    for one in kept:
        left -= len(one.body or b"")
        if one.source == source and one.body is not None and left >= 0 and one.cause != ParseOutcome.TOO_MUCH:
            seen = parse_stored(one.body, source=source, task_id=one.task_id).observation
            state = state if seen is None or exceeds_claim_limits(state, seen) else reconcile(state, seen)
    return state


def _back(task_id: str, words: str) -> AnyResponse:
    flash(words)
    return redirect(url_for("admin.read_task", task_id=task_id), 303)


def _unknown_task() -> Response:
    detail = "No task with this id is known here. It may be mistyped, or nobody registered or told of it yet."
    return error_page(404, "Unknown task", detail)
