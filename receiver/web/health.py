"""`/healthz`: the process responds. `/readyz`: callbacks can be stored, whatever else is wrong."""

from flask import Blueprint, Response, jsonify

from receiver.clock import utc_now
from receiver.core.alarms import find_alarms
from receiver.store.database import StoreUnavailableError
from receiver.web.current import current_runtime
from receiver.web.read_system_state import read_system_state, unreadable
from receiver.web.stats import serialize_poller

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    return jsonify(status="ok")


@blueprint.get("/readyz")
def readyz() -> tuple[Response, int]:
    """503 only if callbacks cannot be stored; `problems` lists all that is wrong."""
    try:
        condition = read_system_state(current_runtime(), now=utc_now())
    except StoreUnavailableError as error:
        condition = unreadable(error)
    problem = condition.storage.problem
    body = jsonify(
        status="unavailable" if problem else "ok",
        database=problem or "ok",
        poller=serialize_poller(condition.poller) if condition.poller else None,
        problems=[
            {"name": alarm.name, "level": alarm.level, "text": alarm.text} for alarm in find_alarms(condition)
        ],
    )
    return body, 503 if problem else 200
