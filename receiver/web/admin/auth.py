"""Signing in and out, and the guard before every other page."""

import hmac
import ipaddress
import logging
import math
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta

from flask import Flask, current_app, flash, g, redirect, request, session, url_for
from flask.sessions import SecureCookieSessionInterface
from flask_wtf.csrf import CSRFError
from sqlalchemy import Connection
from werkzeug.wrappers import Response

from receiver.clock import utc_now
from receiver.core import login_throttle
from receiver.core.login_throttle import Lockout, LoginAttempts
from receiver.core.payloads.fields import UNSTORABLE
from receiver.store import audit_log, login_attempts
from receiver.store.audit_log import ActionKind, Actor
from receiver.store.database import StoreUnavailableError
from receiver.store.login_attempts import EVERYBODY
from receiver.web.admin.layout import PREFIX, blueprint, current_actor, nowhere, page
from receiver.web.current import current_runtime
from receiver.web.problems import RETRY_AFTER_S
from receiver.web.secrets import same_secret
from receiver.web.storage_health import short_cause

log = logging.getLogger(__name__)

SIGNED_IN = timedelta(hours=12)
IPV6_PREFIX = 56
MAX_NEXT_CHARS = 2000  # quoted once more it must fit into a request line
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
        back = request.script_root + request.full_path.rstrip("?")
        known = request.method == "GET" and len(back) <= MAX_NEXT_CHARS
        return redirect(url_for("admin.sign_in", next=back if known else None), 303)
    g.signed_in = request.endpoint not in OPEN
    _check_form()
    return nowhere("") if _has_odd_path() else None


def _check_form() -> None:
    try:
        current_app.extensions["csrf"].protect()
    except ValueError:  # of its reading a Referer that is no address
        raise CSRFError("The referrer is no address.") from None


def _has_odd_path() -> bool:
    """Whether the path has what PostgreSQL would not even search for."""
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
        return _refuse(429, f"Too many wrong passwords. Try again in {left_s} seconds.", left_s)
    if not same_secret(request.form.get("password", ""), (current_runtime().settings.admin_password,)):
        return _refuse(403, "This is not the password.")
    _open(network, utc_now())
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
    """Whether somebody signed in here with the present password, and neither he nor time has ended it."""
    key, mark = session.get("id"), session.get("password")
    if not isinstance(key, str) or not isinstance(mark, str) or not same_secret(mark, (_mark_of_password(),)):
        return False
    with current_runtime().database.read() as connection:
        return login_attempts.session_open(connection, key, now=utc_now())


def _begin_attempt(network: str) -> int:
    """Count a try as failed until it is forgiven; else the seconds to wait.

    Counted before the password is looked at, so that many tries at once are not more than one by one.
    """
    names = [network, EVERYBODY]
    with current_runtime().database.read() as connection:  # whoever waits already costs no write
        known, now = login_attempts.load_attempts(connection, names), utc_now()
        left_s = _left_s(known, network, now)
    if left_s and login_throttle.begin_attempt(known[network], known[EVERYBODY], now=now) == known[network]:
        return left_s
    with current_runtime().database.write() as connection:
        now = utc_now()  # once it is our turn, or the clocks of those who queued would run backwards
        known = login_attempts.load_attempts(connection, names)
        left_s = _left_s(known, network, now)
        if left_s:
            mine = login_throttle.begin_attempt(known[network], known[EVERYBODY], now=now)
            login_attempts.save_attempts(connection, {network: mine})
        else:
            _count_failure(connection, network, known, now)
    return left_s


def _count_failure(
    connection: Connection, network: str, known: Mapping[str, LoginAttempts], now: datetime
) -> None:
    mine = login_throttle.record_failure(known[network], now=now)
    everybody = login_throttle.record_global_failure(known[EVERYBODY], now=now)
    login_attempts.save_attempts(connection, {network: mine, EVERYBODY: everybody})
    before = login_attempts.load_lockout(connection)
    after = before.updated(known[EVERYBODY], now=now)
    if after != before:
        login_attempts.save_lockout(connection, after)


