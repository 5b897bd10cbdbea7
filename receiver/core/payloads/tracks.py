"""Rows of `sunoData`: one schema for both dialects, snake_case and camelCase."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from marshmallow import ValidationError

from receiver.core.observation import TRACK_FIELDS, Track
from receiver.core.payloads.errors import Errors
from receiver.core.payloads.fields import (
    MAX_TITLE_BYTES,
    Identifier,
    Seconds,
    Text,
    Timestamp,
    Word,
    folded,
    is_blank,
)
from receiver.core.payloads.schema import LiberalSchema
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


SCHEMA = TrackSchema()


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """The tracks that could be read, and what was `lost`, by dotted path."""

    tracks: tuple[Track, ...] = ()
    lost: Errors = field(default_factory=dict)


def fold_rows(rows: Any) -> Sequence[Mapping[str, Any] | None]:
    """The first `MAX_ROWS` rows under folded keys; None for what is no object of at most `MAX_FIELDS` fields."""
    first = rows[:MAX_ROWS] if isinstance(rows, list) else []
    return [folded(row) if isinstance(row, dict) and len(row) <= MAX_FIELDS else None for row in first]


def read_rows(rows: Any, folded_rows: Sequence[Mapping[str, Any] | None], path: str) -> Rows:
    """The tracks in a list of rows: a bad value loses that value, and a row that is no object only itself.

    `folded_rows` is what `fold_rows` makes of them. Raises `ValidationError` where no list is.
    """
    if is_blank(rows):
        return Rows()
    if not isinstance(rows, list):
        raise ValidationError({path: ["Not a list of rows."]})
    tracks: list[Track] = []
    unread: dict[str, list[str]] = {}
    errors: dict[str, list[str]] = {}
    if len(rows) > MAX_ROWS:
        unread[path] = [f"Only the first {MAX_ROWS} of {len(rows)} rows were read."]
    for place, row in enumerate(folded_rows):
        here = f"{path}.{place}".removeprefix(".")
        if row is not None:
            values, bad = SCHEMA.read(_spelled(row))
            for name, messages in bad.items():
                errors[f"{here}.{name}"] = messages
            if values:  # a row without any says nothing and is no track
                key = f"id:{values['id']}" if "id" in values else f"#{place}"
                tracks.append(Track(key=key, fields=values))
        elif isinstance(rows[place], dict):
            unread[f"{path}.{place}"] = [f"Not a row: more than {MAX_FIELDS} fields."]
        else:
            errors[here] = [SCHEMA.error_messages["type"]]
    return Rows(tracks=tuple(tracks), lost=unread | errors)


def _spelled(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row under our names; of two names for one field the one that carries a value, or else the first."""
    spelled: dict[str, Any] = {}
    for name, keys in SPELLED.items():
        for key in keys:
            if key not in row:
                continue
            if not is_blank(row[key]):
                spelled[name] = row[key]
                break
            spelled.setdefault(name, row[key])
    return spelled
