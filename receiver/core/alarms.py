"""What is wrong, and how grave it is: one list for the page, `/readyz`, `/metrics` and `receiver check`. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from receiver.core.login_throttle import ALL_LOCKED_AFTER, Lockout
from receiver.core.plurals import agree, quantity
from receiver.core.poller_status import PollerState, PollerStatus
from receiver.core.results import RefusalReason
from receiver.core.system_state import COUNT_CAP, FAILED, RECENT, Disk, Overview, Storage, SystemState
from receiver.core.times import duration, humanize

SCANNERS = 10  # up to so many wrong tokens within `RECENT` raise no alarm: scanners try addresses
DISK_SHARE = 0.05
AWAITED_LONG = timedelta(minutes=30)
MIN_SETTLED = 5
LOST_SHARE = 0.2
LOCKOUT_SHOWN_FOR = timedelta(days=1)


class Level(StrEnum):
    """Red: paid music is lost or may be. Amber: it can wait until the morning."""

    RED = "red"
    AMBER = "amber"


class AlarmName(StrEnum):
    """Stable, as programs rely on them."""

    DATABASE_UNAVAILABLE = "database_unavailable"
    DISK_LOW = "disk_low"
    CALLBACKS_FAILED = "callbacks_failed"
    CALLBACKS_REFUSED = "callbacks_refused"
    WRONG_TOKENS = "wrong_tokens"
    NO_CALLBACKS = "no_callbacks"
    CALLBACKS_LOST = "callbacks_lost"
    TASKS_UNRESOLVED = "tasks_unresolved"
    TASKS_OVERDUE = "tasks_overdue"
    TASKS_IN_CONFLICT = "tasks_in_conflict"
    QUARANTINE = "quarantine"
    NO_API_KEY = "no_api_key"
    NOT_POLLING = "not_polling"
    KEY_REFUSED = "key_refused"
    UPSTREAM_TROUBLE = "upstream_trouble"
    SIGN_IN_LOCKED = "sign_in_locked"


@dataclass(frozen=True, kw_only=True, slots=True)
class Alarm:
    name: AlarmName
    level: Level
    text: str


def find_alarms(state: SystemState) -> tuple[Alarm, ...]:
    """All that is wrong, worst first; of what could not be read nothing is said."""
    found = [*_about_storage(state.storage)]
    if state.overview is not None:
        found += [*_about_callbacks(state.overview, state.now), *_about_tasks(state.overview)]
    if state.poller is not None:
        found += _about_polling(state.poller, has_key=state.has_key, now=state.now)
    found += _about_sign_in(state.lockout, state.now)
    return tuple(sorted(found, key=lambda alarm: alarm.level is not Level.RED))


def _or_more(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun; counting stopped at `COUNT_CAP`."""
    if number >= COUNT_CAP:
        return f"{COUNT_CAP - 1}+ {agree(number, noun, plural)}"
    return quantity(number, noun, plural)


def _about_storage(storage: Storage) -> Iterator[Alarm]:
    if storage.problem:
        text = f"Callbacks cannot be stored and get 503: {storage.problem}"
        yield Alarm(name=AlarmName.DATABASE_UNAVAILABLE, level=Level.RED, text=text)
    for disk in storage.disks:
        level = disk_level(disk)
        if level:
            share = disk.free / disk.size if disk.size else 0
            text = f"The disk of the {disk.what} is nearly full: {disk.free / 1e6:,.0f} MB ({share:.1%}) free"
            yield Alarm(name=AlarmName.DISK_LOW, level=level, text=text)


def disk_level(disk: Disk) -> Level | None:
    if disk.free < disk.floor:
        return Level.RED
    return Level.AMBER if disk.free < DISK_SHARE * disk.size else None


def _about_callbacks(overview: Overview, now: datetime) -> Iterator[Alarm]:
    recent = {name: count for name, count in overview.recent.items() if count > 0}
    failed, wrong = recent.pop(FAILED, 0), recent.pop(RefusalReason.WRONG_TOKEN, 0)
    lately = f"in the last {RECENT.total_seconds() / 60:.0f} minutes"
    if failed:
        text = f"{_or_more(failed, 'callback')} failed {lately} (answered 5xx): see the log"
        yield Alarm(name=AlarmName.CALLBACKS_FAILED, level=Level.RED, text=text)
    if recent:
        reasons = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in sorted(recent.items()))
        text = f"{_or_more(sum(recent.values()), 'callback')} refused {lately}: {reasons}"
        yield Alarm(name=AlarmName.CALLBACKS_REFUSED, level=Level.AMBER, text=text)
    if wrong > SCANNERS:
        text = f"{_or_more(wrong, 'request')} with a wrong callback token {lately}: is an old callback URL in use?"
        yield Alarm(name=AlarmName.WRONG_TOKENS, level=Level.AMBER, text=text)
    yield from _about_silence(overview, now)
    if lost_share(overview) > LOST_SHARE:
        text = f"Callbacks were lost for {overview.lost} of the last {overview.settled} settled tasks"
        yield Alarm(name=AlarmName.CALLBACKS_LOST, level=Level.AMBER, text=text)


