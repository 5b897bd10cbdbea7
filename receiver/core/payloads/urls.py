"""Addresses of files: http or https with a host, or no value."""

import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from marshmallow import ValidationError

from receiver.core.payloads.fields import Text

MAX_URL_CHARS = 2 * 1024
NOTHING = r"(?:none|null|undefined|nan|nil)"
# `None.mp3`, `image_None.jpeg`: what a program of the upstream's writes where it has no file yet.
PLACEHOLDER = re.compile(rf"(?:(?:image|large|video|audio|cover)_)*{NOTHING}(?:\.\w{{1,8}})?", re.IGNORECASE)
# An address without port and query, whose host and last part of the path are no placeholder: most are.
USUAL = re.compile(
    rf"https?://(?!(?i:{PLACEHOLDER.pattern})/)\w[\w-]*+(?:\.[\w-]++)++/"
    rf"(?:[\w.~%-]++/)*+(?!(?i:{PLACEHOLDER.pattern})\Z)[\w.~%-]++",
    re.ASCII,
)
NOT_A_URL = "Not an http(s) URL with a host."


class Url(Text):
    """An address that a person or a program may follow; anything else could run where it is followed.

    A placeholder is no value, and no error: it is one more way to say *not yet*.
    """

    def read(self, value: Any) -> str | None:
        if not isinstance(value, str):
            raise ValidationError(NOT_A_URL)
        if len(value) <= MAX_URL_CHARS and USUAL.fullmatch(value):
            return value
        text = value.strip() if len(value) <= 2 * MAX_URL_CHARS else value
        if len(text) > MAX_URL_CHARS:
            raise ValidationError(f"Longer than {MAX_URL_CHARS} characters.")
        if not text or PLACEHOLDER.fullmatch(text):
            return None
        return None if _is_placeholder(text) else text


def _is_placeholder(url: str) -> bool:
    """Whether no file can be there; raises `ValidationError` where it is no address at all."""
    if not url.isprintable() or set(url) & {" ", "\\"}:
        raise ValidationError(NOT_A_URL)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValidationError(NOT_A_URL) from None
    if parts.scheme.lower() not in ("http", "https") or not re.search(r"\w", host or ""):
        raise ValidationError(NOT_A_URL)
    names = [host or "", parts.path.rstrip("/").rpartition("/")[2]]
    if not parts.path.strip("/"):
        names += [value for _, value in parse_qsl(parts.query.rstrip("&").rpartition("&")[2])]
    return any(PLACEHOLDER.fullmatch(name) for name in names)
