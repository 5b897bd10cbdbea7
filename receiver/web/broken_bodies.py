"""A body that breaks off is its sender's fault, wherever it is read and whatever the server raises."""

from collections.abc import Iterable
from typing import IO, TYPE_CHECKING

from werkzeug.exceptions import ClientDisconnected

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class _Body:
    """As much of a stream as werkzeug and the callback need."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stream.read(size)
        except Exception as error:  # the server's own, for a broken chunk or a lost connection
            raise ClientDisconnected from error


def with_broken_bodies(application: "WSGIApplication") -> "WSGIApplication":
    def call(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        environ["wsgi.input"] = _Body(environ["wsgi.input"])
        return application(environ, start_response)

    return call
