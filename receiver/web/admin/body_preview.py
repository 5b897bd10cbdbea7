"""Bodies to read: JSON indented, what is long in it folded, and all of it cut where it is too much for a page."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

MAX_BODY_CHARS = 20_000
MAX_LISTED_CHARS = 3_000
FOLDED_STRING_CHARS = 160
PREVIEW = 60
MERGED = 1000


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a body; a folded one is a long string of it (lyrics, most often), shown by its beginning."""

    text: str
    folded: bool = False

    @property
    def preview(self) -> str:
        return " ".join(self.text[: 2 * PREVIEW].split())[:PREVIEW]


@dataclass(frozen=True, kw_only=True, slots=True)
class Body:
    """`cut`: more of it is not shown here."""

    parts: tuple[Part, ...]
    size: int
    cut: bool


def body_of(raw: bytes, *, longest: int = MAX_BODY_CHARS) -> Body:
    """The body as it can be read, as much of it as fits; what is not JSON is shown as it came."""
    if not longest:
        return Body(parts=(), size=len(raw), cut=True)
    try:
        shown, cut = _cut(_merged(_json_parts(raw)), longest)
    except (ValueError, RecursionError):
        shown, cut = _cut(iter([Part(raw.decode(errors="replace"))]), longest)
    return Body(parts=shown, size=len(raw), cut=cut)


def _json_parts(raw: bytes) -> Iterator[Part]:
    encoder = json.JSONEncoder(indent=2, ensure_ascii=False)
    value = json.loads(raw, parse_float=_exact, object_pairs_hook=_without_doubles)
    for piece in encoder.iterencode(value):
        lead, quote, string = piece.partition('"')
        if len(string) > FOLDED_STRING_CHARS:
            yield Part(lead)
            yield Part(json.loads(quote + string), folded=True)  # as its reader would see it, lyrics in lines
        else:
            yield Part(piece)


def _exact(digits: str) -> float:
    """The number, unless it would be shown otherwise than it came; then the body is shown as it came."""
    number = float(digits)
    if repr(number) != digits:
        raise ValueError(digits)
    return number


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _merged(parts: Iterator[Part]) -> Iterator[Part]:
    """Pieces put together, so that a page is not made of thousands; not too many, so that they can be cut early."""
    text: list[str] = []
    for part in parts:
        if part.folded or len(text) >= MERGED:
            yield Part("".join(text))
            text = []
        if part.folded:
            yield part
        else:
            text.append(part.text)
    yield Part("".join(text))


def _cut(parts: Iterator[Part], longest: int) -> tuple[tuple[Part, ...], bool]:
    """The parts up to this length, and whether there is more."""
    shown: list[Part] = []
    left = longest
    for part in parts:
        if len(part.text) > left:
            return (*shown, replace(part, text=part.text[:left])), True
        shown.append(part)
        left -= len(part.text)
    return tuple(shown), False
