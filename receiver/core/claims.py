"""Claims about one field or about the status, and which one wins: each a maximum over a total order."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from receiver.core.observation import (
    ERROR_FIELDS,
    FAILURES,
    URL_FIELDS,
    Observation,
    Scalar,
    Source,
    Status,
    is_audio_file,
)

# What a claim about a field is worth, by the stage at which it was made; also the order of statuses.
STAGES: Mapping[Status | None, int] = {
    None: 0,
    Status.PENDING: 1,
    Status.TEXT_SUCCESS: 2,
    Status.FIRST_SUCCESS: 3,
    Status.CALLBACK_EXCEPTION: 4,
    **dict.fromkeys(FAILURES, 5),
    Status.SUCCESS: 6,
}
CONFIRMED_END = 2  # lifts a confirmed failure (5) over a claimed SUCCESS (6), and keeps SUCCESS on top
MAX_RIVALS = 2  # two different values of a URL are enough to know that it is disputed


class StatusClaim(NamedTuple):
    """A status with its place in the order: stage, which failure, confirmed or not, then the word itself."""

    stage: int = -1
    failure: int = 0
    confirmed: bool = False
    word: str = ""

    @classmethod
    def of(cls, status: Status | None, word: str, *, confirmed: bool) -> "StatusClaim":
        lifted = confirmed and STAGES[status] > STAGES[Status.CALLBACK_EXCEPTION]
        return cls(
            stage=STAGES[status] + (CONFIRMED_END if lifted else 0),
            failure=FAILURES.index(status) if status in FAILURES else 0,
            confirmed=confirmed,
            word=status.value if status else word,
        )

    @property
    def ends(self) -> bool:
        """Whether this claims that the generation is over, or that its callbacks failed."""
        return self.stage >= STAGES[Status.CALLBACK_EXCEPTION]


class Claim(NamedTuple):
    """A value of a field: confirmed beats claimed, a later stage an earlier, then the value decides.

    `failure` is the index of the failure that an error belongs to, as in `StatusClaim`; 0 for anything else.
    A named tuple, as a callback makes thirty: a frozen dataclass takes three times as long to make.
    """

    confirmed: bool
    stage: int
    value: Scalar
    failure: int = 0

    @property
    def rank(self) -> tuple[bool, int, int, str]:
        return self.confirmed, self.stage, self.failure, json.dumps(self.value)


_as_json = json.JSONEncoder(sort_keys=True).encode  # once: `json.dumps` would make one for each text

Claims = Mapping[str, Claim]
"""The best claim for each field, by name."""

Rivals = tuple[Claim, ...]
"""The best claims for one field, the best first. An unconfirmed URL has up to two, of different values."""

TrackClaims = Mapping[str, Rivals]
"""The claims for each field of a track, by name."""


def detail_claims(observation: Observation, status: Status | None) -> Claims:
    """What an observation claims about the task itself. An error is one only together with a failure."""
    confirmed, failed = observation.source is Source.POLL, status in FAILURES
    failure = FAILURES.index(status) if status in FAILURES else 0
    return {
        name: Claim(confirmed, STAGES[status], value, failure if name in ERROR_FIELDS else 0)
        for name, value in observation.details.items()
        if failed or name not in ERROR_FIELDS
    }


def track_claims(observation: Observation, status: Status | None) -> Mapping[str, TrackClaims]:
    """What an observation claims about each track, by its key."""
    confirmed, stage, merged = observation.source is Source.POLL, STAGES[status], dict[str, TrackClaims]()
    for track in observation.tracks:
        claims = {name: (Claim(confirmed, stage, value),) for name, value in track.fields.items()}
        former = merged.get(track.key)  # a list may name one id twice (a vendor's own example does)
        merged[track.key] = claims if former is None else join_tracks(former, claims)
    return merged


def every_claim(track: TrackClaims) -> Iterator[Claim]:
    for rivals in track.values():
        yield from rivals


def is_confirmed(track: TrackClaims) -> bool:
    """Whether record-info named the track: the best claim stands first, and confirmed beats claimed."""
    return any(rivals[0].confirmed for rivals in track.values())


def is_disputed(rivals: Rivals) -> bool:
    """Whether callbacks gave different values, and record-info has given none."""
    return len(rivals) > 1


def is_playable(track: TrackClaims, *, confirmed: bool) -> bool:
    """Whether the track has a URL to play; with `confirmed` one from record-info."""
    audio = _given(track, "audioUrl", confirmed=confirmed)
    return audio is not None or is_audio_file(_given(track, "sourceAudioUrl", confirmed=confirmed))


def _given(track: TrackClaims, name: str, *, confirmed: bool) -> Scalar | None:
    """The value of a field: the best claim stands first, and confirmed beats claimed."""
    rivals = track.get(name)
    return rivals[0].value if rivals and (rivals[0].confirmed or not confirmed) else None


def join_claims(a: Claims, b: Claims) -> Claims:
    joined = dict(a)
    for name, claim in b.items():
        current = joined.get(name)
        if current is None or claim.rank > current.rank:
            joined[name] = claim
    return joined


def join_tracks(a: TrackClaims, b: TrackClaims) -> TrackClaims:
    """All claims about one track."""
    return {**a, **{name: _join_rivals(name, a.get(name, ()), rivals) for name, rivals in b.items()}}


def _join_rivals(name: str, a: Rivals, b: Rivals) -> Rivals:
    """The best of both. Each value counts with its best claim, so that a repetition is no rival of itself."""
    if not a:
        return b
    ranked = sorted((*a, *b), key=lambda claim: claim.rank, reverse=True)
    if ranked[0].confirmed or name not in URL_FIELDS:
        return (ranked[0],)
    best: dict[str, Claim] = {}
    for claim in ranked:
        best.setdefault(json.dumps(claim.value), claim)
    return tuple(best.values())[:MAX_RIVALS]


def may_show(rivals: Rivals, *, confirmed_urls: bool, with_disputed: bool) -> bool:
    """Whether a URL may be shown: once URLs must be confirmed, no other, and a disputed one only if asked for."""
    return rivals[0].confirmed or (not confirmed_urls and (with_disputed or not is_disputed(rivals)))


def came_with_success(track: TrackClaims) -> bool:
    """Whether this track and each of its URLs come from record-info, or from a callback with `SUCCESS`."""
    urls = [track[name] for name in track.keys() & URL_FIELDS]
    return all(map(_is_sure, urls)) and (bool(urls) or any(map(_is_sure, track.values())))


def _is_sure(rivals: Rivals) -> bool:
    return rivals[0].confirmed or rivals[0].stage == STAGES[Status.SUCCESS]


def success_digest(observation: Observation) -> str:
    """A digest of all tracks and details, whatever the order of the tracks: two that differ contradict each other."""
    rows = sorted(_as_json([track.key, track.fields]) for track in observation.tracks)
    return hashlib.sha256(_as_json([rows, observation.details]).encode()).hexdigest()[:16]
