"""The kinds of values that settings have, each of which says what it should be."""

import ipaddress
import re
import stat
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import limits
from marshmallow import ValidationError, fields, validate
from sqlalchemy import make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

# Neither JSON nor a URL escapes these, so that a token can be found and removed wherever it comes back.
TOKEN = validate.Regexp(
    r"\A[\w.~-]{16,}\Z", flags=256, error="16 characters or more, of A-Z a-z 0-9 . _ ~ -."
)
PRINTABLE = validate.Regexp(r"\A[!-~]*\Z", error="Must be printable ASCII without white space.")
BARE_URL = validate.Regexp(r"\A[^?#@]*\Z", error="Must be a URL without user, query or fragment.")
HOST_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
ADDRESS_HINT = "Must be host:port, [IPv6 address]:port or unix:/a/path."
DATABASE_HINT = "Must be sqlite:///a/file.db or postgresql+psycopg://user:password@host/name."
REQUIRED: dict[str, Any] = {"required": "Required."}
MAX_PORT = 65535
MAX_HOST = 253
MAX_SOCKET_PATH = 107  # the operating system's own limit, in bytes
MAX_CALLS = 10_000
MAX_LIMIT_PERIOD = timedelta(days=31)


@dataclass(frozen=True, kw_only=True, slots=True)
class PollLimit:
    """At most `amount` record-info calls in any `period_s` seconds, over all processes."""

    amount: int
    period_s: float

    def __str__(self) -> str:
        return f"{self.amount} per {self.period_s:g} s"


class Tokens(fields.String):
    """Comma-separated tokens, each checked; at least one."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        tokens = tuple(part.strip() for part in str(value).split(",") if part.strip())
        if not tokens:
            raise ValidationError("At least one token is needed.")
        for token in tokens:
            TOKEN(token)
        return tokens


class Limit(fields.String):
    """One rate in the notation of `limits`, such as `2/second` or `20 per 10 seconds`."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        try:
            (rate,) = limits.parse_many(str(value))
        except ValueError:
            raise ValidationError('One rate such as "2/second" or "20 per 10 seconds".') from None
        if not 1 <= rate.amount <= MAX_CALLS:
            raise ValidationError(f"Must allow 1 to {MAX_CALLS} calls.")
        if not 1 <= rate.get_expiry() <= MAX_LIMIT_PERIOD.total_seconds():
            raise ValidationError("Must be a rate for a period between a second and a month.")
        return PollLimit(amount=rate.amount, period_s=float(rate.get_expiry()))


class Address(fields.String):
    """Where gunicorn listens: `host:port`, with an IPv6 address in brackets, or `unix:/a/path`."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        address = str(value)
        if address.startswith("unix:"):
            _check_socket_path(address.removeprefix("unix:"))
            return address
        host, _, port = address.rpartition(":")
        if not _is_host(host) or not re.fullmatch("[0-9]{1,5}", port):
            raise ValidationError(ADDRESS_HINT)
        if not 1 <= int(port) <= MAX_PORT:
            raise ValidationError(f"The port must be 1 to {MAX_PORT}.")
        return address


class DatabaseUrl(fields.String):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        try:
            url = make_url(str(value))
        except (ArgumentError, ValueError):
            raise ValidationError(DATABASE_HINT) from None
        if CONTROL.search(str(value)):
            raise ValidationError(DATABASE_HINT)
        if url.drivername == "sqlite":
            _check_file(url)
        elif url.drivername == "postgresql+psycopg":
            _check_server(url)
        else:
            raise ValidationError(DATABASE_HINT)
        return str(value)


CALL_PATH = re.compile(r"(/api/v1(/.*)?|(/(api|v1|generate|record-info))+)\Z", re.IGNORECASE)
PLAIN_PATH = re.compile(r"(/(?!\.\.?(/|\Z))[^/\\;%\x00-\x20\x7f]+)*")
API_PATH = re.compile(r"(/api/v1)*/?\Z", re.IGNORECASE)


class HttpUrl(fields.Url):
    """An `http://` or `https://` address without user, query or fragment, and with a port that exists."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(schemes={"http", "https"}, require_tld=False, validate=BARE_URL, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        url = str(super()._deserialize(value, attr, data, **kwargs))
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValidationError(f"The port must be 1 to {MAX_PORT}.") from None
        if port == 0:
            raise ValidationError(f"The port must be 1 to {MAX_PORT}.")
        if not _is_host(f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""):
            raise ValidationError("Not a valid URL.")
        return url


