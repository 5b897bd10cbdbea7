"""Times and durations in words. Pure: `now` is passed in."""

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A time as ISO 8601, exactly in UTC, and relative to now, such as `3 min ago`."""

    iso: str
    exact: str
    relative: str
    is_past: bool


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
    relative = f"{duration(passed_s)} ago" if passed_s >= 0 else f"in {duration(-passed_s)}"
    if abs(passed_s) < 1:
        relative = "now"
    exact = moment.astimezone(UTC)
    return Timestamp(
        iso=f"{exact:%Y-%m-%dT%H:%M:%SZ}",
        exact=f"{exact:%Y-%m-%d %H:%M:%S} UTC",
        relative=relative,
        is_past=passed_s >= 0,
    )
