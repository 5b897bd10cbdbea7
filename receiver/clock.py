"""The clock of this machine."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    return datetime.now(UTC)