class UpstreamUrl(HttpUrl):
    """The upstream's address, without the `/api/v1` that the vendors' documents and clients write at its end.

    Any other piece of a call's path is refused: it would stand in each call twice, and none would be answered.
    """

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        url = super()._deserialize(value, attr, data, **kwargs)
        url = API_PATH.sub("", re.sub("(?<!:)/{2,}", "/", url))
        parts = urlsplit(url)
        path = unquote(parts.path)
        if not PLAIN_PATH.fullmatch(path):
            raise ValidationError("Must have a plain path or none, without . or .. in it.")
        right = CALL_PATH.sub("", path)
        if right != path:
            address = f"{parts.scheme}://{parts.netloc}{quote(right)}"
            raise ValidationError(f"Must end before the path of the calls: write {address}")
        return url


def secret(*, required: bool, at_least: int) -> fields.String:
    """A text that is hard to guess; an optional one that is empty is not set."""

    def check(text: str) -> None:
        if CONTROL.search(text):
            raise ValidationError("Must be one line without control characters.")
        if not text.strip() or len(text) < at_least:
            raise ValidationError(f"Must have {at_least} characters or more, not only blanks.")

    if required:
        return fields.String(
            required=True, error_messages=REQUIRED, validate=check, metadata={"secret": True}
        )
    return fields.String(load_default="", validate=check, metadata={"secret": True})


def between(least: float, most: float, unit: str = "") -> validate.Range:
    words = f"Must be {least:,g} to {most:,.0f}{unit and f' {unit}'}."
    return validate.Range(min=least, max=most, error=words)


def seconds(default: float, *, least: float, most: float) -> fields.Float:
    return fields.Float(load_default=default, validate=between(least, most, "seconds"))


def whole(default: int, *, most: int, least: int = 1) -> fields.Integer:
    return fields.Integer(load_default=default, validate=between(least, most))


def _is_host(host: str) -> bool:
    """Whether this is an IPv6 address in brackets, an IPv4 address, or a name that can exist."""
    kind = ipaddress.IPv6Address if host.startswith("[") else ipaddress.IPv4Address
    labels = host.split(".")
    if kind is ipaddress.IPv6Address or all(label.isdigit() for label in labels):
        try:
            kind(host[1:-1] if kind is ipaddress.IPv6Address else host)
        except ValueError:
            return False
        return host[0] != "[" or (host.endswith("]") and "%" not in host)
    return len(host) <= MAX_HOST and all(HOST_LABEL.fullmatch(label) for label in labels)


def _check_socket_path(path: str) -> None:
    if not path.startswith("/") or path.endswith("/") or CONTROL.search(path):
        raise ValidationError(ADDRESS_HINT)
    if len(path.encode()) > MAX_SOCKET_PATH:
        raise ValidationError(f"A socket's path has {MAX_SOCKET_PATH} bytes at most.")
    if Path(path).is_dir():
        raise ValidationError("This is a folder: name a socket in it.")


def _check_file(url: URL) -> None:
    path = url.database or ""
    if path in ("", ":memory:") or url.host or url.query:
        raise ValidationError(DATABASE_HINT)
    try:
        mode = Path(path).stat().st_mode
    except OSError:  # missing or not accessible: opening it says why
        mode = 0
    if path.endswith("/") or (mode and not stat.S_ISREG(mode)):
        raise ValidationError("Must name a file, not a folder or a device.")


def _check_server(url: URL) -> None:
    if url.port is not None and not 1 <= url.port <= MAX_PORT:
        raise ValidationError(f"The port must be 1 to {MAX_PORT}.")
    if find_spec("psycopg") is None:
        raise ValidationError("PostgreSQL needs its driver: pip install 'psycopg[binary]'.")
