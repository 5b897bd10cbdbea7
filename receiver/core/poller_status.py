"""Who polls, and whether the upstream lets them, as values. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from receiver.core.payloads import Trouble

SILENT_AFTER_S = 15


class PollerState(StrEnum):
    """`PAUSED` by trouble of the upstream, `REFUSED` while it rejects the API key."""

    POLLING = "polling"
    PAUSED = "paused"
    REFUSED = "refused"
    OFF = "off"


@dataclass(frozen=True, kw_only=True, slots=True)
class PollerStatus:
    """The poller at one moment of the database's clock.

    `holder` is the process that holds the lease. `trouble`, `detail` and `paused_since` are the upstream's; they are
    None while it is well. `paused_until` is None unless polling is paused now. `answered_at` is when it last answered.
    """

    state: PollerState
    holder: str | None = None
    heartbeat_age_s: float | None = None
    paused_until: datetime | None = None
    paused_since: datetime | None = None
    trouble: Trouble | None = None
    detail: str | None = None
    answered_at: datetime | None = None

    @property
    def is_silent(self) -> bool:
        """Whether the holder has sent no heartbeat for too long."""
        return self.heartbeat_age_s is not None and self.heartbeat_age_s > SILENT_AFTER_S
