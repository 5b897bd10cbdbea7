"""Errors as pages."""

import logging

from flask import Response, g, request
from flask_wtf.csrf import CSRFError

from receiver.store.database import StoreUnavailableError
from receiver.web.admin.blueprint import blueprint
from receiver.web.admin.health_banner import Health, build_banner
from receiver.web.admin.layout import page
from receiver.web.admin.system_state import unreadable
from receiver.web.api_errors import ErrorResponse, describe
from receiver.web.storage_health import short_cause

log = logging.getLogger(__name__)


def error_page(status: int, title: str, detail: str) -> Response:
    if status >= 500 and g.get("signed_in") and "health" not in g:
        g.health = Health.unknown(title)
    return page("error.html", status=status, title=title, detail=detail, code=status)


@blueprint.route("/<path:anything>", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
def not_found(anything: str) -> Response:  # noqa: ARG001
    """An address without a page, within the blueprint so that the guard stands before it too."""
    return error_page(404, "Page not found", "Check the address.")


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
    return _page_of(described, described.type.title, described.detail)


def _page_of(described: ErrorResponse, title: str, detail: str) -> Response:
    response = error_page(described.status, title, detail)
    response.headers.update(described.headers)
    return response
