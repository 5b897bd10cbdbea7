"""Signing in and out, and the guard in front of every other page."""

import hmac
import ipaddress
import logging
import math
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta

from flask import Flask, Request, current_app, flash, g, redirect, request, session, url_for
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from flask_wtf.csrf import CSRFError
from werkzeug.wrappers import Response

from receiver.clock import utc_now
from receiver.core import login_throttle
from receiver.core.login_throttle import Lockout, LoginAttempts
from receiver.core.plurals import quantity
from receiver.core.validation import UNSTORABLE
from receiver.store import Connection, audit_log, login_attempts
from receiver.store.audit_log import ActionKind, Actor
from receiver.store.database import StoreUnavailableError
from receiver.store.login_attempts import EVERYBODY
from receiver.web.admin.blueprint import PREFIX, blueprint, current_actor, is_on_page
from receiver.web.admin.error_pages import not_found
from receiver.web.admin.layout import page
from receiver.web.api_errors import RETRY_AFTER_S
from receiver.web.current import current_runtime
from receiver.web.secrets import same_secret
from receiver.web.storage_health import short_cause

log = logging.getLogger(__name__)

SESSION_LIFETIME = timedelta(hours=12)
IPV6_PREFIX = 56
MAX_NEXT_CHARS = 2000  # quoted once more it must fit into a request line
PUBLIC_ENDPOINTS = {"admin.sign_in", "admin.static"}


class AdminSession(SecureCookieSessionInterface):
    """The cookie is `Secure` where the request came by TLS, and works on a plain local address too.

    Other paths than the page's have no session, and pay for none.
    """

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        return super().open_session(app, request) if is_on_page(request.path) else None

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure


@blueprint.before_request
def _guard() -> Response | None:
    if request.endpoint == "admin.static":
        return None
    if request.endpoint not in PUBLIC_ENDPOINTS and not signed_in():
        back = request.script_root + request.full_path.rstrip("?")
        can_return = request.method == "GET" and len(back) <= MAX_NEXT_CHARS
        return redirect(url_for("admin.sign_in", next=back if can_return else None), 303)
    g.signed_in = request.endpoint not in PUBLIC_ENDPOINTS
    _check_form()
    return not_found("") if _has_unstorable_path() else None


def _check_form() -> None:
    try:
        current_app.extensions["csrf"].protect()
    except ValueError:  # raised where the Referer is no URL
        raise CSRFError("The referrer is not a URL.") from None


def _has_unstorable_path() -> bool:
    """Whether the path has characters that PostgreSQL cannot even search for."""
    return any(UNSTORABLE.search(str(value)) for value in (request.view_args or {}).values())


@blueprint.route("/sign-in", methods=["GET", "POST"])
def sign_in() -> Response:
    if signed_in():
        return redirect(_target(), 303)
    if request.method != "POST":
        return page("sign_in.html")
    try:
        return _sign_in()
    except StoreUnavailableError as error:
        return _cannot_sign_in(error)


def _sign_in() -> Response:
    network = network_of(request.remote_addr or "")
    left_s = _begin_attempt(network)
    if left_s:
        return _refuse(429, f"Too many wrong passwords. Try again in {quantity(left_s, 'second')}.", left_s)
    if not same_secret(request.form.get("password", ""), (current_runtime().settings.admin_password,)):
        return _refuse(403, "Wrong password.")
    _open_session(network, utc_now())
    log.info("somebody signed in to the admin page", extra={"fields": {"from": request.remote_addr}})
    return redirect(_target(), 303)


@blueprint.post("/sign-out")
def sign_out() -> Response:
    with current_runtime().database.write() as connection:
        login_attempts.close_session(connection, session["id"])
        audit_log.record(connection, ActionKind.SIGNED_OUT, current_actor(), now=utc_now())
    session.clear()
    flash("You are signed out.")
    return redirect(url_for("admin.sign_in"), 303)


def signed_in() -> bool:
    """Whether this browser has an open session that began with the current password."""
    session_id, fingerprint = session.get("id"), session.get("password")
    if not isinstance(session_id, str) or not isinstance(fingerprint, str):
        return False
    if not same_secret(fingerprint, (_password_fingerprint(),)):
        return False
    with current_runtime().database.read() as connection:
        return login_attempts.session_open(connection, session_id, now=utc_now())


def _begin_attempt(network: str) -> int:
    """Count an attempt as failed until it succeeds; returns the seconds to wait, 0 when it may go on.

    It counts before the password is compared, so that many attempts at once are worth no more than one by one.
    """
    names = [network, EVERYBODY]
    with current_runtime().database.read() as connection:  # an attempt that must wait anyway costs no write
        attempts, now = login_attempts.load_attempts(connection, names), utc_now()
        left_s = _left_s(attempts, network, now)
    mine, everybody = attempts[network], attempts[EVERYBODY]
    if left_s and login_throttle.begin_attempt(mine, everybody, now=now) == mine:
        return left_s
    with current_runtime().database.write() as connection:
        now = utc_now()  # read with the lock held, or the times of those who queued would run backwards
        attempts = login_attempts.load_attempts(connection, names)
        left_s = _left_s(attempts, network, now)
        if left_s:
            mine = login_throttle.begin_attempt(attempts[network], attempts[EVERYBODY], now=now)
            login_attempts.save_attempts(connection, {network: mine})
        else:
            _count_failure(connection, network, attempts, now)
    return left_s


