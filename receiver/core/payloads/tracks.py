"""Rows of `sunoData`: one schema for both dialects, snake_case and camelCase."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from marshmallow import ValidationError, pre_load

from receiver.core.observation import TRACK_FIELDS, Track
from receiver.core.payloads.errors import Errors, flat_errors
from receiver.core.payloads.fields import (
    MAX_TITLE_BYTES,
    Identifier,
    LiberalSchema,
    Seconds,
    Text,
    Timestamp,
    Word,
    folded,
    is_blank,
)
from receiver.core.payloads.urls import Url

MAX_ROWS = 32
MAX_FIELDS = 100  # of a row; the upstream's have 20
# A field by its folded names, the usual one first.
SPELLED: Mapping[str, Sequence[str]] = {name: (name.lower(),) for name in TRACK_FIELDS} | {
    "id": ("id", "audioid", "clipid", "musicid", "songid", "trackid"),
    "audioUrl": ("audiourl", "mp3url", "songurl", "musicurl"),
    "streamAudioUrl": ("streamaudiourl", "audiostreamurl", "streamurl"),
    "createTime": ("createtime", "createdat"),
}


class TrackSchema(LiberalSchema):
    """A row as record-info spells it; nothing in it is required, and `null` is no value."""

    id = Identifier()
    audioUrl = Url()
    streamAudioUrl = Url()
    imageUrl = Url()
    sourceAudioUrl = Url()
    sourceStreamAudioUrl = Url()
    sourceImageUrl = Url()
    prompt = Text()
    modelName = Word()
    title = Text(max_bytes=MAX_TITLE_BYTES)
    tags = Text(max_bytes=MAX_TITLE_BYTES)
    createTime = Timestamp()
    duration = Seconds()

    @pre_load
    def spell(self, row: Any, **_: Any) -> Any:
        return _spelled(row) if isinstance(row, dict) else row


SCHEMA = TrackSchema(many=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """The tracks that could be read, and what was `lost`, by dotted path."""

    tracks: tuple[Track, ...] = ()
    lost: Errors = field(default_factory=dict)


def read_rows(rows: Any, path: str) -> Rows:
    """The tracks in a list of rows: a bad value loses that value, and a row that is no object only itself.

    Only the first `MAX_ROWS` are read. Raises `ValidationError` where no list is.
    """
    if is_blank(rows):
        return Rows()
    if not isinstance(rows, list):
        raise ValidationError({path: ["Not a list of rows."]})
    lost: dict[str, list[str]] = {}
    if len(rows) > MAX_ROWS:
        lost[path] = [f"Only the first {MAX_ROWS} of {len(rows)} rows were read."]
    first = rows[:MAX_ROWS]
    for place, row in enumerate(first):
        if isinstance(row, dict) and len(row) > MAX_FIELDS:
            first[place], lost[f"{path}.{place}"] = {}, [f"Not a row: more than {MAX_FIELDS} fields."]
    try:
        loaded = SCHEMA.load(first)
    except ValidationError as error:
        loaded = error.valid_data
        lost |= flat_errors(error.messages, path)
    return Rows(tracks=tuple(_tracks(loaded)), lost=lost)


def readable_rows(rows: Any) -> Sequence[Mapping[str, Any]]:
    """Those of the rows that `read_rows` reads which are objects, under folded keys."""
    first = rows[:MAX_ROWS] if isinstance(rows, list) else []
    return [folded(row) for row in first if isinstance(row, dict) and len(row) <= MAX_FIELDS]


def _spelled(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row under our names; of two names for one field the one that carries a value."""
    fields = folded(row)
    given = ((name, [key for key in keys if key in fields]) for name, keys in SPELLED.items())
    return {name: fields[_with_value(keys, fields)] for name, keys in given if keys}


def _with_value(keys: Sequence[str], fields: Mapping[str, Any]) -> str:
    """The first of these keys that carries a value, or else the first."""
    return next((key for key in keys if not is_blank(fields[key])), keys[0])


def _tracks(loaded: Iterable[Mapping[str, Any] | None]) -> Iterable[Track]:
    """A row without any value says nothing and is no track."""
    for place, row in enumerate(loaded):
        values = {name: value for name, value in (row or {}).items() if value is not None}
        if values:
            yield Track(key=f"id:{values['id']}" if "id" in values else f"#{place}", fields=values)
