"""The two tracks of a generation and the dialects of their rows."""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from .media import media_urls
from .repertoire import SONGS, TAGS

Row = dict[str, object]

SLUGS: Mapping[str, str] = MappingProxyType(
    {
        "V3_5": "chirp-v3-5",
        "V4": "chirp-v4",
        "V4_5": "chirp-auk",
        "V4_5PLUS": "chirp-bluejay",
        "V4_5ALL": "chirp-auk-turbo",
        "V5": "chirp-crow",
        "V5_5": "chirp-fenix",
    }
)
# createTime is camelCase in both dialects, so it is not listed.
SNAKE: Mapping[str, str] = MappingProxyType(
    {
        "audioUrl": "audio_url",
        "streamAudioUrl": "stream_audio_url",
        "imageUrl": "image_url",
        "sourceAudioUrl": "source_audio_url",
        "sourceStreamAudioUrl": "source_stream_audio_url",
        "sourceImageUrl": "source_image_url",
        "modelName": "model_name",
    }
)


@dataclass(frozen=True, kw_only=True)
class Track:
    id: str
    title: str
    tags: str
    prompt: str
    model_name: str
    created_ms: int
    duration: float
    files_url: str = ""

    def row(self) -> Row:
        """The finished row as record-info has it."""
        return {
            "id": self.id,
            **media_urls(self.id, self.files_url),
            "prompt": self.prompt,
            "modelName": self.model_name,
            "title": self.title,
            "tags": self.tags,
            "createTime": self.created_ms,
            "duration": self.duration,
        }

    def unfinished_row(self) -> Row:
        row = self.row() | {"audioUrl": "", "sourceAudioUrl": ""}
        del row["duration"]
        return row

    def row_without_urls(self, nothing: str | None) -> Row:
        return self.row() | {"audioUrl": nothing, "sourceAudioUrl": nothing}


def callback_row(row: Mapping[str, object]) -> Row:
    """The row as callbacks spell it; there an unfinished one has no source_audio_url at all."""
    unfinished = "duration" not in row
    return {
        SNAKE.get(name, name): value
        for name, value in row.items()
        if not (unfinished and name == "sourceAudioUrl")
    }


def model_slug(request: Mapping[str, object]) -> str:
    return SLUGS.get(str(request.get("model")), "chirp-crow")


def draw_tracks(
    request: Mapping[str, object], created_at: float, rng: random.Random, *, files_url: str = ""
) -> tuple[Track, ...]:
    song = rng.choice(SONGS)
    tags = str(request.get("style") or rng.choice(TAGS))
    return tuple(
        Track(
            id=str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            title=str(request.get("title") or song.title),
            tags=tags,
            prompt="" if request.get("instrumental") is True else song.lyrics,
            model_name=model_slug(request),
            created_ms=int(created_at * 1000),
            duration=_draw_duration(rng),
            files_url=files_url,
        )
        for _ in range(2)
    )


def _draw_duration(rng: random.Random) -> float:
    seconds = rng.uniform(45, 240)
    return int(seconds) if rng.random() < 0.3 else round(seconds, 2)
