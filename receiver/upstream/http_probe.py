"""Probes of an HTTP address for `receiver check`: its response, its clock, its names and its certificate."""

import ipaddress
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import requests

from receiver.upstream.transport import new_session

TIMEOUT_S = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeResult:
    """An HTTP answer; `status` is 0 where none came, and `why` then says the reason."""

    status: int = 0
    is_problem: bool = False
    why: str = ""


def send_probe(url: str, *, method: str = "GET") -> ProbeResult:
    """Whatever is answered, without following it anywhere."""
    try:
        with _session() as session, session.request(method, url, allow_redirects=False) as answer:
            kind = answer.headers.get("Content-Type", "")
            return ProbeResult(
                status=answer.status_code, is_problem=kind.startswith("application/problem+json")
            )
    except requests.exceptions.SSLError as error:
        return ProbeResult(why=f"its TLS certificate is not accepted: {_reason(error)}")
    except requests.RequestException as error:
        return ProbeResult(why=_reason(error))


def time_at(url: str) -> tuple[datetime, datetime] | None:
    """What the server at `url` says the time is, to the second, and what it is here; None where it does not say."""
    before = datetime.now(UTC)
    try:
        with _session() as session, session.head(url, allow_redirects=False) as answer:
            server_time = parsedate_to_datetime(answer.headers.get("Date", ""))
    except (requests.RequestException, ValueError):
        return None
    after = datetime.now(UTC)
    return server_time, before + (after - before) / 2


def addresses(host: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The addresses that a name resolves to on this machine; none where it does not resolve."""
    try:
        found = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError):
        return []
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def certificate_ends(host: str, port: int) -> datetime | None:
    """Until when the certificate shown there is valid; None where none was shown."""
    context = ssl.create_default_context()
    try:
        with (
            socket.create_connection((host, port), timeout=TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            shown = secured.getpeercert() or {}
    except OSError:
        return None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)


def _session() -> requests.Session:
    return new_session(timeout_s=TIMEOUT_S, connect_s=TIMEOUT_S)


def _reason(error: BaseException) -> str:
    """The innermost of the errors that a library has wrapped in one another."""
    inner = error.__cause__ or error.__context__
    return _reason(inner) if inner is not None else str(error) or type(error).__name__
