"""`create_app`: the web application on a runtime."""

import logging
import time

from flask import Flask

from receiver.background import Background
from receiver.logs import set_up_logging
from receiver.runtime import Runtime, open_runtime
from receiver.settings import Settings
from receiver.store.database import StoreUnavailableError
from receiver.web import admin, api, callbacks, docs, health, metrics
from receiver.web.api_errors import register_error_handlers
from receiver.web.broken_bodies import with_broken_bodies
from receiver.web.long_polling import LongPollSlots
from receiver.web.proxies import behind_proxies
from receiver.web.request_ids import with_request_ids
from receiver.web.routing import PathRoutedFlask, register_redirects
from receiver.web.slashes import with_single_slashes
from receiver.web.storage_health import WriteProbe

BOOT_RETRY_S = 2.0

log = logging.getLogger(__name__)


def create_app(settings: Settings) -> Flask:
    """The WSGI application. Migrates the database; polls nothing until `background(app).start()`."""
    return build_app(wait_for_runtime(settings))


def wait_for_runtime(settings: Settings) -> Runtime:
    """Migrate the database, and wait while it is unavailable.

    gunicorn would stop altogether when a worker fails to boot.
    """
    set_up_logging(settings.log_format)
    while True:
        try:
            return open_runtime(settings, migrate=True)
        except StoreUnavailableError as error:
            log.warning("database unavailable, trying again: %s", error)
            time.sleep(BOOT_RETRY_S)


def build_app(runtime: Runtime) -> Flask:
    settings = runtime.settings
    if not settings.upstream_api_key:
        log.warning("no RECEIVER_UPSTREAM_API_KEY: callbacks only, nothing is polled or confirmed")
    app = PathRoutedFlask("receiver.web", static_folder=None)
    app.config.update(SECRET_KEY=settings.secret_key, MAX_CONTENT_LENGTH=settings.max_body_bytes)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # keys stay in the order of docs/api.md
    app.extensions["receiver"] = runtime
    app.extensions["background"] = Background(runtime)
    app.extensions["long_poll_slots"] = LongPollSlots(settings.threads // 2)
    app.extensions["write_probe"] = WriteProbe(runtime.database, body_bytes=settings.max_body_bytes)
    register_redirects(app)
    register_error_handlers(app)
    for edge in (callbacks, api, health, metrics, docs):
        app.register_blueprint(edge.blueprint)
    admin.register(app)
    served = with_broken_bodies(with_single_slashes(app.wsgi_app))
    served = with_request_ids(metrics.with_measured_requests(served, runtime.metrics))
    app.wsgi_app = served  # type: ignore[method-assign, assignment]
    if settings.trusted_proxies:
        app.wsgi_app = behind_proxies(app.wsgi_app, settings.trusted_proxies)  # type: ignore[method-assign]
    return app


def background(app: Flask) -> Background:
    """The background tasks of this process; start them once in each process, after any fork."""
    running: Background = app.extensions["background"]
    return running


def shut_down(app: Flask) -> None:
    """Before the process ends: answer long polls with what there is, and stop the background tasks."""
    slots: LongPollSlots = app.extensions["long_poll_slots"]
    slots.close()
    background(app).stop()
