"""How often somebody may try a password: slower with each failure, and in the end not for a while.

Failures are counted for each network, which slows whoever guesses from one place, and for all together, which
stops whoever guesses from many. A network that has signed in before is not locked out by what others do.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

FREE = 3
LOCKED_AFTER = 10
ALL_LOCKED_AFTER = 100
LOCKED = timedelta(minutes=15)
FORGOTTEN_AFTER = timedelta(hours=1)
TRUSTED_FOR = timedelta(days=30)
# Requests are counted in another order than they read the clock, and the clocks are of several machines.
SKEW = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tries:
    """`failures` in a row of one network, or of all; each counted when it began."""

    failures: int = 0
    failed_at: datetime | None = None
    succeeded_at: datetime | None = None

    def trusted(self, now: datetime) -> bool:
        return self.succeeded_at is not None and now - self.succeeded_at < TRUSTED_FOR


def wait_s(mine: Tries, everybody: Tries, *, now: datetime) -> float:
    """How long this network has to wait before it may try; 0 when it may."""
    alone = _left_s(mine, _pause(mine.failures), now)
    if mine.trusted(now) or everybody.failures < ALL_LOCKED_AFTER:
        return alone
    return max(alone, _left_s(everybody, LOCKED, now))


def failed(tries: Tries, *, now: datetime) -> Tries:
    """One more failure; those of long ago are forgotten."""
    stale = tries.failed_at is None or not -SKEW < now - tries.failed_at < FORGOTTEN_AFTER
    return replace(tries, failures=1 if stale else tries.failures + 1, failed_at=now)


def failed_somewhere(everybody: Tries, *, now: datetime) -> Tries:
    """One more failure of anybody; a lock that is over has paid for all that led to it."""
    over = everybody.failures >= ALL_LOCKED_AFTER and not _left_s(everybody, LOCKED, now)
    return failed(replace(everybody, failures=0) if over else everybody, now=now)


def forgiven(everybody: Tries) -> Tries:
    """The last failure was none: it ended with the right password."""
    return replace(everybody, failures=max(everybody.failures - 1, 0))


def succeeded(tries: Tries, *, now: datetime) -> Tries:
    return replace(tries, failures=0, failed_at=None, succeeded_at=now)


def _pause(failures: int) -> timedelta:
    if failures >= LOCKED_AFTER:
        return LOCKED
    return timedelta(seconds=2.0 ** (failures - FREE)) if failures > FREE else timedelta(0)


def _left_s(tries: Tries, pause: timedelta, now: datetime) -> float:
    if tries.failed_at is None or tries.failed_at - now >= SKEW:  # a clock that has since been set back
        return 0.0
    return max((tries.failed_at + pause - now).total_seconds(), 0.0)
