"""gunicorn's logger without its access log."""

from typing import Any

from gunicorn.glogging import Logger


class ServerLogger(Logger):  # type: ignore[misc]
    """The receiver writes a line of its own for each delivery; this one would hold the callback token.

    gunicorn makes the values of such a line for each request, though nobody writes them.
    """

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        pass
