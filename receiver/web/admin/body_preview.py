"""Bodies for people: JSON indented, long strings folded, and the rest truncated."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

MAX_BODY_CHARS = 20_000
MAX_LISTED_CHARS = 3_000
FOLDED_STRING_CHARS = 160
PREVIEW_CHARS = 60
MERGED_PIECES = 1000


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a body; a folded one is a long string, such as lyrics, of which the beginning is shown."""

    text: str
    folded: bool = False

    @property
    def preview(self) -> str:
        return " ".join(self.text[: 2 * PREVIEW_CHARS].split())[:PREVIEW_CHARS]


@dataclass(frozen=True, kw_only=True, slots=True)
class Body:
    """`size` in bytes; `truncated`: there is more than is shown."""

    parts: tuple[Part, ...]
    size: int
    truncated: bool


def body_of(raw: bytes, *, max_chars: int = MAX_BODY_CHARS) -> Body:
    """As much of the body as fits; what is not JSON is shown unchanged."""
    if not max_chars:
        return Body(parts=(), size=len(raw), truncated=True)
    try:
        shown, truncated = _truncate(_merged(_json_parts(raw)), max_chars)
    except (ValueError, RecursionError):
        shown, truncated = _truncate(iter([Part(raw.decode(errors="replace"))]), max_chars)
    return Body(parts=shown, size=len(raw), truncated=truncated)


def _json_parts(raw: bytes) -> Iterator[Part]:
    encoder = json.JSONEncoder(indent=2, ensure_ascii=False)
    value = json.loads(raw, parse_float=_exact, object_pairs_hook=_unique_keys)
    for piece in encoder.iterencode(value):
        lead, quote, string = piece.partition('"')
        if len(string) > FOLDED_STRING_CHARS:
            yield Part(lead)
            yield Part(json.loads(quote + string), folded=True)  # unescaped, so that lyrics stand in lines
        else:
            yield Part(piece)


def _exact(digits: str) -> float:
    """The number; raises where it would print otherwise than it was sent, so that the body is shown unchanged."""
    number = float(digits)
    if repr(number) != digits:
        raise ValueError(digits)
    return number


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key is repeated")
    return dict(pairs)


def _merged(parts: Iterator[Part]) -> Iterator[Part]:
    """Joins pieces, as a page of thousands is slow; but not all, so that truncation can stop early."""
    text: list[str] = []
    for part in parts:
        if part.folded or len(text) >= MERGED_PIECES:
            yield Part("".join(text))
            text = []
        if part.folded:
            yield part
        else:
            text.append(part.text)
    yield Part("".join(text))


def _truncate(parts: Iterator[Part], max_chars: int) -> tuple[tuple[Part, ...], bool]:
    """The parts up to this length, and whether there is more."""
    shown: list[Part] = []
    left = max_chars
    for part in parts:
        if len(part.text) > left:
            return (*shown, replace(part, text=part.text[:left])), True
        shown.append(part)
        left -= len(part.text)
    return tuple(shown), False
