"""The admin page."""

from flask import Flask
from flask_wtf import CSRFProtect

from receiver.web.admin import (
    activity_view,
    audit_log_view,
    auth,
    error_pages,
    layout,
    quarantine_view,
    task_list_view,
    task_view,
)
from receiver.web.admin.blueprint import PREFIX, blueprint

# Importing a view puts its pages on the blueprint.
__all__ = [
    "activity_view",
    "audit_log_view",
    "error_pages",
    "quarantine_view",
    "register",
    "task_list_view",
    "task_view",
]


def register(app: Flask) -> None:
    """Add the page to the application: its pages, its session, and CSRF tokens on its forms alone."""
    app.config.update(
        PERMANENT_SESSION_LIFETIME=auth.SESSION_LIFETIME,
        SESSION_COOKIE_NAME="receiver_admin",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_PATH=PREFIX,
        SESSION_REFRESH_EACH_REQUEST=False,
        # Callbacks and the API bring no tokens; the guard checks the page's own forms.
        WTF_CSRF_CHECK_DEFAULT=False,
        WTF_CSRF_TIME_LIMIT=None,  # a token lives as long as its session
    )
    app.session_interface = auth.AdminSession()
    CSRFProtect(app)
    app.after_request(layout.protect_response)
    app.register_blueprint(blueprint)
