"""Redirects lead to the same host, whatever `Host` a request has."""

from urllib.parse import urlsplit

from flask import Flask, Response


def register_redirects(app: Flask) -> None:
    """Take the host out of every redirect: the router makes it of the request's own `Host`."""

    @app.after_request
    def _stay_here(response: Response) -> Response:
        location = response.headers.get("Location", "")
        if response.status_code in range(300, 400) and "//" in location.partition("?")[0]:
            parts = urlsplit(location)
            query = f"?{parts.query}" if parts.query else ""
            response.headers["Location"] = f"/{parts.path.lstrip('/')}{query}"
        return response
