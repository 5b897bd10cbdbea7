"""The admin page."""

from flask import Flask
from flask_wtf import CSRFProtect

from receiver.web.admin import (
    actions_page,
    activity_page,
    frame,
    quarantine_page,
    session,
    task_list,
    task_page,
)

# The pages are on the blueprint once they are imported.
__all__ = ["actions_page", "activity_page", "quarantine_page", "register", "task_list", "task_page"]


def register(app: Flask) -> None:
    """Put the page onto the application: its pages, its session, and CSRF tokens on its forms alone."""
    app.config.update(
        PERMANENT_SESSION_LIFETIME=session.SIGNED_IN,
        SESSION_COOKIE_NAME="receiver_admin",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_PATH=frame.PREFIX,
        SESSION_REFRESH_EACH_REQUEST=False,
        # Callbacks and the API bring no tokens; the guard checks the page's own forms.
        WTF_CSRF_CHECK_DEFAULT=False,
        WTF_CSRF_TIME_LIMIT=None,  # a token lives as long as its session
    )
    app.session_interface = session.AdminSession()
    CSRFProtect(app)
    app.after_request(frame.protect_answer)
    app.register_blueprint(frame.blueprint)
