"""Undoes `Content-Encoding`, never past a limit: a small body may hold a thousand times its size."""

import zlib

GZIP, ZLIB, RAW_DEFLATE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
FORMATS = {"gzip": (GZIP,), "x-gzip": (GZIP,), "deflate": (ZLIB, RAW_DEFLATE)}
MAX_ENCODINGS = 2
MAX_MEMBERS = 16  # of a gzip file


class InflatedTooLargeError(ValueError):
    """The body would be larger than the limit."""


class _WrongEncodingError(ValueError):
    pass


def decode(body: bytes, encodings: str, *, limit: int) -> bytes:
    """The body without these encodings; unchanged where one is unknown or was not really used.

    A proxy may undo the encoding and leave the header. Otherwise the parser says that the body is not JSON.

    Raises `InflatedTooLargeError` beyond `limit` bytes.
    """
    names = [name for part in encodings.split(",") if (name := part.strip().lower()) not in ("", "identity")]
    if len(names) > MAX_ENCODINGS or not all(name in FORMATS for name in names):
        return body
    inner = body
    try:
        for name in reversed(names):
            inner = _undo(inner, FORMATS[name], limit)
    except _WrongEncodingError:
        return body
    return inner


def _undo(body: bytes, formats: tuple[int, ...], limit: int) -> bytes:
    for window in formats:
        try:
            return _inflated(body, window, limit)
        except zlib.error:
            continue
    raise _WrongEncodingError


def _inflated(body: bytes, window: int, limit: int) -> bytes:
    result = b""
    for _ in range(MAX_MEMBERS):
        stream = zlib.decompressobj(window)
        result += stream.decompress(body, limit + 1 - len(result))
        if len(result) > limit:
            raise InflatedTooLargeError
        if not stream.eof:
            raise zlib.error("the end is missing")
        body = stream.unused_data.lstrip(b"\0") if window == GZIP else stream.unused_data
        if not body:
            return result
        if window != GZIP:
            break
    raise zlib.error("something follows the end")
