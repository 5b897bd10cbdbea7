"""The course of one task, decided when it is submitted."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from receiver.simulator.faults import ENDING_FAULTS, draw_one, happens
from receiver.simulator.media import EXAMPLE_FILES_URL
from receiver.simulator.tracks import Row, Track, draw_tracks


@dataclass(frozen=True, kw_only=True)
class Failure:
    status: str
    code: int
    message: str


FAILURES: Mapping[str, Failure] = MappingProxyType(
    {
        "create-task-failed": Failure(
            status="CREATE_TASK_FAILED", code=500, message="Internal Error, Please try again later."
        ),
        "generate-audio-failed": Failure(
            status="GENERATE_AUDIO_FAILED", code=501, message="Audio generation failed"
        ),
        "sensitive-word": Failure(
            status="SENSITIVE_WORD_ERROR", code=400, message="Song Description flagged for moderation"
        ),
    }
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Times are epoch seconds; at `settled_at` the record changes for the last time, from `known_at` it is there."""

    task_id: str
    request: Mapping[str, object]
    submitted_at: float
    speed: float
    known_at: float
    text_at: float
    first_at: float
    complete_at: float
    settled_at: float
    ending: str | None
    tracks: tuple[Track, ...]
    text_has_rows: bool
    missing_url: str | None

    @property
    def failure(self) -> Failure | None:
        """How the task fails, None if it does not."""
        return FAILURES.get(self.ending or "")

    @property
    def ends_at(self) -> float:
        """From here on record-info's response stays the same."""
        return max(self.settled_at, self.known_at)

    def rows(self, stage: str) -> list[Row]:
        """The rows of a stage (text, first, complete), or the final ones."""
        if stage == "text":
            # A failed task has no tracks, so none may be shown before it fails.
            shown = self.text_has_rows and self.failure is None
            return [track.unfinished_row() for track in self.tracks] if shown else []
        if stage == "first":
            return [self._first_row(), *(track.unfinished_row() for track in self.tracks[1:])]
        if stage == "complete" and self.ending == "success-without-urls":
            return [track.row_without_urls(self.missing_url) for track in self.tracks]
        return [track.row() for track in self.tracks]

    def _first_row(self) -> Row:
        # A URL that `first` has shown must not be gone in `complete`.
        track = self.tracks[0]
        return track.unfinished_row() if self.ending == "success-without-urls" else track.row()


def draw_plan(
    *,
    task_id: str,
    request: Mapping[str, object],
    submitted_at: float,
    rng: random.Random,
    faults: Mapping[str, float],
    speed: float,
    files_url: str = EXAMPLE_FILES_URL,
) -> Plan:
    """Draw times, tracks and ending; `speed` divides every duration."""

    def after(low: float, high: float, start: float = submitted_at) -> float:
        return start + rng.uniform(low, high) / speed

    text_at, first_at, complete_at = after(24, 36), after(85, 115), after(145, 175)
    ending = draw_one(tuple(ENDING_FAULTS), faults, rng)
    settled_at = _draw_settled_at(ending, after, first_at=first_at, complete_at=complete_at)
    known_at = after(8, 20)
    return Plan(
        task_id=task_id,
        request=MappingProxyType(dict(request)),
        submitted_at=submitted_at,
        speed=speed,
        known_at=known_at if happens("not-yet", faults, rng) else submitted_at,
        text_at=text_at,
        first_at=first_at,
        complete_at=complete_at,
        settled_at=settled_at,
        ending=ending,
        tracks=draw_tracks(request, submitted_at + 2 / speed, rng, files_url=files_url),
        text_has_rows=rng.random() < 0.5,
        missing_url=rng.choice(("", None)),
    )


def _draw_settled_at(
    ending: str | None, after: Callable[..., float], *, first_at: float, complete_at: float
) -> float:
    """When the upstream is done; all times are drawn, so that the ending changes no later draw."""
    return {
        "create-task-failed": after(3, 8),
        "sensitive-word": after(5, 15),
        "generate-audio-failed": first_at,
        "callback-exception-empty": after(20, 60, complete_at),
        "success-without-urls": after(60, 120, complete_at),
    }.get(ending or "", complete_at)
