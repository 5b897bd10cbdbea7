"""How often a password may be tried: slower with each failure, and in the end not for a while.

Failures are counted for each network, and for all networks together. After `ALL_LOCKED_AFTER` failures of all,
networks that never signed in wait before their first attempt, and twice as long before each further one; the right
password still lets them in. A network that has signed in before is not affected by others.

An attacker gets at most `MAX_DAILY_SHARED` attempts a day in all, and `MAX_DAILY_LOCKED` a day from each network.
From 100,000 networks a random password of 8 characters (64 to the 8th) lasts for 70,000 years; one of the million most
common ones lasts for 9 days against 1,000 networks. tests/core/test_login_throttle.py proves these numbers.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

FREE_FAILURES = 3
LOCKED_AFTER = 10
ALL_LOCKED_AFTER = 100
LOCKED = timedelta(minutes=15)
NEW_NETWORK_WAIT = timedelta(seconds=20)
RESET_AFTER = timedelta(hours=1)
TRUSTED_FOR = timedelta(days=30)
# Requests are counted in another order than they read the clock, and the clocks are of several machines.
MAX_CLOCK_SKEW = timedelta(minutes=1)
MAX_DAILY_SHARED = 2_400
MAX_DAILY_LOCKED = 110


@dataclass(frozen=True, kw_only=True, slots=True)
class LoginAttempts:
    """`failures` in a row of one network, or of all; each counted at the start of its attempt."""

    failures: int = 0
    failed_at: datetime | None = None
    succeeded_at: datetime | None = None

    def trusted(self, now: datetime) -> bool:
        return self.succeeded_at is not None and now - self.succeeded_at < TRUSTED_FOR


def wait_s(mine: LoginAttempts, everybody: LoginAttempts, *, now: datetime) -> float:
    """How long this network has to wait before its next attempt; 0: not at all."""
    alone = _left_s(mine, _pause(mine.failures), now)
    if mine.trusted(now) or not locked(everybody, now=now):
        return alone
    if _is_reset(mine, now):
        return NEW_NETWORK_WAIT.total_seconds()
    return max(alone, _left_s(mine, _new_network_pause(mine.failures), now))


def locked(everybody: LoginAttempts, *, now: datetime) -> bool:
    """Whether new networks are slowed down, after too many failures of all; until nobody has failed for `LOCKED`."""
    return everybody.failures >= ALL_LOCKED_AFTER and _left_s(everybody, LOCKED, now) > 0


def begin_attempt(mine: LoginAttempts, everybody: LoginAttempts, *, now: datetime) -> LoginAttempts:
    """The attempts to store for a network that must wait.

    If it never signed in, its waiting time starts with its first request.
    """
    begins = locked(everybody, now=now) and not mine.trusted(now) and _is_reset(mine, now)
    return replace(mine, failures=0, failed_at=now) if begins else mine


def record_failure(attempts: LoginAttempts, *, now: datetime) -> LoginAttempts:
    """One more failure; old ones no longer count."""
    return replace(attempts, failures=1 if _is_reset(attempts, now) else attempts.failures + 1, failed_at=now)


def record_global_failure(everybody: LoginAttempts, *, now: datetime) -> LoginAttempts:
    """One more failure of all networks; after a lockout they are counted from zero."""
    over = everybody.failures >= ALL_LOCKED_AFTER and not _left_s(everybody, LOCKED, now)
    return record_failure(replace(everybody, failures=0) if over else everybody, now=now)


def undo_failure(everybody: LoginAttempts) -> LoginAttempts:
    """Without the last counted failure: that attempt signed in."""
    return replace(everybody, failures=max(everybody.failures - 1, 0))


def record_success(attempts: LoginAttempts, *, now: datetime) -> LoginAttempts:
    return replace(attempts, failures=0, failed_at=None, succeeded_at=now)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lockout:
    """When new networks were last slowed down, after failures from how many `networks`, and when that ended."""

    networks: int = 0
    began_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def lasts(self) -> bool:
        return self.began_at is not None and self.ended_at is None

    def updated(self, everybody: LoginAttempts, *, now: datetime) -> "Lockout":
        """The lockout by now: it ends some time after the last failure, even without further attempts."""
        if not self.lasts or locked(everybody, now=now):
            return self
        last = everybody.failed_at if everybody.failures >= ALL_LOCKED_AFTER else None
        return replace(self, ended_at=min(now, last + LOCKED) if last else now)

    def begins(self, everybody: LoginAttempts) -> bool:
        """Whether a new lockout begins."""
        return not self.lasts and everybody.failures >= ALL_LOCKED_AFTER


def _is_reset(attempts: LoginAttempts, now: datetime) -> bool:
    return attempts.failed_at is None or not -MAX_CLOCK_SKEW < now - attempts.failed_at < RESET_AFTER


def _new_network_pause(failures: int) -> timedelta:
    return min(timedelta(seconds=NEW_NETWORK_WAIT.total_seconds() * 2.0 ** min(failures, 10)), LOCKED)


def _pause(failures: int) -> timedelta:
    if failures >= LOCKED_AFTER:
        return LOCKED
    return timedelta(seconds=2.0 ** (failures - FREE_FAILURES)) if failures > FREE_FAILURES else timedelta(0)


def _left_s(attempts: LoginAttempts, pause: timedelta, now: datetime) -> float:
    """Seconds left of the pause, at most all of it, however much clocks differ."""
    failed_at = attempts.failed_at
    if failed_at is None or failed_at - now >= MAX_CLOCK_SKEW:  # a clock that has since been set back
        return 0.0
    left = min(failed_at + pause - now, pause)
    return max(left.total_seconds(), 0.0)
