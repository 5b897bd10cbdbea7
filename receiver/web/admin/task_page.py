"""One task: its tracks, its story, what was said about it by whom, and what a person can do."""

from collections.abc import Iterable

from flask import Response, flash, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from receiver.core import difference
from receiver.core.claim_bounds import claims_too_much
from receiver.core.observation import Source
from receiver.core.payloads import Kind, read_again
from receiver.core.payloads.fields import UNSTORABLE
from receiver.core.reconciliation import TaskState, reconcile
from receiver.core.task import LONGEST_LABEL
from receiver.operations import acknowledge_task, label_task, request_task_poll
from receiver.runtime import utc_now
from receiver.store import actions, deliveries, tasks
from receiver.store.deliveries import StoredDelivery
from receiver.store.schema import LARGEST_ID
from receiver.web.admin import rows, timeline
from receiver.web.admin.bodies import LONGEST_LISTED
from receiver.web.admin.frame import (
    blueprint,
    error_page,
    gather_health,
    late_before,
    page,
    person,
)
from receiver.web.admin.media import media_origins
from receiver.web.here import runtime_here

DELIVERIES_SHOWN = 100
ACTIONS_SHOWN = 100
# What two sources said is put together of so many contents and bytes: whoever may call back must not stall the page.
COMPARED = 200
LARGEST_COMPARED = 2_000_000
COUNTED = 10_000
WALKED = 1000


@blueprint.get("/tasks/<task_id>")
def read_task(task_id: str) -> Response:
    now, runtime = utc_now(), runtime_here()
    with runtime.database.read() as connection:
        task = tasks.load(connection, task_id)
        told = deliveries.of_task(connection, task_id, newest=DELIVERIES_SHOWN)
        count = deliveries.count_of_task(connection, task_id, most=COUNTED)
        done = actions.of_task(connection, task_id, limit=ACTIONS_SHOWN)
        kept = deliveries.bodies_of(connection, task_id, newest=COMPARED)
        dropped = deliveries.any_body_dropped(connection, task_id, newest=WALKED)
        statuses = deliveries.statuses_of(connection, task_id, newest=WALKED)
    hidden = "" if count == len(told) else f"{count - len(told)}{' or more' * (count == COUNTED)}"
    if task is None and not told:
        return _unknown_task()
    if task is None:  # a sister product's job is no task of ours, and its callbacks are kept all the same
        jobs = [rows.delivery_row(one, now, longest=LONGEST_LISTED) for one in reversed(told)]
        return page("job.html", health=gather_health(), task_id=task_id, deliveries=jobs, hidden=hidden)
    compared = difference.compare(_said(kept, Source.CALLBACK), _said(kept, Source.POLL), task.state)
    return page(
        "task.html",
        health=gather_health(),
        live=True,
        task=task,
        row=rows.task_row(task, now, late=late_before(now)),
        moments=rows.moments_of(task, now),
        details=rows.details_of(task),
        tracks=rows.track_cards(task, now, origins=media_origins(runtime.settings.upstream_url)),
        entries=timeline.tell(task, told, done, now=now),
        hidden=hidden,
        compared=difference.by_track(compared),
        differing=sum(row.differs for row in compared),
        told_statuses=statuses,
        partly=dropped
        or len(kept) == COMPARED
        or any(one.cause == Kind.TOO_MUCH for one in kept)
        or sum(len(one.body or b"") for one in kept) > LARGEST_COMPARED,
        can_poll=bool(runtime.settings.upstream_api_key),
        longest_label=LONGEST_LABEL,
    )


@blueprint.post("/tasks/<task_id>/poll")
def poll_task(task_id: str) -> AnyResponse:
    if not runtime_here().settings.upstream_api_key:
        return _back(task_id, "Without an API key nothing can be polled.")
    if request_task_poll(runtime_here(), task_id, now=utc_now(), actor=person()) is None:
        return _unknown_task()
    return _back(
        task_id, "Record-info will be asked as soon as the quota allows; what it says is shown here."
    )


@blueprint.post("/tasks/<task_id>/label")
def set_label(task_id: str) -> AnyResponse:
    label = " ".join(request.form.get("label", "").split())
    if len(label) > LONGEST_LABEL or UNSTORABLE.search(label):
        return _back(task_id, f"Not saved: a label is {LONGEST_LABEL} characters at most.")
    if label_task(runtime_here(), task_id, label=label or None, now=utc_now(), actor=person()) is None:
        return _unknown_task()
    return _back(task_id, "The label is saved." if label else "The label is removed.")


@blueprint.post("/tasks/<task_id>/acknowledge")
def mark_as_seen(task_id: str) -> AnyResponse:
    acknowledge_task(runtime_here(), task_id, now=utc_now(), actor=person())
    return _back(task_id, "Marked as seen. When the task changes, it is shown again.")


@blueprint.get("/deliveries/<int:delivery_id>/body")
def read_body(delivery_id: int) -> Response:
    """The bytes as they came, as a file that no browser runs."""
    with runtime_here().database.read() as connection:
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
    state, left = TaskState(), LARGEST_COMPARED
    for one in kept:
        left -= len(one.body or b"")
        if one.source == source and one.body is not None and left >= 0 and one.cause != Kind.TOO_MUCH:
            seen = read_again(one.body, source=source, task_id=one.task_id).observation
            state = state if seen is None or claims_too_much(state, seen) else reconcile(state, seen)
    return state


def _back(task_id: str, words: str) -> AnyResponse:
    flash(words)
    return redirect(url_for("admin.read_task", task_id=task_id), 303)


def _unknown_task() -> Response:
    detail = "No task with this id is known here. It may be mistyped, or nobody registered or told of it yet."
    return error_page(404, "Unknown task", detail)
