"""What is around every admin page: the health line, the headers, and errors as pages."""

import logging
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, g, render_template, request, url_for
from flask_wtf.csrf import CSRFError

from receiver.store.audit_log import Actor
from receiver.store.database import StoreUnavailableError
from receiver.web.admin.assets import FOLDER, cache_control, versions
from receiver.web.admin.health_banner import Health, build_banner
from receiver.web.admin.media import media_origins
from receiver.web.admin.system_state import overdue_before, read_system_state, unreadable
from receiver.web.current import current_runtime
from receiver.web.problems import describe
from receiver.web.storage_health import short_cause

log = logging.getLogger(__name__)

PREFIX = "/admin"
blueprint = Blueprint("admin", __name__, url_prefix=PREFIX, static_folder=FOLDER, static_url_path="/static")

POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'{media};"
    " media-src 'self'{media}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with none at all the CSRF check refuses every form sent by TLS
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Not even the names in links are looked up before somebody follows one.
    "X-DNS-Prefetch-Control": "off",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
WITH_MEDIA = "admin.read_task"  # its covers and tracks are the one thing that comes from other hosts


def current_actor() -> Actor:
    """Who is signed in: there is one password, so he is known by his address."""
    return Actor(via="admin page", address=request.remote_addr)


def page(
    template: str, *, status: int = 200, health: Health | None = None, live: bool = False, **told: Any
) -> Response:
    """A page; without `health` it is one that may be seen before signing in. A `live` one renews itself."""
    text = render_template(f"admin/{template}", health=health, live=live, **told)
    # JSON can bring half a surrogate pair, which UTF-8 cannot write.
    return Response(text.encode(errors="replace"), status=status, content_type="text/html; charset=utf-8")


def late_before(now: datetime) -> datetime | None:
    return overdue_before(current_runtime(), now)


def gather_health() -> Health:
    return build_banner(read_system_state(current_runtime()))


def protect_answer(response: Response) -> Response:
    """For the whole application, as an address that no route matches belongs to no blueprint."""
    if request.path != PREFIX and not request.path.startswith(f"{PREFIX}/"):
        return response
    origins = media_origins(current_runtime().settings.upstream_url) if request.endpoint == WITH_MEDIA else ()
    media = "".join(f" {origin}" for origin in origins)
    response.headers.update(HEADERS | {"Content-Security-Policy": POLICY.format(media=media)})
    kept = "no-store"
    if request.endpoint == "admin.static" and response.status_code in (200, 206, 304):
        assert request.view_args
        kept = cache_control(request.view_args["filename"], request.args.get("v"))
    response.headers["Cache-Control"] = kept
    return response


@blueprint.app_template_global()
def asset(name: str) -> str:
    """The address of one of the page's own files."""
    return url_for("admin.static", filename=name, v=versions()[name])


@blueprint.errorhandler(CSRFError)
def _form_refused(error: CSRFError) -> Response:
    log.warning("form refused: %s", error.description, extra={"told": {"from": request.remote_addr}})
    advice = "The form was too old, or did not come from this page. Go back, reload the page and try again;"
    return error_page(400, "This form was refused", f"{advice} if that does not help, sign in again.")


@blueprint.errorhandler(StoreUnavailableError)
def _unavailable(error: StoreUnavailableError) -> Response:
    problem = describe(error)
    detail = f"Nothing was changed: {short_cause(str(error))}. Try again in a moment."
    health = build_banner(unreadable(error)) if g.get("signed_in") else None
    response = error_page(problem.status, problem.type.title, detail, health)
    response.headers.update(problem.headers)
    return response


@blueprint.errorhandler(Exception)
def _show_problem(error: Exception) -> Response:
    problem = describe(error)
    response = error_page(problem.status, problem.type.title, problem.detail)
    response.headers.update(problem.headers)
    return response


@blueprint.route("/<path:anything>", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
def nowhere(anything: str) -> Response:  # noqa: ARG001
    """An address without a page, within the blueprint so that the guard stands before it too."""
    return error_page(404, "No such page", "Check the address.")


def error_page(status: int, title: str, detail: str, health: Health | None = None) -> Response:
    if health is None and g.get(
        "signed_in"
    ):  # after a fault of ours, looking at the database might only fail again
        health = gather_health() if status < 500 else Health.unknown(title)
    return page("error.html", status=status, health=health, title=title, detail=detail, code=status)
