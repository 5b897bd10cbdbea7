"""The two tracks of a generation, and their rows as record-info and as callbacks spell them."""

import random
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from receiver.simulator.media import EXAMPLE_FILES_URL, media_urls

Row = dict[str, object]

MODEL_SLUGS: Mapping[str, str] = MappingProxyType(
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
TAGS = (
    "relaxing, soft, piano-driven, calm",
    "metal, distorted e-guitars, aggressive, thunderous drums",
    "lo-fi hip hop, dusty keys, mellow, vinyl crackle",
    "oud, darbuka, modal, hypnotic",
)


@dataclass(frozen=True, kw_only=True)
class Song:
    title: str
    verse: str

    @property
    def lyrics(self) -> str:
        """About as long as real ones, which fill most of a stored body."""
        return "\n\n".join(f"[{part}]\n{self.verse}" for part in ("Verse 1", "Chorus", "Verse 2"))


SONGS = (
    Song(
        title="Whispering Tides", verse="The lamp is low, the street is long\nI count the rain’s uneven song"
    ),
    Song(
        title="Nine O’Clock Rain",
        verse="A tram goes by with all its light\nAnd leaves a warmer kind of night",
    ),
    Song(title="Été à Valparaíso", verse="Reste encore, le soir est doux\nLa mer se souvient de nous"),
    Song(title="🌙 Night Drive 🚗💨", verse="Neon on the window pane 🌃\nNobody remembers rain 👩‍🎤"),
    Song(title="Северный ветер", verse="Над рекою тают огни\nМы идём по мосту одни"),
    Song(title="月光下的河", verse="月光落在小河上\n晚风吹过旧门窗"),
    Song(title="夜明けの汽笛", verse="雨上がりの坂道で\n君の傘を思い出す"),
    Song(title="ليل المدينة", verse="ليلٌ هادئٌ على المدينة\nوضوءٌ ينام على السفينة"),
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
    files_url: str = EXAMPLE_FILES_URL

    def row(self) -> Row:
        """The finished row as record-info spells it."""
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
        """The row before its audio is finished: empty audio URLs and no duration."""
        row = self.row() | {"audioUrl": "", "sourceAudioUrl": ""}
        del row["duration"]
        return row

    def row_without_urls(self, missing_url: str | None) -> Row:
        """A finished row whose audio URLs are missing, spelled as `missing_url`."""
        return self.row() | {"audioUrl": missing_url, "sourceAudioUrl": missing_url}


def callback_row(row: Mapping[str, object]) -> Row:
    """The row as callbacks spell it; there an unfinished one has no source_audio_url at all."""
    unfinished = "duration" not in row
    return {
        _snake_case(name): value
        for name, value in row.items()
        if not (unfinished and name == "sourceAudioUrl")
    }


def _snake_case(name: str) -> str:
    # createTime is camelCase in callbacks too.
    return name if name == "createTime" else re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name)


def model_slug(request: Mapping[str, object]) -> str:
    """The upstream's own name of the requested model."""
    return MODEL_SLUGS.get(str(request.get("model")), "chirp-crow")


def draw_tracks(
    request: Mapping[str, object],
    created_at: float,
    rng: random.Random,
    *,
    files_url: str = EXAMPLE_FILES_URL,
) -> tuple[Track, ...]:
    """Two tracks of one song; the request's `title` and `style` win. `created_at` is in epoch seconds."""
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