def _left_s(known: Mapping[str, LoginAttempts], network: str, now: datetime) -> int:
    return math.ceil(login_throttle.wait_s(known[network], known[EVERYBODY], now=now))


def _open(network: str, now: datetime) -> None:
    """Sign this browser in, and forgive the tries that led to it."""
    session.clear()
    session.permanent = True
    session["id"] = secrets.token_urlsafe(24)
    session["password"] = _mark_of_password()
    with current_runtime().database.write() as connection:
        known = login_attempts.load_attempts(connection, [network, EVERYBODY])
        mine = login_throttle.record_success(known[network], now=now)
        everybody = login_throttle.undo_failure(known[EVERYBODY])
        login_attempts.delete_old_attempts(connection, before=now - login_throttle.TRUSTED_FOR)
        login_attempts.save_attempts(connection, {network: mine, EVERYBODY: everybody})
        login_attempts.open_session(connection, session["id"], expires_at=now + SIGNED_IN, now=now)
        audit_log.record(connection, ActionKind.SIGNED_IN, current_actor(), now=now)


def network_of(address: str) -> str:
    """One person has as many IPv6 addresses as they like, and is given 256 networks of them by most providers."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if parsed.version == 6 and parsed.ipv4_mapped:  # how a socket for both kinds shows the older one
        parsed = parsed.ipv4_mapped
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((int(parsed), IPV6_PREFIX), strict=False))


def _mark_of_password() -> str:
    """Dies with the password, and tells nothing of it to who reads the cookie."""
    settings = current_runtime().settings
    message = f"admin password:{settings.admin_password}".encode()
    return hmac.digest(settings.secret_key.encode(), message, "sha256").hex()


def _refuse(status: int, problem: str, wait_s: int = 0) -> Response:
    told = {"from": request.remote_addr, "status": status}
    log.warning("sign-in to the admin page refused", extra={"fields": told})
    if not wait_s:  # who has to wait was written down when he failed, and costs no more writes
        with current_runtime().database.write() as connection:
            now = utc_now()
            audit_log.record(connection, ActionKind.SIGN_IN_REFUSED, current_actor(), now=now)
            _note_lockout(connection, now)
    answer = page("sign_in.html", status=status, problem=problem)
    if wait_s:
        answer.headers["Retry-After"] = str(wait_s)
    return answer


def _note_lockout(connection: Connection, now: datetime) -> None:
    """Tell the owner, once, that guessing has slowed strangers down."""
    everybody = login_attempts.load_attempts(connection, [EVERYBODY])[EVERYBODY]
    if not login_attempts.load_lockout(connection).begins(everybody):
        return
    networks = login_attempts.count_failing_networks(connection, now=now)
    login_attempts.save_lockout(connection, Lockout(networks=networks, began_at=now))
    told = {"wrong passwords": everybody.failures, "networks": networks}
    audit_log.record(connection, ActionKind.SIGN_IN_LOCKED, Actor(via="receiver"), now=now, detail=told)
    log.warning("sign-in to the admin page is slowed down for new networks", extra={"fields": told})


def _cannot_sign_in(error: StoreUnavailableError) -> Response:
    """Wrong passwords must be counted and sessions be known to all processes, so nobody gets in unwritten."""
    log.error("nobody can sign in to the admin page: %s", error)
    for name in ("id", "password"):  # but not the form's token, for the next try
        session.pop(name, None)
    problem = f"Nobody can sign in now: {short_cause(str(error))}. `receiver check` on the server says more."
    answer = page("sign_in.html", status=503, problem=problem)
    answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return answer


def _target() -> str:
    """Where to go on: `next` if it is one of these pages, for anybody can make a link with it."""
    wanted = request.args.get("next", "")
    ours = wanted.startswith(f"{request.script_root}{PREFIX}/") and wanted.isprintable()
    return wanted if ours and "\\" not in wanted else url_for("admin.list_tasks")
