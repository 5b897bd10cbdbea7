"""The admin page's blueprint, and what every view knows of its request."""

from datetime import datetime
from typing import Any

from flask import Blueprint, g, request, url_for
from marshmallow import Schema

from receiver.clock import utc_now
from receiver.store.audit_log import Actor
from receiver.web import read_system_state
from receiver.web.admin.assets import FOLDER, versions
from receiver.web.api_input import parameters
from receiver.web.current import current_runtime

PREFIX = "/admin"
blueprint = Blueprint("admin", __name__, url_prefix=PREFIX, static_folder=FOLDER, static_url_path="/static")


def is_on_page(path: str) -> bool:
    """Whether an address belongs to the admin page, with or without a route."""
    return f"{path}/".startswith(f"{PREFIX}/")


def request_time() -> datetime:
    """The time of this request, the same wherever it is used."""
    if "now" not in g:
        g.now = utc_now()
    moment: datetime = g.now
    return moment


def overdue_before() -> datetime | None:
    return read_system_state.overdue_before(current_runtime(), request_time())


def read_query(schema: Schema) -> dict[str, Any]:
    """What the address asks for. Raises `ApiError`, so that nothing wrong is ignored and widens a filter."""
    return parameters(schema, without_empty=True)


def current_actor() -> Actor:
    """Who is signed in. There is one password, so the address tells people apart."""
    return Actor(via="admin page", address=request.remote_addr)


@blueprint.app_template_global()
def asset(name: str) -> str:
    """The URL of one of the page's own files."""
    return url_for("admin.static", filename=name, v=versions()[name])
