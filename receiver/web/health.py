"""`/healthz`: the process answers. `/readyz`: the database takes writes, whatever the poller does."""

import threading
import time

from flask import Blueprint, Response, current_app, jsonify

from receiver.runtime import utc_now
from receiver.store.database import Database, StoreUnavailableError
from receiver.store.probe import probe_write
from receiver.web.here import runtime_here
from receiver.web.stats import poller_state

blueprint = Blueprint("health", __name__)

KEPT_S = 1.0


class WriteProbe:
    """Tries a durable write, at most once in `KEPT_S`: the endpoint is open, and the disk not free."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._tried_at = -KEPT_S
        self._problem: str | None = None

    def problem(self) -> str | None:
        """Why the database takes no writes; None when it does."""
        if not self._lock.acquire(timeout=KEPT_S):
            return "the last write is still waiting"
        try:
            if time.monotonic() - self._tried_at >= KEPT_S:
                self._problem = self._try()
                self._tried_at = time.monotonic()
            return self._problem
        finally:
            self._lock.release()

    def _try(self) -> str | None:
        try:
            with self._database.write() as connection:
                probe_write(connection, now=utc_now())
        except StoreUnavailableError as error:
            return str(error)
        return None


@blueprint.get("/healthz")
def healthz() -> Response:
    return jsonify(status="ok")


@blueprint.get("/readyz")
def readyz() -> tuple[Response, int]:
    runtime = runtime_here()
    probe: WriteProbe = current_app.extensions["write_probe"]
    problem = probe.problem()
    if problem:
        return jsonify(status="unavailable", database=problem), 503
    with runtime.database.read() as connection:
        poller = poller_state(runtime, connection)
    return jsonify(status="ok", database="ok", poller=poller), 200
