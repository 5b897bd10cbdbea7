"""Who sent a request, and how he reached us, where proxies stand in front of gunicorn."""

import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from werkzeug.middleware.proxy_fix import ProxyFix

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def behind_proxies(app: "WSGIApplication", count: int) -> ProxyFix:
    """Believe the nearest `count` proxies, and nobody before them.

    Each proxy adds to `X-Forwarded-For` whom it heard, so the sender is the `count`-th from the end; a list that
    is too short did not come through them. `X-Forwarded-Proto` and `-Host` are handed on or replaced, not added
    to: there is one value, whatever `count` is, and of several the last is the nearest proxy's.
    """
    return ProxyFix(OnlyAddresses(app), x_for=count, x_proto=1, x_host=1)


class OnlyAddresses:
    """Takes a told address that is none for not told: the proxy's own stands for it.

    Some proxies tell the port too, and each connection would be a sender of its own.
    """

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        before = environ["werkzeug.proxy_fix.orig"]["REMOTE_ADDR"]
        environ["REMOTE_ADDR"] = plain_address(environ.get("REMOTE_ADDR", "")) or before
        return self._app(environ, start_response)


def plain_address(told: str) -> str | None:
    """The address without port, brackets and zone; None if this is no address."""
    try:
        host = urlsplit(f"//{told}").hostname if "[" in told or told.count(":") == 1 else told
        plain = (host or "").partition("%")[0]
        ipaddress.ip_address(plain)
    except ValueError:
        return None
    return plain
