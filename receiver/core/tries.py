"""How often somebody may try a password: slower with each failure, and in the end not for a while.

Failures are counted for each network, which slows whoever guesses from one place, and for all together. After
`ALL_LOCKED_AFTER` of anybody, strangers have to wait before their first try already, and twice as long before each
next one; the right password still lets them in. A network that has signed in before does not feel what others do.

What a guesser gets at most: `MAX_DAILY_SHARED` tries a day in all, and `MAX_DAILY_LOCKED` a day from each network.
From 100,000 networks a random password of 8 characters (64 to the 8th) lasts for 70,000 years; one of the million most
common ones lasts for 9 days against 1,000 networks. tests/core/test_tries.py tries it out.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

FREE = 3
LOCKED_AFTER = 10
ALL_LOCKED_AFTER = 100
LOCKED = timedelta(minutes=15)
STRANGERS_WAIT = timedelta(seconds=20)
FORGOTTEN_AFTER = timedelta(hours=1)
TRUSTED_FOR = timedelta(days=30)
# Requests are counted in another order than they read the clock, and the clocks are of several machines.
SKEW = timedelta(minutes=1)
MAX_DAILY_SHARED = 2_400
MAX_DAILY_LOCKED = 110


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
    if mine.trusted(now) or not locked(everybody, now=now):
        return alone
    if _forgotten(mine, now):
        return STRANGERS_WAIT.total_seconds()
    return max(alone, _left_s(mine, _strangers_pause(mine.failures), now))


def locked(everybody: Tries, *, now: datetime) -> bool:
    """Whether so many have failed that strangers are slowed down; until nobody has failed for `LOCKED`."""
    return everybody.failures >= ALL_LOCKED_AFTER and _left_s(everybody, LOCKED, now) > 0


def asked(mine: Tries, everybody: Tries, *, now: datetime) -> Tries:
    """A network that is told to wait: a stranger's wait begins with the first time it asks, and only then."""
    begins = locked(everybody, now=now) and not mine.trusted(now) and _forgotten(mine, now)
    return replace(mine, failures=0, failed_at=now) if begins else mine


def failed(tries: Tries, *, now: datetime) -> Tries:
    """One more failure; those of long ago are forgotten."""
    return replace(tries, failures=1 if _forgotten(tries, now) else tries.failures + 1, failed_at=now)


def failed_somewhere(everybody: Tries, *, now: datetime) -> Tries:
    """One more failure of anybody; a lock that is over has paid for all that led to it."""
    over = everybody.failures >= ALL_LOCKED_AFTER and not _left_s(everybody, LOCKED, now)
    return failed(replace(everybody, failures=0) if over else everybody, now=now)


def forgiven(everybody: Tries) -> Tries:
    """The last failure was none: it ended with the right password."""
    return replace(everybody, failures=max(everybody.failures - 1, 0))


def succeeded(tries: Tries, *, now: datetime) -> Tries:
    return replace(tries, failures=0, failed_at=None, succeeded_at=now)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lockout:
    """When strangers were last slowed down, after failures from so many networks; and when that was over."""

    networks: int = 0
    began_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def lasts(self) -> bool:
        return self.began_at is not None and self.ended_at is None

    def updated(self, everybody: Tries, *, now: datetime) -> "Lockout":
        """As it stands by now: over some time after the last failure, though nobody tried since."""
        if not self.lasts or locked(everybody, now=now):
            return self
        last = everybody.failed_at if everybody.failures >= ALL_LOCKED_AFTER else None
        return replace(self, ended_at=min(now, last + LOCKED) if last else now)

    def begins(self, everybody: Tries) -> bool:
        """Whether a wrong password has begun one that nobody was told of."""
        return not self.lasts and everybody.failures >= ALL_LOCKED_AFTER


def _forgotten(tries: Tries, now: datetime) -> bool:
    return tries.failed_at is None or not -SKEW < now - tries.failed_at < FORGOTTEN_AFTER


def _strangers_pause(failures: int) -> timedelta:
    return min(timedelta(seconds=STRANGERS_WAIT.total_seconds() * 2.0 ** min(failures, 10)), LOCKED)


def _pause(failures: int) -> timedelta:
    if failures >= LOCKED_AFTER:
        return LOCKED
    return timedelta(seconds=2.0 ** (failures - FREE)) if failures > FREE else timedelta(0)


def _left_s(tries: Tries, pause: timedelta, now: datetime) -> float:
    if tries.failed_at is None or tries.failed_at - now >= SKEW:  # a clock that has since been set back
        return 0.0
    return max((tries.failed_at + pause - now).total_seconds(), 0.0)
