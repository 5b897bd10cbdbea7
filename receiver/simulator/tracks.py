"""The two tracks of a generation and the dialects of their rows."""

from __future__ import annotations

import base64
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

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
TITLES = (
    "Whispering Tides",
    "Iron Lanterns",
    "Paper Moon Parade",
    "Северный ветер",
    "Nine O\u2019Clock Rain",
)
TAGS = (
    "relaxing, soft, piano-driven, calm",
    "metal, distorted e-guitars, aggressive, thunderous drums",
    "folk, warm, acoustic guitar, female vocals",
    "synthwave, retro, driving, bright",
)
LYRICS = "[Verse]\nThe lamp is low\nI count the rain\u2019s uneven song\n\n[Chorus]\nStay a little"


@dataclass(frozen=True, kw_only=True)
class Track:
    id: str
    title: str
    tags: str
    prompt: str
    model_name: str
    created_ms: int
    duration: float

    def row(self) -> Row:
        """The finished row as record-info has it."""
        name = base64.urlsafe_b64encode(self.id.encode()).decode()
        return {
            "id": self.id,
            "audioUrl": f"https://files.simulator.example/{name}.mp3",
            "sourceAudioUrl": f"https://cdn1.simulator.example/{self.id}.mp3",
            "streamAudioUrl": f"https://stream.simulator.example/{name}",
            "sourceStreamAudioUrl": f"https://pipe.simulator.example/?item_id={self.id}",
            "imageUrl": f"https://files.simulator.example/{name}.jpeg",
            "sourceImageUrl": f"https://cdn2.simulator.example/image_{self.id}.jpeg",
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


def draw_tracks(request: Mapping[str, object], created_at: float, rng: random.Random) -> tuple[Track, ...]:
    title = str(request.get("title") or rng.choice(TITLES))
    tags = str(request.get("style") or rng.choice(TAGS))
    return tuple(
        Track(
            id=str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            title=title,
            tags=tags,
            prompt="" if request.get("instrumental") is True else LYRICS,
            model_name=model_slug(request),
            created_ms=int(created_at * 1000),
            duration=_draw_duration(rng),
        )
        for _ in range(2)
    )


def _draw_duration(rng: random.Random) -> float:
    seconds = rng.uniform(45, 240)
    return int(seconds) if rng.random() < 0.3 else round(seconds, 2)
