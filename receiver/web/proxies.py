"""Who sent a request, and to which URL, where proxies stand in front of gunicorn."""

import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from werkzeug.middleware.proxy_fix import ProxyFix

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def behind_proxies(app: "WSGIApplication", count: int) -> ProxyFix:
    """Trust the nearest `count` proxies, and nothing before them.

    Each proxy appends its client to `X-Forwarded-For`, so the sender is the `count`-th from the end. A shorter list
    did not come through them. `X-Forwarded-Proto` and `-Host` have one value, whatever `count` is; of several the
    last is the nearest proxy's.
    """
    return ProxyFix(OnlyAddresses(app), x_for=count, x_proto=1, x_host=1)


class OnlyAddresses:
    """Replaces a forwarded address that is invalid by the proxy's own, and removes a port.

    Some proxies add the port, which would make each connection a sender of its own.
    """

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        before = environ["werkzeug.proxy_fix.orig"]["REMOTE_ADDR"]
        environ["REMOTE_ADDR"] = plain_address(environ.get("REMOTE_ADDR", "")) or before
        return self._app(environ, start_response)


def plain_address(address: str) -> str | None:
    """The address without port, brackets and zone; None if there is none."""
    try:
        host = urlsplit(f"//{address}").hostname if "[" in address or address.count(":") == 1 else address
        plain = (host or "").partition("%")[0]
        ipaddress.ip_address(plain)
    except ValueError:
        return None
    return plain
