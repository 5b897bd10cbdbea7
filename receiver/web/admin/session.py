"""Signing in and out, and the guard before every other page."""

import hmac
import logging
import time

from flask import Flask, current_app, flash, g, redirect, request, session, url_for
from flask.sessions import SecureCookieSessionInterface
from werkzeug.wrappers import Response

from receiver.runtime import utc_now
from receiver.web.admin.frame import PREFIX, blueprint, page, runtime_here
from receiver.web.admin.tries import Tries
from receiver.web.callbacks import same_secret

log = logging.getLogger(__name__)

SIGNED_IN_S = 12 * 3600
OPEN = {"admin.sign_in", "admin.static"}


class AdminSession(SecureCookieSessionInterface):
    """The cookie is `Secure` wherever the request came by TLS, and works on a plain local address too."""

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure


@blueprint.before_request
def _guard() -> Response | None:
    if request.endpoint == "admin.static":
        return None
    if request.endpoint not in OPEN and not signed_in():
        back = request.script_root + request.full_path.rstrip("?") if request.method == "GET" else None
        return redirect(url_for("admin.sign_in", next=back), 303)
    g.signed_in = request.endpoint not in OPEN
    current_app.extensions["csrf"].protect()
    return None


@blueprint.route("/sign-in", methods=["GET", "POST"])
def sign_in() -> Response:
    if signed_in():
        return redirect(_target(), 303)
    if request.method == "GET":
        return page("sign_in.html")
    tries: Tries = current_app.extensions["sign_in_tries"]
    address = request.remote_addr or ""
    wait_s = tries.begin(address, now=time.monotonic())
    if wait_s:
        return _refuse(429, f"Too many wrong passwords. Try again in {wait_s} seconds.", wait_s)
    if not same_secret(request.form.get("password", ""), (runtime_here().settings.admin_password,)):
        return _refuse(403, "This is not the password.")
    tries.forgive(address)
    session.clear()
    session.permanent = True
    session["signed_in_at"] = int(utc_now().timestamp())
    session["password"] = _mark_of_password()
    log.info("somebody signed in to the admin page", extra={"told": {"from": address}})
    return redirect(_target(), 303)


@blueprint.post("/sign-out")
def sign_out() -> Response:
    session.clear()
    flash("You are signed out.")
    return redirect(url_for("admin.sign_in"), 303)


def signed_in() -> bool:
    """Whether somebody signed in with the present password, at most `SIGNED_IN_S` ago."""
    since, mark = session.get("signed_in_at"), session.get("password")
    if not isinstance(since, int) or not isinstance(mark, str):
        return False
    fresh = 0 <= utc_now().timestamp() - since < SIGNED_IN_S
    return fresh and same_secret(mark, (_mark_of_password(),))


def _mark_of_password() -> str:
    """Dies with the password, and tells nothing of it to who reads the cookie."""
    settings = runtime_here().settings
    message = f"admin password:{settings.admin_password}".encode()
    return hmac.digest(settings.secret_key.encode(), message, "sha256").hex()


def _refuse(status: int, problem: str, wait_s: int = 0) -> Response:
    told = {"from": request.remote_addr, "status": status}
    log.warning("sign-in to the admin page refused", extra={"told": told})
    answer = page("sign_in.html", status=status, problem=problem)
    if wait_s:
        answer.headers["Retry-After"] = str(wait_s)
    return answer


def _target() -> str:
    """Where to go on: `next` if it is one of these pages, for anybody can make a link with it."""
    wanted = request.args.get("next", "")
    ours = wanted.startswith(f"{request.script_root}{PREFIX}/") and wanted.isprintable()
    return wanted if ours and "\\" not in wanted else url_for("admin.list_tasks")
