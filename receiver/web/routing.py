"""Requests are routed by their path alone, and redirects lead to the same host, whatever `Host` a request has."""

from urllib.parse import urlsplit

from flask import Flask, Request, Response
from werkzeug.routing import MapAdapter

ANY_HOST = "receiver"


class PathRoutedFlask(Flask):
    """Flask that ignores the host where it routes: an odd one would refuse a callback."""

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        if request is None:
            return super().create_url_adapter(None)
        return self.url_map.bind_to_environ({**request.environ, "HTTP_HOST": ANY_HOST})


def register_redirects(app: Flask) -> None:
    """Take the host out of every redirect, as the router makes it absolute."""

    @app.after_request
    def _stay_here(response: Response) -> Response:
        if response.status_code not in range(300, 400):
            return response
        location = response.headers.get("Location", "")
        if "//" in location.partition("?")[0]:
            parts = urlsplit(location)
            query = f"?{parts.query}" if parts.query else ""
            response.headers["Location"] = f"/{parts.path.lstrip('/')}{query}"
        return response
