"""Bodies to read: JSON indented, what is long in it folded, and all of it cut where it is too much for a page."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

LONGEST_BODY = 20_000
LONGEST_LISTED = 3_000
LONG_STRING = 160
PREVIEW = 60


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


def body_of(raw: bytes, *, longest: int = LONGEST_BODY) -> Body:
    """The body as it can be read; what is not JSON is shown as it came."""
    try:
        whole = list(_merged(_json_parts(raw)))
    except (ValueError, RecursionError):
        whole = [Part(raw.decode(errors="replace"))]
    shown = tuple(_cut(whole, longest))
    total = sum(len(part.text) for part in whole)
    return Body(parts=shown, size=len(raw), cut=sum(len(part.text) for part in shown) < total)


def _json_parts(raw: bytes) -> Iterator[Part]:
    encoder = json.JSONEncoder(indent=2, ensure_ascii=False)
    for piece in encoder.iterencode(json.loads(raw)):
        lead, quote, string = piece.partition('"')
        if len(string) > LONG_STRING:
            yield Part(lead)
            yield Part(json.loads(quote + string), folded=True)  # as its reader would see it, lyrics in lines
        else:
            yield Part(piece)


def _merged(parts: Iterator[Part]) -> Iterator[Part]:
    text: list[str] = []
    for part in parts:
        if part.folded:
            yield Part("".join(text))
            yield part
            text = []
        else:
            text.append(part.text)
    yield Part("".join(text))


def _cut(parts: list[Part], longest: int) -> Iterator[Part]:
    left = longest
    for part in parts:
        if left <= 0:
            return
        yield replace(part, text=part.text[:left])
        left -= len(part.text)
