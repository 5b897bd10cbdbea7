"""The files of a track: their addresses, and what is found there."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from .answers import Answer
from .cover import draw_cover
from .melody import play_melody

FILES: Mapping[str, str] = MappingProxyType(
    {
        "audioUrl": "audio.wav",
        "sourceAudioUrl": "source-audio.wav",
        "streamAudioUrl": "stream.wav",
        "sourceStreamAudioUrl": "source-stream.wav",
        "imageUrl": "cover.svg",
        "sourceImageUrl": "source-cover.svg",
    }
)


def media_urls(track_id: str, files_url: str) -> dict[str, object]:
    """Where a row says that its files are; with no `files_url` in the upstream's form, and nothing is there."""
    if not files_url:
        return _example_urls(track_id)
    return {field: f"{files_url}/{track_id}/{name}" for field, name in FILES.items()}


def media_answer(track_id: str, name: str) -> Answer | None:
    if name not in FILES.values():
        return None
    if name.endswith(".svg"):
        return Answer(body=draw_cover(track_id), content_type="image/svg+xml")
    return Answer(body=_melody(track_id), content_type="audio/wav")


# A player asks for one file many times, range by range.
_melody = lru_cache(maxsize=32)(play_melody)


def _example_urls(track_id: str) -> dict[str, object]:
    name = base64.urlsafe_b64encode(track_id.encode()).decode()
    return {
        "audioUrl": f"https://files.simulator.example/{name}.mp3",
        "sourceAudioUrl": f"https://cdn1.simulator.example/{track_id}.mp3",
        "streamAudioUrl": f"https://stream.simulator.example/{name}",
        "sourceStreamAudioUrl": f"https://pipe.simulator.example/?item_id={track_id}",
        "imageUrl": f"https://files.simulator.example/{name}.jpeg",
        "sourceImageUrl": f"https://cdn2.simulator.example/image_{track_id}.jpeg",
    }