def lost_share(overview: Overview) -> float:
    """The share of the last settled tasks that settled by polls alone; 0 where they are too few to say."""
    return overview.lost / overview.settled if overview.settled >= MIN_SETTLED else 0.0


def _about_silence(overview: Overview, now: datetime) -> Iterator[Alarm]:
    if not overview.awaited or overview.awaited_since is None:
        return
    last = overview.last_callback_at
    silence = f"No callback since {last.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if last else "No recent callback"
    text = f"{silence}; {_or_more(overview.awaited, 'task')} in progress: is the callback URL reachable?"
    level = Level.RED if now - overview.awaited_since >= AWAITED_LONG else Level.AMBER
    yield Alarm(name=AlarmName.NO_CALLBACKS, level=level, text=text)


def _about_tasks(overview: Overview) -> Iterator[Alarm]:
    tasks = (
        (AlarmName.TASKS_UNRESOLVED, Level.RED, overview.unresolved, "unresolved"),
        (AlarmName.TASKS_OVERDUE, Level.AMBER, overview.overdue, "overdue"),
        (AlarmName.TASKS_IN_CONFLICT, Level.AMBER, overview.conflicts, "in conflict"),
    )
    for name, level, count, state in tasks:
        if count:
            yield Alarm(name=name, level=level, text=f"{_or_more(count, 'task')} {state}")
    if overview.quarantined:
        text = f"{_or_more(overview.quarantined, 'delivery', 'deliveries')} in quarantine"
        yield Alarm(name=AlarmName.QUARANTINE, level=Level.AMBER, text=text)


def _about_polling(poller: PollerStatus, *, has_key: bool, now: datetime) -> Iterator[Alarm]:
    if not has_key:
        text = "No API key: callbacks only, nothing is polled or confirmed"
        yield Alarm(name=AlarmName.NO_API_KEY, level=Level.AMBER, text=text)
        return
    if poller.state is PollerState.OFF:
        text = "Polling is off (RECEIVER_POLLER) and no other process polls"
        yield Alarm(name=AlarmName.NOT_POLLING, level=Level.AMBER, text=text)
    elif poller.holder is None:
        text = "Polling has stopped: no process holds the lease"
        yield Alarm(name=AlarmName.NOT_POLLING, level=Level.RED, text=text)
    elif poller.is_silent:
        text = f"No poller heartbeat for {duration(poller.heartbeat_age_s or 0)}"
        yield Alarm(name=AlarmName.NOT_POLLING, level=Level.RED, text=text)
    yield from _about_upstream(poller, now)


def _about_upstream(poller: PollerStatus, now: datetime) -> Iterator[Alarm]:
    if poller.state is PollerState.REFUSED:
        text = f"The upstream rejected the API key, so nothing is polled or confirmed{_pause(poller, now)}."
        advice = "Fix RECEIVER_UPSTREAM_API_KEY and restart"
        yield Alarm(name=AlarmName.KEY_REFUSED, level=Level.RED, text=f"{text} {advice}")
    elif poller.trouble:
        why = f": {poller.trouble.meaning}" + (f" ({poller.detail})" if poller.detail else "")
        words = poller.trouble.replace("_", " ")
        text = f"Upstream degraded: {words}{_pause(poller, now)}{why}"
        yield Alarm(name=AlarmName.UPSTREAM_TROUBLE, level=Level.AMBER, text=text)


def _pause(poller: PollerStatus, now: datetime) -> str:
    """Until when and since when polling is paused."""
    words = ""
    if poller.paused_until:
        until = humanize(poller.paused_until, now)
        words = f"; paused until {until.exact} ({until.relative})"
    if poller.paused_since:
        since = humanize(poller.paused_since, now)
        words += f"; since {since.exact} ({since.relative})"
    return words


def _about_sign_in(lockout: Lockout, now: datetime) -> Iterator[Alarm]:
    if lockout.began_at is None or now - (lockout.ended_at or now) > LOCKOUT_SHOWN_FOR:
        return
    began, networks = humanize(lockout.began_at, now), quantity(lockout.networks, "network")
    text = f"Sign-in from new networks was locked at {began.exact}: {ALL_LOCKED_AFTER} wrong passwords from {networks}"
    yield Alarm(name=AlarmName.SIGN_IN_LOCKED, level=Level.AMBER, text=text)
