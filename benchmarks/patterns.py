"""Texts with places in them that each task fills with what is its own."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from receiver.core.payloads.fields import iso

PLACE = "TITLE-OF-THE-SONG"
CREATED_AFTER_S = 2  # when the simulator's tracks are created, from the submit


@dataclass(frozen=True, kw_only=True, slots=True)
class Own:
    """What no two tasks share: `track_ids` sorted, `submitted_at` of whole seconds."""

    task_id: str
    track_ids: tuple[str, ...]
    title: str
    submitted_at: datetime

    def values(self) -> Mapping[str, str]:
        """By the names of places, as they stand in a body."""
        created = self.submitted_at + timedelta(seconds=CREATED_AFTER_S)
        told = {
            "task_id": self.task_id,
            "title": self.title,
            "submitted_ms": str(int(self.submitted_at.timestamp()) * 1000),
            "created_ms": str(int(created.timestamp()) * 1000),
            "created": iso(created),
        }
        for number, track_id in enumerate(self.track_ids):
            told[f"track_{number}"] = track_id
            told[f"name_{number}"] = base64.urlsafe_b64encode(track_id.encode()).decode()
        return told


def in_json(values: Mapping[str, str]) -> Mapping[str, str]:
    """The values as they stand in the JSON of a stored state."""
    return {**values, "title": json.dumps(values["title"], ensure_ascii=False)[1:-1]}


def new_track_ids(bits: int) -> tuple[str, str]:
    """Two ids out of 256 random bits, in order: a state lists its tracks by their ids."""
    first, second = (str(UUID(int=half, version=4)) for half in (bits >> 128, bits & (1 << 128) - 1))
    return (first, second) if first < second else (second, first)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text to be filled; quick, for it is done a million times."""

    text: str

    @classmethod
    def of(cls, text: str, own: Own) -> "Pattern":
        """The text, with places instead of what is that task's own."""
        text = text.replace("%", "%%")
        for name, value in own.values().items():
            text = text.replace(value, f"%({name})s")
        return cls(text)

    def fill(self, values: Mapping[str, str]) -> str:
        return self.text % values
