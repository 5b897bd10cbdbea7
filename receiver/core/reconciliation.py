"""The merge, and nothing else: a task's state is the join of all its observations.

Every part is a maximum over a total order, or a union, so `join` is commutative, associative and idempotent:
order and repetition cannot matter. No clock, no arrival order and no count ever enters a state.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from receiver.core.claims import (
    STAGES,
    Claims,
    StatusClaim,
    TrackClaims,
    came_with_success,
    detail_claims,
    is_confirmed,
    is_disputed,
    is_playable,
    join_claims,
    join_tracks,
    may_show,
    success_digest,
    track_claims,
)
from receiver.core.facts import UNSUPPORTED_ENDS, Fact, facts_in
from receiver.core.observation import (
    ERROR_FIELDS,
    FAILURES,
    URL_FIELDS,
    Observation,
    Source,
    Status,
    UnsupportedEnd,
)

MAX_SUCCESS_DIGESTS = 2  # different reports of a success: enough to know that they contradict each other


@dataclass(frozen=True, kw_only=True)
class TaskState:
    """Everything known of a task. Derived values are cached, which is why it has no slots.

    `final_track_sets` holds the track keys of each record-info response with `SUCCESS` or `CALLBACK_EXCEPTION`:
    what was paid for, from the only one who knows. `success_digests` are of callbacks with `SUCCESS`, two at
    most: then callbacks contradict each other.
    """

    highest_claim: StatusClaim = StatusClaim()
    facts: frozenset[Fact] = frozenset()
    details: Claims = field(default_factory=dict)
    tracks: Mapping[str, TrackClaims] = field(default_factory=dict)
    final_track_sets: frozenset[frozenset[str]] = frozenset()
    success_digests: frozenset[str] = frozenset()

    @classmethod
    def of(cls, observation: Observation) -> "TaskState":
        """The state after this one observation."""
        confirmed = observation.source is Source.POLL
        status = observation.known_status
        if status is Status.CALLBACK_EXCEPTION and observation.all_playable:
            status = Status.SUCCESS  # only the delivery to us failed; the music is there
        listed = confirmed and status in (Status.SUCCESS, Status.CALLBACK_EXCEPTION) and observation.tracks
        reported = not confirmed and status is Status.SUCCESS and observation.tracks
        return cls(
            highest_claim=StatusClaim.of(status, observation.status, confirmed=confirmed)
            if observation.status
            else StatusClaim(),
            facts=frozenset(facts_in(observation, status)),
            details=detail_claims(observation, status),
            tracks=track_claims(observation, status),
            final_track_sets=frozenset(
                {frozenset(track.key for track in observation.tracks)} if listed else ()
            ),
            success_digests=frozenset({success_digest(observation)} if reported else ()),
        )

    @property
    def unsupported_end(self) -> UnsupportedEnd | None:
        """How it ended, where callbacks report another product's job and nobody music; success before failure."""
        if self.highest_claim != StatusClaim() or self.tracks:
            return None
        return next((end for end, fact in UNSUPPORTED_ENDS.items() if fact in self.facts), None)

    @property
    def without_unknown(self) -> "TaskState":
        """The state that decides on a new version: `NOT_KNOWN` counts only for another product's job."""
        counts = self.unsupported_end is not None or Fact.NOT_KNOWN not in self.facts
        return self if counts else replace(self, facts=self.facts - {Fact.NOT_KNOWN})

    @property
    def conflict(self) -> bool:
        """Whether different ends were reported, or callbacks contradict each other."""
        return self.conflicting_ends or self.disputed

    @property
    def conflicting_ends(self) -> bool:
        """A failure and a success were both reported."""
        return Fact.FAILURE in self.facts and (
            Fact.SUCCESS in self.facts or self.status.word == Status.SUCCESS
        )

    @cached_property
    def disputed(self) -> bool:
        """Callbacks name different tracks, or different URLs of one track, and record-info has not decided.

        Two with `SUCCESS` must say the same, and no other callback may add a track or a URL to it.
        """
        if self.listed_by_record_info is not None:
            return False
        tracks = [self.tracks[key] for key in self.visible_tracks]
        added = bool(self.success_digests) and not all(map(came_with_success, tracks))
        rivals = any(is_disputed(track[name]) for track in tracks for name in track.keys() & URL_FIELDS)
        return added or rivals or len(self.success_digests) > 1

    @cached_property
    def status(self) -> StatusClaim:
        """The highest status reported, where `CALLBACK_EXCEPTION` with every track playable is `SUCCESS`."""
        if Fact.EXCEPTION not in self.facts or not self.playable:
            return self.highest_claim
        confirmed = Fact.EXCEPTION_CONFIRMED in self.facts and self.playable_by_record_info
        return max(self.highest_claim, StatusClaim.of(Status.SUCCESS, "", confirmed=confirmed))

    @property
    def confirmed(self) -> bool:
        """Whether the reconciled status comes from record-info, and for a success also the URLs to play."""
        status = self.status
        return status.confirmed and (status.word != Status.SUCCESS or self.playable_by_record_info)

    @cached_property
    def playable(self) -> bool:
        """Whether every track that was paid for, one at least, can be played."""
        return self._all_playable(self._paid_for, confirmed=self.listed_by_record_info is not None)

    @cached_property
    def playable_by_record_info(self) -> bool:
        """The same, counting only URLs from record-info."""
        return self._all_playable(self._paid_for, confirmed=True)

    def count_playable(self, *, confirmed: bool = False) -> int:
        """How many of the tracks to show can be played; with `confirmed` by URLs from record-info."""
        confirmed = confirmed or self.listed_by_record_info is not None
        return sum(is_playable(self.tracks[key], confirmed=confirmed) for key in self.visible_tracks)

    @property
    def visible_details(self) -> Claims:
        """The task's own fields to show; its error only as it came with the reconciled status, if that is a failure.

        Once record-info has listed the tracks, none that only callbacks gave: true callbacks give none of these.
        """
        claims_too = self.listed_by_record_info is None
        status = self.status
        place = (
            (status.confirmed, STAGES[Status(status.word)], status.failure)
            if status.word in FAILURES
            else None
        )
        return {
            name: claim
            for name, claim in self.details.items()
            if (claim.confirmed or claims_too)
            and (name not in ERROR_FIELDS or (claim.confirmed, claim.stage, claim.failure) == place)
        }

    @cached_property
    def visible_tracks(self) -> Mapping[str, Claims]:
        """The tracks to show, without disputed URLs."""
        return self.tracks_to_show()

    def tracks_to_show(self, *, with_disputed: bool = False) -> Mapping[str, Claims]:
        """The tracks to show, by key. Rows without an id stand in only while no row with one is known.

        Once record-info has listed the tracks, there are no others, and only its URLs are shown.
        Before that a disputed URL is left out, except `with_disputed`.
        """
        listed = self.listed_by_record_info
        present = self.tracks.keys() if listed is None else listed
        named = [key for key in present if "id" in self.tracks[key]]
        confirmed_urls = listed is not None
        return {
            key: {
                name: rivals[0]
                for name, rivals in self.tracks[key].items()
                if name not in URL_FIELDS
                or may_show(rivals, confirmed_urls=confirmed_urls, with_disputed=with_disputed)
            }
            for key in (named or present)
        }

    @cached_property
    def listed_by_record_info(self) -> frozenset[str] | None:
        """The keys of the task's tracks by record-info's complete list; None until there is one.

        A list in which every track is playable is complete for good. Otherwise, once record-info has reported how
        the task ended, all tracks count that it ever named: no stray row of a late or forged callback may take a
        finished task apart again, or add a track to it.
        """
        complete = [keys for keys in self.final_track_sets if self._all_playable(keys, confirmed=True)]
        if complete:
            return frozenset().union(*complete)
        confirmed = self.confirmed_keys
        if self.highest_claim.confirmed and self.highest_claim.word in FAILURES:
            return confirmed
        succeeded = self.highest_claim.confirmed and self.highest_claim.word == Status.SUCCESS
        delivered = Fact.EXCEPTION_CONFIRMED in self.facts and self._all_playable(confirmed, confirmed=True)
        return confirmed or None if succeeded or delivered else None

    @cached_property
    def _paid_for(self) -> frozenset[str]:
        """The keys of the tracks that must be playable.

        Tracks that only callbacks named count while record-info has listed none and has named none beside a
        `CALLBACK_EXCEPTION`.
        """
        visible = frozenset(self.visible_tracks)
        if self.listed_by_record_info is not None or Fact.EXCEPTION_CONFIRMED not in self.facts:
            return visible
        return (self.confirmed_keys & visible) or visible

    @cached_property
    def confirmed_keys(self) -> frozenset[str]:
        """The keys of the tracks that record-info ever named."""
        return frozenset(key for key, track in self.tracks.items() if is_confirmed(track))

    def _all_playable(self, keys: Iterable[str], *, confirmed: bool) -> bool:
        plays = [is_playable(self.tracks[key], confirmed=confirmed) for key in keys]
        return bool(plays) and all(plays)


NOTHING_REPORTED = TaskState()  # changes nothing in a `join`


def join(a: TaskState, b: TaskState) -> TaskState:
    """The state after all observations of `a` and of `b`. Commutative, associative, idempotent."""
    return TaskState(
        highest_claim=max(a.highest_claim, b.highest_claim),
        facts=a.facts | b.facts,
        details=join_claims(a.details, b.details),
        tracks={**a.tracks, **{key: join_tracks(a.tracks.get(key, {}), b.tracks[key]) for key in b.tracks}},
        final_track_sets=a.final_track_sets | b.final_track_sets,
        success_digests=frozenset(sorted(a.success_digests | b.success_digests)[-MAX_SUCCESS_DIGESTS:]),
    )


def reconcile(state: TaskState, observation: Observation) -> TaskState:
    """The state after one more observation."""
    reported = TaskState.of(observation)
    return reported if state is NOTHING_REPORTED else join(state, reported)
