"""Rows of `sunoData`: one schema for both dialects, snake_case and camelCase."""

from collections.abc import Iterable, Mapping
from typing import Any

from marshmallow import ValidationError, fields, pre_load

from receiver.core.observation import TRACK_FIELDS, Track
from receiver.core.payloads.fields import LiberalSchema, Moment, Seconds, Text, folded

SPELLED = {name.lower(): name for name in TRACK_FIELDS}


class TrackSchema(LiberalSchema):
    """A row as record-info spells it; nothing in it is required, and `null` is no value."""

    id = Text(allow_none=True)
    audioUrl = Text(allow_none=True)
    streamAudioUrl = Text(allow_none=True)
    imageUrl = Text(allow_none=True)
    sourceAudioUrl = Text(allow_none=True)
    sourceStreamAudioUrl = Text(allow_none=True)
    sourceImageUrl = Text(allow_none=True)
    prompt = Text(allow_none=True)
    modelName = Text(allow_none=True)
    title = Text(allow_none=True)
    tags = Text(allow_none=True)
    createTime = Moment(allow_none=True)
    duration = Seconds(allow_none=True)

    @pre_load
    def spell(self, row: Any, **_: Any) -> Any:
        if not isinstance(row, Mapping):
            return row
        known = folded(row)
        return {name: known[key] for key, name in SPELLED.items() if key in known}


class Rows(fields.Nested):
    """A list of rows in which a bad value loses that value, and a row that is no object only itself.

    What was lost is told by `losses`, so that only a body of another shape fails as a whole.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(TrackSchema, many=True, allow_none=True, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return super()._deserialize(value, attr, data, *args, **kwargs), {}
        except ValidationError as error:
            if not isinstance(value, list):
                raise
            return error.valid_data, error.messages


def tracks_from(loaded: tuple[list[Mapping[str, Any]], Mapping[Any, Any]] | None) -> tuple[Track, ...]:
    """The tracks of loaded rows. A row without any value says nothing and is no track."""
    rows = loaded[0] if loaded else []
    values = [{name: value for name, value in (row or {}).items() if value is not None} for row in rows]
    return tuple(Track(key=_key(row, place), fields=row) for place, row in enumerate(values) if row)


def _key(row: Mapping[str, Any], place: int) -> str:
    return f"id:{row['id']}" if "id" in row else f"#{place}"


def losses(loaded: tuple[Any, Mapping[Any, Any]] | None, path: str) -> Mapping[str, list[str]]:
    """What the rows lost, by dotted path."""
    return flat_errors(loaded[1], path) if loaded else {}


def flat_errors(messages: Any, path: str = "") -> dict[str, list[str]]:
    """Marshmallow's nested messages by dotted path: `data.data.0.duration`."""
    if not isinstance(messages, Mapping):
        return {path: [str(message) for message in _listed(messages)]}
    result: dict[str, list[str]] = {}
    for key, inner in messages.items():
        step = "" if key == "_schema" else str(key)
        result |= flat_errors(inner, ".".join(part for part in (path, step) if part))
    return result


def _listed(messages: Any) -> Iterable[Any]:
    return messages if isinstance(messages, list) else [messages]
