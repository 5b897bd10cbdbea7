"""How often somebody may try a password: slower with each failure, and in the end not for a while.

Failures are counted for each network, which slows whoever guesses from one place, and for all together. After
`ALL_LOCKED_AFTER` of anybody, strangers have to wait before their first try already, and twice as long before each
next one; the right password still lets them in. A network that has signed in before does not feel what others do.

What a guesser gets at most: `MAX_DAILY_SHARED` tries a day in all, and `MAX_DAILY_LOCKED` a day from each network.
From 100,000 networks a random password of 8 characters (64 to the 8th) lasts for 70,000 years; one of the million most
common ones lasts for 9 days against 1,000 networks. tests/core/test_login_throttle.py tries it out.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

FREE_FAILURES = 3
LOCKED_AFTER = 10
ALL_LOCKED_AFTER = 100
LOCKED = timedelta(minutes=15)
STRANGERS_WAIT = timedelta(seconds=20)
RESET_AFTER = timedelta(hours=1)
TRUSTED_FOR = timedelta(days=30)
# Requests are counted in another order than they read the clock, and the clocks are of several machines.
MAX_CLOCK_SKEW = timedelta(minutes=1)
MAX_DAILY_SHARED = 2_400
MAX_DAILY_LOCKED = 110


@dataclass(frozen=True, kw_only=True, slots=True)
class LoginAttempts:
    """`failures` in a row of one network, or of all; each counted when it began."""

    failures: int = 0
    failed_at: datetime | None = None
    succeeded_at: datetime | None = None

    def trusted(self, now: datetime) -> bool:
        return self.succeeded_at is not None and now - self.succeeded_at < TRUSTED_FOR


def wait_s(mine: LoginAttempts, everybody: LoginAttempts, *, now: datetime) -> float:
    """How long this network has to wait before it may try; 0 when it may."""
    alone = _left_s(mine, _pause(mine.failures), now)
    if mine.trusted(now) or not locked(everybody, now=now):
        return alone
    if _is_reset(mine, now):
        return STRANGERS_WAIT.total_seconds()
    return max(alone, _left_s(mine, _strangers_pause(mine.failures), now))


def locked(everybody: LoginAttempts, *, now: datetime) -> bool:
    """Whether so many have failed that strangers are slowed down; until nobody has failed for `LOCKED`."""
    return everybody.failures >= ALL_LOCKED_AFTER and _left_s(everybody, LOCKED, now) > 0


def begin_attempt(mine: LoginAttempts, everybody: LoginAttempts, *, now: datetime) -> LoginAttempts:
    """A network that is told to wait: a stranger's wait begins with the first time it asks, and only then."""
    begins = locked(everybody, now=now) and not mine.trusted(now) and _is_reset(mine, now)
    return replace(mine, failures=0, failed_at=now) if begins else mine


def record_failure(tries: LoginAttempts, *, now: datetime) -> LoginAttempts:
    """One more failure; those of long ago are forgotten."""
    return replace(tries, failures=1 if _is_reset(tries, now) else tries.failures + 1, failed_at=now)


def record_global_failure(everybody: LoginAttempts, *, now: datetime) -> LoginAttempts:
    """One more failure of anybody; a lock that is over has paid for all that led to it."""
    over = everybody.failures >= ALL_LOCKED_AFTER and not _left_s(everybody, LOCKED, now)
    return record_failure(replace(everybody, failures=0) if over else everybody, now=now)


def undo_failure(everybody: LoginAttempts) -> LoginAttempts:
    """The last failure was none: it ended with the right password."""
    return replace(everybody, failures=max(everybody.failures - 1, 0))


def record_success(tries: LoginAttempts, *, now: datetime) -> LoginAttempts:
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

    def updated(self, everybody: LoginAttempts, *, now: datetime) -> "Lockout":
        """As it stands by now: over some time after the last failure, though nobody tried since."""
        if not self.lasts or locked(everybody, now=now):
            return self
        last = everybody.failed_at if everybody.failures >= ALL_LOCKED_AFTER else None
        return replace(self, ended_at=min(now, last + LOCKED) if last else now)

    def begins(self, everybody: LoginAttempts) -> bool:
        """Whether a wrong password has begun one that nobody was told of."""
        return not self.lasts and everybody.failures >= ALL_LOCKED_AFTER


def _is_reset(tries: LoginAttempts, now: datetime) -> bool:
    return tries.failed_at is None or not -MAX_CLOCK_SKEW < now - tries.failed_at < RESET_AFTER


def _strangers_pause(failures: int) -> timedelta:
    return min(timedelta(seconds=STRANGERS_WAIT.total_seconds() * 2.0 ** min(failures, 10)), LOCKED)


def _pause(failures: int) -> timedelta:
    if failures >= LOCKED_AFTER:
        return LOCKED
    return timedelta(seconds=2.0 ** (failures - FREE_FAILURES)) if failures > FREE_FAILURES else timedelta(0)


def _left_s(attempts: LoginAttempts, pause: timedelta, now: datetime) -> float:
    """At most `pause`, however the clocks of those who count and of those who ask differ."""
    failed_at = attempts.failed_at
    if failed_at is None or failed_at - now >= MAX_CLOCK_SKEW:  # a clock that has since been set back
        return 0.0
    left = min(failed_at + pause - now, pause)
    return max(left.total_seconds(), 0.0)
