"""The difference between what callbacks said of a task, what record-info said, and what is stored."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from receiver.core.observation import DETAIL_FIELDS, TRACK_FIELDS, Scalar
from receiver.core.reconciliation import Claims, TaskState

STATUS = "status"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One field, of the task or of one of its tracks; None is a value nobody told."""

    name: str
    track: str | None
    callback: Scalar | None
    record_info: Scalar | None
    stored: Scalar | None

    @property
    def differs(self) -> bool:
        """Whether both told a value, and not the same one."""
        return None not in (self.callback, self.record_info) and self.callback != self.record_info

    @property
    def told_by_one(self) -> bool:
        return (self.callback is None) != (self.record_info is None)


def compare(callbacks: TaskState, polls: TaskState, stored: TaskState) -> list[Row]:
    """Field by field, each that anybody told a value for; the three states are of one task."""
    said = (callbacks, polls, stored)
    words = tuple(state.reconciled_status.word or None for state in said)
    rows = [_row(STATUS, None, *words), *_rows(None, DETAIL_FIELDS, tuple(state.details for state in said))]
    keys = dict.fromkeys(key for state in (stored, polls, callbacks) for key in sorted(state.visible_tracks))
    for key in keys:
        rows += _rows(key, TRACK_FIELDS, tuple(state.tracks.get(key, {}) for state in said))
    return [row for row in rows if (row.callback, row.record_info, row.stored) != (None, None, None)]


def _rows(track: str | None, names: tuple[str, ...], said: tuple[Claims, ...]) -> Iterator[Row]:
    for name in names:
        yield _row(name, track, *(_value(claims, name) for claims in said))


def _row(name: str, track: str | None, *values: Scalar | None) -> Row:
    callback, record_info, stored = values
    return Row(name=name, track=track, callback=callback, record_info=record_info, stored=stored)


def _value(claims: Claims, name: str) -> Scalar | None:
    return claims[name].value if name in claims else None


def by_track(rows: list[Row]) -> Mapping[str | None, list[Row]]:
    """The rows of the task itself under None, and of each track under its key."""
    groups: dict[str | None, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.track, []).append(row)
    return groups
