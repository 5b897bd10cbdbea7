"""Whether the upstream's way leads here, as far as it can be seen from this machine."""

import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from urllib.parse import SplitResult, urlsplit

from receiver.check.finding import Finding, bad, ok, warning
from receiver.core.observation import Source
from receiver.settings import Settings
from receiver.store import hourly_counts
from receiver.store.database import Database, StoreUnavailableError
from receiver.upstream import http_probe

NAME = "callback URL"
EXAMPLE = "https://receiver.example.org"
RUNNING_OUT = timedelta(days=14)
REFUSALS = 3
COUNTED_WITHIN_S = 3.0  # and two ticks: a worker writes them down at each
HIDDEN_TOKEN = ("/readyz", "/metrics")


def check_from_outside(
    settings: Settings, url: str | None, *, readable: bool, now: datetime
) -> Iterator[Finding]:
    """Walk the upstream's way as far as this machine can: whatever may stop others only is not seen from here."""
    if url is None:
        yield warning(NAME, f"not looked at: give --url {EXAMPLE}, as the upstream knows it")
        return
    parts = _address(url)
    if isinstance(parts, str):
        yield bad(NAME, parts)
        return
    host = parts.hostname or ""
    found = http_probe.addresses(host)
    if not found:
        yield bad(NAME, f"the name {host} leads nowhere")
        return
    if parts.scheme == "http":
        yield warning(NAME, "http:// shows the token in the path to whoever carries it: use https://")
    if not any(address.is_global for address in found):
        places = ", ".join(sorted({str(address) for address in found}))
        yield warning(NAME, f"{places} is an address of this machine or network: no upstream comes that way")
    base = url.rstrip("/")
    alive = http_probe.send_probe(f"{base}/healthz")
    if alive.status != 200:
        yield bad(NAME, f"{base}/healthz: {alive.why or f'HTTP {alive.status}'}")
        return
    if parts.scheme == "https":
        yield from _certificate(host, parts.port or 443, now)
    yield (
        _callbacks_come_here(settings, base)
        if readable
        else warning(NAME, f"{base} is alive; whether it is this one cannot be seen without the database")
    )
    for path in HIDDEN_TOKEN:
        if http_probe.send_probe(base + path).status == 200:
            yield warning(NAME, f"{path} answers anybody: keep it for yourself, as the proxy's examples do")


def _address(url: str) -> SplitResult | str:
    """The address, or what is wrong with it; which may hold a token, and so is not quoted."""
    with suppress(ValueError):  # which reading the port may raise too
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            alone = parts.path in ("", "/") and not parts.query and not parts.fragment
            return parts if alone else f"give the address without a path, such as {EXAMPLE}"
    return f"this is no http:// or https:// address: give one such as {EXAMPLE}"


def _certificate(host: str, port: int, now: datetime) -> Iterator[Finding]:
    ends = http_probe.certificate_ends(host, port)
    if ends is not None:
        words = f"valid until {ends:%Y-%m-%d}, {(ends - now).days} days"
        yield (warning if ends - now < RUNNING_OUT else ok)("certificate", words)


def _callbacks_come_here(settings: Settings, base: str) -> Finding:
    """Send what is refused, to a token that nobody has: it stores nothing, and is counted where it arrives."""
    database = Database(settings.database_url)
    try:
        before = _refused(database)
        for _ in range(REFUSALS):
            answer = http_probe.send_probe(f"{base}/callbacks/check-{secrets.token_hex(8)}", method="POST")
            if answer.status != 404 or not answer.is_problem:
                told = answer.why or f"HTTP {answer.status}, where a receiver says 404"
                return bad(NAME, f"POST {base}/callbacks/...: {told}: is the path passed on?")
        ends = time.monotonic() + COUNTED_WITHIN_S + 2 * settings.poll_tick
        while _refused(database) < before + REFUSALS:
            if time.monotonic() > ends:
                return warning(NAME, f"{base} is a receiver, but perhaps one with another database than this")
            time.sleep(0.1)
    except StoreUnavailableError:
        return warning(
            NAME, f"{base} is a receiver; whether it is this one cannot be seen without the database"
        )
    finally:
        database.engine.dispose()
    return ok(
        NAME, f"{base} leads to this receiver, asked from here; a firewall may treat others differently"
    )


def _refused(database: Database) -> int:
    with database.read() as connection:
        return (
            hourly_counts.totals(connection, Source.CALLBACK.value)
            .get(Source.CALLBACK.value, {})
            .get("wrong_token", 0)
        )
