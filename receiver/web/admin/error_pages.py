"""Errors as pages."""

import logging
from collections.abc import Sequence

from flask import Response, g, request
from flask_wtf.csrf import CSRFError

from receiver.core.validation import quoted
from receiver.store.database import StoreUnavailableError
from receiver.web.admin.blueprint import blueprint
from receiver.web.admin.health_banner import Health, build_banner
from receiver.web.admin.layout import page
from receiver.web.api_errors import ErrorResponse, describe
from receiver.web.error_types import ErrorType
from receiver.web.read_system_state import unreadable
from receiver.web.storage_health import short_cause

log = logging.getLogger(__name__)


NAMES_SHOWN = 3
MAX_NAME_CHARS = 40
WORDS = {
    ErrorType.BAD_REQUEST: (
        "Request not understood",
        "Your browser's request cannot be read. Go back and try again.",
    ),
    ErrorType.BODY_INCOMPLETE: (
        "Form incomplete",
        "Only a part of the form arrived. Go back and send it again.",
    ),
    ErrorType.BODY_TOO_LARGE: (
        "Form too large",
        "Nothing was saved. Go back, shorten the text and try again.",
    ),
    ErrorType.METHOD_NOT_ALLOWED: ("Not possible", "Go back, and use the links and buttons of the page."),
    ErrorType.NOT_FOUND: ("Page not found", "Check the address."),
    ErrorType.INTERNAL_ERROR: (
        "Internal error",
        "This is a fault of the receiver, not yours. Its log has the cause.",
    ),
}
"""What a person reads in place of the API's words."""


def error_page(status: int, title: str, detail: str, *, again: str | None = None) -> Response:
    """`again` is the address of the page to open once more."""
    if status >= 500 and g.get("signed_in") and "health" not in g:
        g.health = Health.unknown(title)
    return page("error.html", status=status, title=title, detail=detail, code=status, again=again)


@blueprint.route("/<path:anything>", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
def not_found(anything: str) -> Response:  # noqa: ARG001
    """An address without a page, within the blueprint so that the guard stands before it too."""
    return error_page(404, *WORDS[ErrorType.NOT_FOUND])


@blueprint.errorhandler(CSRFError)
def _form_refused(error: CSRFError) -> Response:
    log.warning("form refused: %s", error.description, extra={"fields": {"from": request.remote_addr}})
    advice = "The form had expired or was not sent from this page. Go back, reload the page and try again."
    return error_page(400, "Form refused", f"{advice} If that does not help, sign in again.")


@blueprint.errorhandler(StoreUnavailableError)
def _unavailable(error: StoreUnavailableError) -> Response:
    if g.get("signed_in"):
        g.health = build_banner(unreadable(error))
    detail = f"Nothing was saved: {short_cause(str(error))}. Try again in a moment."
    return _page_of(describe(error), "Database unavailable", detail)


@blueprint.errorhandler(Exception)
def _failed(error: Exception) -> Response:
    described = describe(error)
    if described.type is ErrorType.INVALID_REQUEST:
        return _unknown_filter(list(described.errors or ()))
    return _page_of(described, *WORDS.get(described.type, (described.type.title, described.type.detail)))


def _unknown_filter(names: Sequence[str]) -> Response:
    """A part of the address has a name or a value that its page does not have."""
    more = ", …" if len(names) > NAMES_SHOWN else ""
    which = ", ".join(quoted(name, max_chars=MAX_NAME_CHARS) for name in names[:NAMES_SHOWN]) + more
    detail = f"This page does not know a part of its address: {which}. Open the page again and choose there."
    again = request.script_root + request.path if request.method == "GET" else None
    return error_page(422, "Unknown filter", detail, again=again)


def _page_of(described: ErrorResponse, title: str, detail: str) -> Response:
    response = error_page(described.status, title, detail)
    response.headers.update(described.headers)
    return response
