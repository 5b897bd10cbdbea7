"""A body that breaks off is its sender's fault, wherever it is read and whatever the server raises."""

from collections.abc import Iterable
from typing import IO, TYPE_CHECKING

from werkzeug.exceptions import ClientDisconnected
from werkzeug.wsgi import get_content_length

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class _Body:
    """As much of a stream as werkzeug and the callback need. `announced` is its length in bytes; None: in chunks."""

    def __init__(self, stream: IO[bytes], announced: int | None) -> None:
        self._stream = stream
        self._left = announced

    def read(self, size: int = -1) -> bytes:
        try:
            data = self._stream.read(size)
        except Exception as error:  # the server's own, for a broken chunk or a lost connection
            raise ClientDisconnected from error
        if self._left is not None:
            if len(data) < (self._left if size < 0 else min(size, self._left)):
                raise ClientDisconnected  # of a body that ends early gunicorn says nothing
            self._left -= len(data)
        return data


def with_broken_bodies(application: "WSGIApplication") -> "WSGIApplication":
    def call(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        environ["wsgi.input"] = _Body(environ["wsgi.input"], get_content_length(environ))
        return application(environ, start_response)

    return call
