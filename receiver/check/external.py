"""Whether callbacks can reach this receiver, as far as this machine can test it."""

import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from urllib.parse import SplitResult, urlsplit

from receiver.check.finding import Finding, fail, ok, warning
from receiver.core.observation import Source
from receiver.core.results import RefusalReason
from receiver.settings import Settings
from receiver.store import hourly_counts
from receiver.store.database import Database, StoreUnavailableError
from receiver.upstream import http_probe

NAME = "callback URL"
EXAMPLE = "https://receiver.example.org"
EXPIRES_SOON = timedelta(days=14)
REFUSALS = 3
COUNTED_WITHIN_S = 3.0  # and two ticks: a worker stores its counts at each
SHOULD_BE_HIDDEN = ("/readyz", "/metrics")


def check_from_outside(
    settings: Settings, url: str | None, *, readable: bool, now: datetime
) -> Iterator[Finding]:
    """Follow the callback URL as the upstream would; what stops only others cannot be tested from here."""
    if url is None:
        yield warning(NAME, f"skipped (pass --url {EXAMPLE})")
        return
    parts = _address(url)
    if isinstance(parts, str):
        yield fail(NAME, parts)
        return
    addresses = http_probe.addresses(parts.hostname or "")
    if not addresses:
        yield fail(NAME, f"the name {parts.hostname} does not resolve")
        return
    if parts.scheme == "http":
        yield warning(NAME, "http:// exposes the token in the path on the network: use https://")
    if not any(address.is_global for address in addresses):
        places = ", ".join(sorted({str(address) for address in addresses}))
        yield warning(NAME, f"{places} is a private address: the upstream cannot reach it")
    yield from _server(settings, f"{parts.scheme}://{parts.netloc}", parts, readable=readable, now=now)


def _server(
    settings: Settings, base: str, parts: SplitResult, *, readable: bool, now: datetime
) -> Iterator[Finding]:
    """What responds at the address: its certificate, whether it is this receiver, and what it shows anybody."""
    alive = http_probe.send_probe(f"{base}/healthz")
    if alive.status != 200:
        yield fail(NAME, f"{base}/healthz: {alive.why or f'HTTP {alive.status}'}")
        return
    if parts.scheme == "https":
        yield from _certificate(parts.hostname or "", parts.port or 443, now)
    yield (
        _callbacks_arrive(settings, base)
        if readable
        else warning(NAME, f"{base} responds; without the database it is unknown whether it is this receiver")
    )
    for path in SHOULD_BE_HIDDEN:
        if http_probe.send_probe(base + path).status == 200:
            yield warning(NAME, f"{path} is public: let the proxy refuse it")


def _address(url: str) -> SplitResult | str:
    """The address, or what is wrong with it. It may hold a token, so it is not quoted."""
    with suppress(ValueError):  # which reading the port may raise too
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            more = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
            return f"pass the address alone, such as {EXAMPLE}" if more else parts
    return f"not an http:// or https:// address: pass one such as {EXAMPLE}"


def _certificate(host: str, port: int, now: datetime) -> Iterator[Finding]:
    ends = http_probe.certificate_ends(host, port)
    if ends is not None:
        words = f"valid until {ends:%Y-%m-%d}, days left: {(ends - now).days}"
        yield (warning if ends - now < EXPIRES_SOON else ok)("certificate", words)


def _callbacks_arrive(settings: Settings, base: str) -> Finding:
    """Send callbacks with an unknown token: they store nothing, and the receiver that gets them counts them."""
    database = Database(settings.database_url)
    try:
        before = _refused(database)
        for _ in range(REFUSALS):
            answer = http_probe.send_probe(f"{base}/callbacks/check-{secrets.token_hex(8)}", method="POST")
            if answer.status != 404 or not answer.is_problem:
                reason = answer.why or f"HTTP {answer.status} instead of a receiver's 404"
                return fail(NAME, f"POST {base}/callbacks/...: {reason}: does the proxy pass the path on?")
        ends = time.monotonic() + COUNTED_WITHIN_S + 2 * settings.poll_tick
        while _refused(database) < before + REFUSALS:
            if time.monotonic() > ends:
                return warning(NAME, f"{base} is a receiver, but maybe one with another database")
            time.sleep(0.1)
    except StoreUnavailableError:
        return warning(
            NAME, f"{base} is a receiver; without the database it is unknown whether it is this one"
        )
    finally:
        database.engine.dispose()
    return ok(
        NAME, f"{base} reaches this receiver from this machine; a firewall may treat others differently"
    )


def _refused(database: Database) -> int:
    with database.read() as connection:
        return (
            hourly_counts.totals(connection, Source.CALLBACK.value)
            .get(Source.CALLBACK.value, {})
            .get(RefusalReason.WRONG_TOKEN, 0)
        )
