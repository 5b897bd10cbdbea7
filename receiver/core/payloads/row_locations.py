"""Where the rows of a body are: vendors, and programs in between, put them in several places."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from receiver.core.payloads.envelope import Envelope, opened_text
from receiver.core.payloads.fields import folded, is_blank
from receiver.core.payloads.tracks import MAX_ROWS, SPELLED, fold_rows

# Names of lists, folded, with the spelling for error paths. Only the first two must hold rows or nothing.
MAIN_LISTS = {"data": "data", "sunodata": "sunoData"}
LISTS = MAIN_LISTS | {
    name: name
    for name in (
        "items",
        "tracks",
        "songs",
        "clips",
        "musics",
        "music",
        "audios",
        "results",
        "result",
        "records",
        "list",
        "rows",
        "output",
    )
}
AUDIO = frozenset({"audiourl", "streamaudiourl", "sourceaudiourl", "sourcestreamaudiourl"})
OF_ROWS = frozenset(key for keys in SPELLED.values() for key in keys)


@dataclass(frozen=True, kw_only=True)
class RowLocation:
    """Where rows were found: a list, or what stood where one belongs; `flat` where the body itself is the row.

    What several callers ask for is cached, which is why it has no slots.
    """

    path: str = "data.data"
    rows: Any = None
    flat: bool = False

    @cached_property
    def folded(self) -> Sequence[Mapping[str, Any] | None]:
        """The rows as `fold_rows` gives them."""
        return fold_rows(self.rows)

    @cached_property
    def readable(self) -> Sequence[Mapping[str, Any]]:
        """Those of the rows that can be read."""
        return [row for row in self.folded if row is not None]

    @property
    def has_music(self) -> bool:
        """Whether some row is one of music: it has a place for its audio."""
        return any(not AUDIO.isdisjoint(row) for row in self.readable)


def find_rows(envelope: Envelope) -> RowLocation:
    """The first place with rows in it; else the first that should hold some; else none."""
    without: list[RowLocation] = []
    for place in _lists(envelope):
        if _has_objects(place.rows):
            return place
        without.append(place)
    return next(iter([*_flat(envelope), *without]), RowLocation())


def _lists(envelope: Envelope) -> Iterable[RowLocation]:
    yield from _lists_in(envelope.data, "data")
    if isinstance(envelope.response, dict) or _has_objects(envelope.response):
        yield from _lists_in(envelope.response, "data.response")
    if envelope.data is not envelope.root:
        yield from _lists_in({name: value for name, value in envelope.root.items() if name != "data"}, "")


def _lists_in(place: Any, path: str) -> Iterable[RowLocation]:
    if isinstance(place, list):
        yield RowLocation(path=path, rows=place)
    elif isinstance(place, dict):
        for name, spelled in LISTS.items():
            if place.get(name) is None:
                continue
            value = opened_text(place[name])
            here = f"{path}.{spelled}".strip(".")
            rows = _rows_in(value)
            if rows is not None:
                yield RowLocation(path=here, rows=rows)
            elif name in MAIN_LISTS and not is_blank(value):
                yield RowLocation(path=here, rows=value)


def _rows_in(value: Any) -> list[Any] | None:
    """A list of rows, a single row as a list of one, or the list in an object that only wraps it."""
    if isinstance(value, list):
        return value or None
    if not isinstance(value, dict) or not value:
        return None
    fields = folded(value)
    if not OF_ROWS.isdisjoint(fields):
        return [value]
    lists = (fields[name] for name in LISTS if isinstance(fields.get(name), list))
    return next((rows for rows in lists if _has_objects(rows)), [value])


def _flat(envelope: Envelope) -> Iterable[RowLocation]:
    """The body itself as its only row, where it names an audio."""
    for path, place in (("data", envelope.fields), ("data.response", envelope.response), ("", envelope.root)):
        if isinstance(place, dict) and any(not is_blank(place.get(name)) for name in AUDIO):
            yield RowLocation(path=path, rows=[place], flat=True)


def _has_objects(rows: Any) -> bool:
    return isinstance(rows, list) and any(isinstance(row, dict) for row in islice(rows, MAX_ROWS))
