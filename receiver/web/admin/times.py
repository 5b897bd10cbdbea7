"""Moments and spans of time in a person's words. Pure: `now` is handed in."""

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A moment: for machines, exactly, and as long ago as it is."""

    iso: str
    exact: str
    words: str


def duration(seconds: float) -> str:
    """A length of time in its largest unit."""
    if seconds < 60:
        return f"{int(seconds)} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min"
    if seconds < 48 * 3600:
        return f"{int(seconds // 3600)} h"
    return f"{int(seconds // 86400)} days"


def timestamp(moment: datetime | None, now: datetime) -> Timestamp | None:
    return None if moment is None else humanize(moment, now)


def humanize(moment: datetime, now: datetime) -> Timestamp:
    passed_s = (now - moment).total_seconds()
    words = f"{duration(passed_s)} ago" if passed_s >= 0 else f"in {duration(-passed_s)}"
    if abs(passed_s) < 1:
        words = "now"
    exact = moment.astimezone(UTC)
    return Timestamp(f"{exact:%Y-%m-%dT%H:%M:%SZ}", f"{exact:%Y-%m-%d %H:%M:%S} UTC", words)
