"""What the alarms are derived from: storage, callbacks and tasks, the poller, the sign-in. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from receiver.core.login_throttle import Lockout
from receiver.core.poller_status import PollerStatus

COUNT_CAP = 1000  # at which counting stops
RECENT = timedelta(minutes=10)
FAILED = "failed"  # a callback answered 5xx; the other names are the reasons for a refusal
OVERDUE_AFTER = timedelta(minutes=1)
AWAITED_AFTER = timedelta(minutes=5)  # the first callback about a task comes within a minute or two
SETTLED_SAMPLE_SIZE = 50
SETTLED_WITHIN = timedelta(days=7)
DISK_FLOOR = 200_000_000
NO_LOCKOUT = Lockout()


@dataclass(frozen=True, kw_only=True, slots=True)
class Disk:
    """The file system that holds `what`, in bytes; it is low below `floor` free ones."""

    what: str
    free: int
    size: int
    floor: int = DISK_FLOOR


@dataclass(frozen=True, kw_only=True, slots=True)
class Storage:
    """Whether callbacks can be stored; `problem` says why not."""

    problem: str | None = None
    disks: tuple[Disk, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """How much is wrong; counting stops at a cap, so that number means that or more.

    `recent` are callbacks that failed, or were refused by reason, within `RECENT`. `awaited` are registered tasks in
    progress since before `AWAITED_AFTER` and after the last callback about any task; `awaited_since` is the oldest's.
    `lost` of the last `settled` tasks settled without a final callback.
    """

    unresolved: int
    overdue: int
    conflicts: int
    quarantined: int
    last_callback_at: datetime | None
    recent: Mapping[str, int] = field(default_factory=dict)
    awaited: int = 0
    awaited_since: datetime | None = None
    settled: int = 0
    lost: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemState:
    """The receiver's state at `now`. `overview` and `poller` are None when the database cannot be read.

    `has_key`: there is an API key to poll with.
    """

    storage: Storage
    overview: Overview | None = None
    poller: PollerStatus | None = None
    lockout: Lockout = NO_LOCKOUT
    has_key: bool = True
    now: datetime


def overdue_before(now: datetime, *, has_key: bool) -> datetime | None:
    """A poll planned before this is overdue; None without an API key, as nothing is polled then."""
    return now - OVERDUE_AFTER if has_key else None
