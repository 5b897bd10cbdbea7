"""A task by its callbacks, by record-info and as it is stored, compared field by field."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from receiver.core.claims import Claims, TrackClaims, is_disputed
from receiver.core.observation import DETAIL_FIELDS, TRACK_FIELDS, Scalar
from receiver.core.reconciliation import TaskState

STATUS = "status"
RIVAL_SEPARATOR = " ≠ "


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedValue:
    """One field, of the task or of one of its tracks; None is no value."""

    name: str
    track: str | None
    callback: Scalar | None
    record_info: Scalar | None
    stored: Scalar | None

    @property
    def differs(self) -> bool:
        """Whether both have a value, and not the same one."""
        return None not in (self.callback, self.record_info) and self.callback != self.record_info

    @property
    def has_single_source(self) -> bool:
        return (self.callback is None) != (self.record_info is None)


def compare(callbacks: TaskState, polls: TaskState, stored: TaskState) -> list[ComparedValue]:
    """Each field for which any of these three states of one task has a value."""
    statuses = tuple(state.status.word or None for state in (callbacks, polls, stored))
    details = (callbacks.details, polls.details, stored.visible_details)
    rows = [
        _compare_value(STATUS, None, *statuses),
        *_compare_values(None, DETAIL_FIELDS, [_values(claims) for claims in details]),
    ]
    keys = dict.fromkeys(key for state in (stored, polls, callbacks) for key in sorted(state.visible_tracks))
    for key in keys:
        reported = [_all_values(state.tracks.get(key, {})) for state in (callbacks, polls)]
        rows += _compare_values(key, TRACK_FIELDS, [*reported, _values(stored.visible_tracks.get(key, {}))])
    return [row for row in rows if (row.callback, row.record_info, row.stored) != (None, None, None)]


def _compare_values(
    track: str | None, names: tuple[str, ...], sources: Sequence[Mapping[str, Scalar]]
) -> Iterator[ComparedValue]:
    for name in names:
        yield _compare_value(name, track, *(values.get(name) for values in sources))


def _compare_value(name: str, track: str | None, *values: Scalar | None) -> ComparedValue:
    callback, record_info, stored = values
    return ComparedValue(name=name, track=track, callback=callback, record_info=record_info, stored=stored)


def _values(claims: Claims) -> Mapping[str, Scalar]:
    return {name: claim.value for name, claim in claims.items()}


def _all_values(track: TrackClaims) -> Mapping[str, Scalar]:
    """The value of each field; of a disputed URL all its values."""
    return {
        name: RIVAL_SEPARATOR.join(str(claim.value) for claim in rivals)
        if is_disputed(rivals)
        else rivals[0].value
        for name, rivals in track.items()
    }


def by_track(rows: list[ComparedValue]) -> Mapping[str | None, list[ComparedValue]]:
    """The rows of the task itself under None, and of each track under its key."""
    groups: dict[str | None, list[ComparedValue]] = {}
    for row in rows:
        groups.setdefault(row.track, []).append(row)
    return groups
