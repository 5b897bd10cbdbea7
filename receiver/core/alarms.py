"""The alarms about storage, callbacks and tasks. `web.admin.health_banner` adds polling and sign-in. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from receiver.core.plurals import agree, quantity
from receiver.core.results import RefusalReason

COUNT_CAP = 1000  # at which counting stops
RECENT = timedelta(minutes=10)
FAILED = "failed"  # a callback answered 5xx; the other names are the reasons for a refusal
SCANNERS = 10  # up to so many wrong tokens within `RECENT` raise no alarm: scanners try addresses

DISK_FLOOR = 200_000_000
DISK_SHARE = 0.05

OVERDUE_AFTER = timedelta(minutes=1)
AWAITED_AFTER = timedelta(minutes=5)  # the first callback about a task comes within a minute or two
AWAITED_LONG = timedelta(minutes=30)

SETTLED_SAMPLE_SIZE = 50
SETTLED_WITHIN = timedelta(days=7)
MIN_SETTLED = 5
LOST_SHARE = 0.2


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


def find_alarms(overview: Overview | None, storage: Storage, *, now: datetime) -> tuple[Alarm, ...]:
    """What is wrong, worst first; without an overview only what is known of the storage."""
    found = [*_about_storage(storage)]
    if overview is not None:
        found += [*_about_callbacks(overview, now), *_about_tasks(overview)]
    return worst_first(found)


def worst_first(alarms: list[Alarm]) -> tuple[Alarm, ...]:
    return tuple(sorted(alarms, key=lambda alarm: alarm.level is not Level.RED))


def _capped(number: int, noun: str, plural: str | None = None) -> str:
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
        text = f"{_capped(failed, 'callback')} failed {lately} (answered 5xx): see the log"
        yield Alarm(name=AlarmName.CALLBACKS_FAILED, level=Level.RED, text=text)
    if recent:
        reasons = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in sorted(recent.items()))
        text = f"{_capped(sum(recent.values()), 'callback')} refused {lately}: {reasons}"
        yield Alarm(name=AlarmName.CALLBACKS_REFUSED, level=Level.AMBER, text=text)
    if wrong > SCANNERS:
        text = f"{_capped(wrong, 'request')} with a wrong callback token {lately}: is an old callback URL in use?"
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
    text = f"{silence}; {_capped(overview.awaited, 'task')} in progress: is the callback URL reachable?"
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
            yield Alarm(name=name, level=level, text=f"{_capped(count, 'task')} {state}")
    if overview.quarantined:
        text = f"{_capped(overview.quarantined, 'delivery', 'deliveries')} in quarantine"
        yield Alarm(name=AlarmName.QUARANTINE, level=Level.AMBER, text=text)