def _count_failure(
    connection: Connection, network: str, attempts: Mapping[str, LoginAttempts], now: datetime
) -> None:
    mine = login_throttle.record_failure(attempts[network], now=now)
    everybody = login_throttle.record_global_failure(attempts[EVERYBODY], now=now)
    login_attempts.save_attempts(connection, {network: mine, EVERYBODY: everybody})
    before = login_attempts.load_lockout(connection)
    after = before.updated(attempts[EVERYBODY], now=now)
    if after != before:
        login_attempts.save_lockout(connection, after)


def _left_s(attempts: Mapping[str, LoginAttempts], network: str, now: datetime) -> int:
    return math.ceil(login_throttle.wait_s(attempts[network], attempts[EVERYBODY], now=now))


def _open_session(network: str, now: datetime) -> None:
    """Sign this browser in, and take back the failures counted on the way."""
    session.clear()
    session.permanent = True
    session["id"] = secrets.token_urlsafe(24)
    session["password"] = _password_fingerprint()
    with current_runtime().database.write() as connection:
        attempts = login_attempts.load_attempts(connection, [network, EVERYBODY])
        mine = login_throttle.record_success(attempts[network], now=now)
        everybody = login_throttle.undo_failure(attempts[EVERYBODY])
        login_attempts.delete_old_attempts(connection, before=now - login_throttle.TRUSTED_FOR)
        login_attempts.save_attempts(connection, {network: mine, EVERYBODY: everybody})
        login_attempts.open_session(connection, session["id"], expires_at=now + SESSION_LIFETIME, now=now)
        audit_log.record(connection, ActionKind.SIGNED_IN, current_actor(), now=now)


def network_of(address: str) -> str:
    """The address, or its /56 network: providers give each customer up to 256 IPv6 networks."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if parsed.version == 6 and parsed.ipv4_mapped:  # how a dual-stack socket shows an IPv4 address
        parsed = parsed.ipv4_mapped
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((int(parsed), IPV6_PREFIX), strict=False))


def _password_fingerprint() -> str:
    """Changes with the password, and reveals nothing of it to whoever reads the cookie."""
    settings = current_runtime().settings
    message = f"admin password:{settings.admin_password}".encode()
    return hmac.digest(settings.secret_key.encode(), message, "sha256").hex()


def _refuse(status: int, problem: str, wait_s: int = 0) -> Response:
    fields = {"from": request.remote_addr, "status": status}
    log.warning("sign-in to the admin page refused", extra={"fields": fields})
    if not wait_s:  # a wait was recorded when the password was wrong, and costs no more writes
        with current_runtime().database.write() as connection:
            now = utc_now()
            audit_log.record(connection, ActionKind.SIGN_IN_REFUSED, current_actor(), now=now)
            _note_lockout(connection, now)
    response = page("sign_in.html", status=status, problem=problem)
    if wait_s:
        response.headers["Retry-After"] = str(wait_s)
    return response


def _note_lockout(connection: Connection, now: datetime) -> None:
    """Record, once, that guessing has slowed down sign-in from new networks."""
    everybody = login_attempts.load_attempts(connection, [EVERYBODY])[EVERYBODY]
    if not login_attempts.load_lockout(connection).begins(everybody):
        return
    networks = login_attempts.count_failing_networks(connection, now=now)
    login_attempts.save_lockout(connection, Lockout(networks=networks, began_at=now))
    detail = {"wrong passwords": everybody.failures, "networks": networks}
    audit_log.record(connection, ActionKind.SIGN_IN_LOCKED, Actor(via="receiver"), now=now, detail=detail)
    log.warning("sign-in to the admin page is slowed down for new networks", extra={"fields": detail})


def _cannot_sign_in(error: StoreUnavailableError) -> Response:
    """Failures and sessions must be stored for all processes, so without the database nobody can sign in."""
    log.error("nobody can sign in to the admin page: %s", error)
    for name in ("id", "password"):  # but not the form's token, for the next attempt
        session.pop(name, None)
    problem = f"Sign-in is not possible now: {short_cause(str(error))}. Run `receiver check` on the server."
    response = page("sign_in.html", status=503, problem=problem)
    response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def _target() -> str:
    """`next`, but only if it is one of these pages, as anybody can make a link with it."""
    target = request.args.get("next", "")
    ours = target.startswith(f"{request.script_root}{PREFIX}/") and target.isprintable()
    return target if ours and "\\" not in target else url_for("admin.list_tasks")
