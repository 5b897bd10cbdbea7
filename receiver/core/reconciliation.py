"""The merge, and nothing else: a task's state is the join of all its observations.

Every part is a maximum over a total order, or a union, so `join` is commutative, associative and idempotent:
order and repetition cannot matter. No clock, no arrival order and no count ever enters a state.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from receiver.core.observation import FAILURES, Observation, Scalar, Source, Status, Track

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


class Told(StrEnum):
    """Facts that, once told, stay told."""

    FAILURE = "failure"
    SUCCESS = "success"
    END_BY_CALLBACK = "end_by_callback"
    SUCCESS_BY_CALLBACK = "success_by_callback"
    EXCEPTION = "exception"
    EXCEPTION_CONFIRMED = "exception_confirmed"


@dataclass(frozen=True, slots=True, order=True)
class StatusClaim:
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


@dataclass(frozen=True, slots=True)
class Claim:
    """A value somebody gave for a field: confirmed beats claimed, a later stage an earlier, then the value decides."""

    confirmed: bool
    stage: int
    value: Scalar

    @property
    def rank(self) -> tuple[bool, int, str]:
        return self.confirmed, self.stage, json.dumps(self.value)


Claims = Mapping[str, Claim]


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskState:
    """Everything known of a task.

    `answers` holds, for each record-info answer that told `SUCCESS` or `CALLBACK_EXCEPTION`, the keys of the
    tracks it listed: what was paid for, in the words of the only one who knows.
    """

    status: StatusClaim = StatusClaim()
    told: frozenset[Told] = frozenset()
    details: Claims = field(default_factory=dict)
    tracks: Mapping[str, Claims] = field(default_factory=dict)
    answers: frozenset[frozenset[str]] = frozenset()

    @classmethod
    def of(cls, seen: Observation) -> "TaskState":
        """The small state in which only this one observation is known."""
        confirmed = seen.source is Source.POLL
        meaning = seen.meaning
        if meaning is Status.CALLBACK_EXCEPTION and seen.delivered:
            meaning = Status.SUCCESS  # only the delivery to us failed; the music is there
        stage = STAGES[meaning]
        listed = confirmed and meaning in (Status.SUCCESS, Status.CALLBACK_EXCEPTION) and seen.tracks
        return cls(
            status=StatusClaim.of(meaning, seen.status, confirmed=confirmed)
            if seen.status
            else StatusClaim(),
            told=frozenset(_facts(meaning, seen)),
            details=_claims(seen.details, confirmed=confirmed, stage=stage),
            tracks=_track_claims(seen.tracks, confirmed=confirmed, stage=stage),
            answers=frozenset({frozenset(track.key for track in seen.tracks)} if listed else ()),
        )

    @property
    def conflict(self) -> bool:
        """A failure and a success were both told."""
        return Told.FAILURE in self.told and (
            Told.SUCCESS in self.told or self.reconciled_status.word == Status.SUCCESS
        )

    @property
    def reconciled_status(self) -> StatusClaim:
        """The highest status told, where `CALLBACK_EXCEPTION` with every track playable is `SUCCESS`."""
        if Told.EXCEPTION not in self.told or not self.playable:
            return self.status
        told_by_record_info = all(self.tracks[key]["audioUrl"].confirmed for key in self._paid_for)
        confirmed = Told.EXCEPTION_CONFIRMED in self.told and told_by_record_info
        return max(self.status, StatusClaim.of(Status.SUCCESS, "", confirmed=confirmed))

    @property
    def playable(self) -> bool:
        """Whether every track that was paid for, one at least, has an `audioUrl`."""
        return self._all_playable(self._paid_for)

    @property
    def some_playable(self) -> bool:
        return any("audioUrl" in claims for claims in self.tracks.values())

    @property
    def ready(self) -> int:
        """How many of the tracks to show can be played."""
        return sum("audioUrl" in claims for claims in self.visible_tracks.values())

    @property
    def visible_tracks(self) -> Mapping[str, Claims]:
        """The tracks to show, by key. Rows without an id stand in only while no row with one is known."""
        known = {key: claims for key, claims in self.tracks.items() if "id" in claims}
        return known or self.tracks

    @property
    def _paid_for(self) -> frozenset[str]:
        """The keys of the tracks that must be playable.

        A complete list of record-info's, once told, is complete for good. Until then all tracks count that it
        told of, and mere claims only while it has not spoken of the end: no stray row out of a late or forged
        callback may take a finished task apart again.
        """
        complete = [keys for keys in self.answers if self._all_playable(keys)]
        if complete:
            return frozenset().union(*complete)
        visible = frozenset(self.visible_tracks)
        if not (Told.EXCEPTION_CONFIRMED in self.told or (self.status.confirmed and self.status.ends)):
            return visible
        confirmed = {key for key in visible if any(claim.confirmed for claim in self.tracks[key].values())}
        return frozenset(confirmed) or visible

    def _all_playable(self, keys: Iterable[str]) -> bool:
        rows = [self.tracks[key] for key in keys]
        return bool(rows) and all("audioUrl" in row for row in rows)


def join(a: TaskState, b: TaskState) -> TaskState:
    """The state that knows what `a` knows and what `b` knows. Commutative, associative, idempotent."""
    return TaskState(
        status=max(a.status, b.status),
        told=a.told | b.told,
        details=_join_claims(a.details, b.details),
        tracks={
            key: _join_claims(a.tracks.get(key, {}), b.tracks.get(key, {}))
            for key in a.tracks.keys() | b.tracks.keys()
        },
        answers=a.answers | b.answers,
    )


def reconcile(state: TaskState, seen: Observation) -> TaskState:
    """`state` with one more observation known."""
    return join(state, TaskState.of(seen))


def _facts(meaning: Status | None, seen: Observation) -> Iterable[Told]:
    success, failure = meaning is Status.SUCCESS, meaning in FAILURES
    if success:
        yield Told.SUCCESS
    if failure:
        yield Told.FAILURE
    if seen.source is Source.CALLBACK and (failure or seen.meaning is Status.SUCCESS):
        yield Told.END_BY_CALLBACK
    if seen.source is Source.CALLBACK and seen.meaning is Status.SUCCESS:
        yield Told.SUCCESS_BY_CALLBACK
    if seen.meaning is Status.CALLBACK_EXCEPTION:
        yield Told.EXCEPTION
    if seen.meaning is Status.CALLBACK_EXCEPTION and seen.source is Source.POLL:
        yield Told.EXCEPTION_CONFIRMED


def _claims(fields: Mapping[str, Scalar], *, confirmed: bool, stage: int) -> Claims:
    return {name: Claim(confirmed, stage, value) for name, value in fields.items()}


def _track_claims(tracks: Iterable[Track], *, confirmed: bool, stage: int) -> Mapping[str, Claims]:
    merged: dict[str, Claims] = {}
    for track in tracks:  # a list may name one id twice (a vendor's own example does)
        claims = _claims(track.fields, confirmed=confirmed, stage=stage)
        merged[track.key] = _join_claims(merged.get(track.key, {}), claims)
    return merged


def _join_claims(a: Claims, b: Claims) -> Claims:
    joined = dict(a)
    for name, claim in b.items():
        held = joined.get(name)
        if held is None or claim.rank > held.rank:
            joined[name] = claim
    return joined
