"""The admin page."""

from flask import Flask
from flask_wtf import CSRFProtect

from receiver.web.admin import (
    activity_view,
    audit_log_view,
    auth,
    layout,
    quarantine_view,
    task_list_view,
    task_view,
)

# The pages are on the blueprint once they are imported.
__all__ = ["activity_view", "audit_log_view", "quarantine_view", "register", "task_list_view", "task_view"]


def register(app: Flask) -> None:
    """Put the page onto the application: its pages, its session, and CSRF tokens on its forms alone."""
    app.config.update(
        PERMANENT_SESSION_LIFETIME=auth.SIGNED_IN,
        SESSION_COOKIE_NAME="receiver_admin",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_PATH=layout.PREFIX,
        SESSION_REFRESH_EACH_REQUEST=False,
        # Callbacks and the API bring no tokens; the guard checks the page's own forms.
        WTF_CSRF_CHECK_DEFAULT=False,
        WTF_CSRF_TIME_LIMIT=None,  # a token lives as long as its session
    )
    app.session_interface = auth.AdminSession()
    CSRFProtect(app)
    app.after_request(layout.protect_answer)
    app.register_blueprint(layout.blueprint)
