"""What one delivery says about one task, normalized: the only input of reconciliation."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias
from urllib.parse import urlsplit

Scalar: TypeAlias = str | int | float
"""The upstream's value of a field. `None`, `""` and an absent field are no value and are left out."""


class Source(StrEnum):
    """Who opened the connection: a callback only claims, the response to a poll confirms."""

    CALLBACK = "callback"
    POLL = "poll"


class Status(StrEnum):
    """The upstream's documented task statuses (its OpenAPI document, `data.status`)."""

    PENDING = "PENDING"
    TEXT_SUCCESS = "TEXT_SUCCESS"
    FIRST_SUCCESS = "FIRST_SUCCESS"
    CALLBACK_EXCEPTION = "CALLBACK_EXCEPTION"
    CREATE_TASK_FAILED = "CREATE_TASK_FAILED"
    GENERATE_AUDIO_FAILED = "GENERATE_AUDIO_FAILED"
    SENSITIVE_WORD_ERROR = "SENSITIVE_WORD_ERROR"
    SUCCESS = "SUCCESS"


# In one fixed order, the vaguest first: a named cause says more than "it failed".
FAILURES = (Status.GENERATE_AUDIO_FAILED, Status.CREATE_TASK_FAILED, Status.SENSITIVE_WORD_ERROR)

# Upper-case words by their status; the added ones occur in sample code or in other services, undocumented.
STATUS_BY_WORD = {status.value: status for status in Status} | {
    "GENERATING": Status.PENDING,
    "FAILED": Status.GENERATE_AUDIO_FAILED,
    "COMPLETE": Status.SUCCESS,
    "COMPLETED": Status.SUCCESS,
    "DONE": Status.SUCCESS,
}


def status_of_word(word: str) -> Status | None:
    """The documented status that a word stands for; None for an undocumented word."""
    return STATUS_BY_WORD.get(word.strip().upper())


TRACK_FIELDS = (
    "id",
    "audioUrl",
    "streamAudioUrl",
    "imageUrl",
    "sourceAudioUrl",
    "sourceStreamAudioUrl",
    "sourceImageUrl",
    "prompt",
    "modelName",
    "title",
    "tags",
    "createTime",
    "duration",
)
URL_FIELDS = frozenset(name for name in TRACK_FIELDS if name.endswith("Url"))
ERROR_FIELDS = frozenset({"errorCode", "errorMessage"})
DETAIL_FIELDS = ("operationType", "type", "parentMusicId", "param", "errorCode", "errorMessage")


AUDIO_FILE = re.compile(r"\.(aac|flac|m4a|mp3|mp4|oga|ogg|opus|wav|webm)\Z", re.IGNORECASE)


def is_audio_file(url: Scalar | None) -> bool:
    """Whether the URL's path names an audio file, so that it can be played where `audioUrl` is missing."""
    try:
        return isinstance(url, str) and AUDIO_FILE.search(urlsplit(url).path) is not None
    except ValueError:
        return False


@dataclass(frozen=True, kw_only=True, slots=True)
class Track:
    """One row of `sunoData`. `key` joins it: the row's id, or its place (`#0`) where the row has none."""

    key: str
    fields: Mapping[str, Scalar] = field(default_factory=dict)

    @property
    def playable(self) -> bool:
        return "audioUrl" in self.fields or is_audio_file(self.fields.get("sourceAudioUrl"))


class UnsupportedEnd(StrEnum):
    """How a job of another product than music ended, by a callback."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def status(self) -> Status:
        """Music's status that means the same."""
        return Status.SUCCESS if self is UnsupportedEnd.SUCCEEDED else Status.GENERATE_AUDIO_FAILED


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """What one delivery says about one task.

    `status` is the upstream's own word, or `""` where it made no claim about the status.
    `details` holds those of `DETAIL_FIELDS` that it names. Not `known`: record-info says that it has no such task.
    """

    task_id: str
    source: Source
    status: str = ""
    tracks: tuple[Track, ...] = ()
    details: Mapping[str, Scalar] = field(default_factory=dict)
    unsupported_end: UnsupportedEnd | None = None
    known: bool = True

    @property
    def known_status(self) -> Status | None:
        """The documented status that `status` stands for; None for an undocumented word."""
        return status_of_word(self.status)

    @property
    def all_playable(self) -> bool:
        """Whether every track of this observation, one at least, can be played."""
        return bool(self.tracks) and all(track.playable for track in self.tracks)
