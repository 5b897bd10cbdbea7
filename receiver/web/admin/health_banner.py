"""The first line of every page: is anything wrong? Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from receiver.core.alarms import (
    Alarm,
    AlarmName,
    Level,
    Overview,
    Storage,
    counted,
    find_alarms,
    worst_first,
)
from receiver.core.login_throttle import ALL_LOCKED_AFTER, Lockout
from receiver.core.payloads import Trouble
from receiver.core.settlement import Outcome
from receiver.store.audit_log import ActionKind
from receiver.store.task_list import Flag
from receiver.web.admin.times import Timestamp, duration, humanize, timestamp
from receiver.web.stats import SILENT_AFTER_S

RED, AMBER = Level.RED, Level.AMBER
LOCKOUT_SHOWN_FOR = timedelta(days=1)
NO_LOCKOUT = Lockout()

TASKS = "admin.list_tasks"
# Where what an alarm counts is listed: the page and its filters.
LISTS: Mapping[AlarmName, tuple[str, Mapping[str, str]]] = {
    AlarmName.TASKS_UNRESOLVED: (TASKS, {"flag": Flag.PROBLEM, "outcome": Outcome.UNRESOLVED}),
    AlarmName.TASKS_OVERDUE: (TASKS, {"flag": Flag.OVERDUE}),
    AlarmName.TASKS_IN_CONFLICT: (TASKS, {"flag": Flag.UNACKNOWLEDGED_CONFLICT}),
    AlarmName.CALLBACKS_LOST: (TASKS, {"flag": Flag.LOST_CALLBACK}),
    AlarmName.QUARANTINE: ("admin.list_quarantine", {}),
    AlarmName.CALLBACKS_REFUSED: ("admin.show_activity", {}),
    AlarmName.SIGN_IN_LOCKED: ("admin.list_actions", {"kind": ActionKind.SIGN_IN_LOCKED}),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmLine:
    """An alarm as the page shows it; `find` are the filters of the list that shows it, `page` where that is."""

    level: str
    text: str
    page: str | None = None
    find: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    alarms: tuple[AlarmLine, ...]
    last_callback: Timestamp | None
    poller: str | None
    upstream: str | None = None
    gathered: bool = True

    @classmethod
    def unknown(cls, why: str) -> "Health":
        """Where a fault kept us from looking."""
        alarm = AlarmLine(level=RED, text=why)
        return cls(alarms=(alarm,), last_callback=None, poller=None, gathered=False)

    @property
    def level(self) -> str:
        levels = {alarm.level for alarm in self.alarms}
        return RED if RED in levels else AMBER if levels else "green"


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemState:
    """How the receiver is; `poller` is what `poller_state` says. Without an overview the database cannot be read."""

    storage: Storage
    overview: Overview | None = None
    poller: Mapping[str, Any] | None = None
    lockout: Lockout = NO_LOCKOUT
    has_key: bool = True
    now: datetime

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """All that is wrong, the worst first."""
        found = [*find_alarms(self.overview, self.storage, now=self.now)]
        if self.poller is not None:
            found += _about_polling(self.poller, has_key=self.has_key, now=self.now)
        return worst_first([*found, *_about_sign_in(self.lockout, self.now)])


def build_banner(condition: SystemState) -> Health:
    """The condition as the first line of a page."""
    overview, poller = condition.overview, condition.poller if condition.has_key else None
    return Health(
        alarms=tuple(_line(alarm) for alarm in condition.alarms),
        last_callback=timestamp(overview.last_callback_at, condition.now) if overview else None,
        poller=_poller_words(poller) if poller else None,
        upstream=_upstream_words(poller) if poller else None,
    )


def _line(alarm: Alarm) -> AlarmLine:
    page, find = LISTS.get(alarm.name, (None, None))
    return AlarmLine(level=alarm.level, text=alarm.text, page=page, find=find)


def _about_polling(poller: Mapping[str, Any], *, has_key: bool, now: datetime) -> Iterator[Alarm]:
    state, age = poller["state"], poller["heartbeatAge"]
    if not has_key:
        yield Alarm(
            name=AlarmName.NO_API_KEY,
            level=AMBER,
            text="No API key, callbacks only: nothing is polled or confirmed",
        )
        return
    if state == "off":
        yield Alarm(
            name=AlarmName.NOT_POLLING,
            level=AMBER,
            text="The poller is off (RECEIVER_POLLER) and nobody else polls",
        )
    elif poller["holder"] is None:
        yield Alarm(
            name=AlarmName.NOT_POLLING, level=RED, text="Nobody polls: no process holds the poller's lease"
        )
    elif age > SILENT_AFTER_S:
        yield Alarm(
            name=AlarmName.NOT_POLLING, level=RED, text=f"The poller gave no sign of life for {duration(age)}"
        )
    if state == "refused":
        text = "The upstream refuses our API key (RECEIVER_UPSTREAM_API_KEY): nothing is polled or confirmed"
        yield Alarm(name=AlarmName.KEY_REFUSED, level=RED, text=f"{text}{_pause(poller, now)}")
    elif poller["trouble"]:
        trouble = Trouble(poller["trouble"])
        why = f": {trouble.meaning}" + (f" ({poller['detail']})" if poller["detail"] else "")
        words = trouble.replace("_", " ")
        text = f"The upstream is in trouble: {words}{_pause(poller, now)}{why}"
        yield Alarm(name=AlarmName.UPSTREAM_TROUBLE, level=AMBER, text=text)


def _pause(poller: Mapping[str, Any], now: datetime) -> str:
    """Until when and since when polling is paused."""
    words = ""
    if poller["pausedUntil"]:
        until = humanize(datetime.fromisoformat(poller["pausedUntil"]), now)
        words = f"; paused until {until.exact}, {until.words}"
    if poller["pausedSince"]:
        since = humanize(datetime.fromisoformat(poller["pausedSince"]), now)
        words += f"; since {since.exact}, {since.words}"
    return words


def _about_sign_in(lockout: Lockout, now: datetime) -> Iterator[Alarm]:
    if lockout.began_at is None or now - (lockout.ended_at or now) > LOCKOUT_SHOWN_FOR:
        return
    began, networks = humanize(lockout.began_at, now), counted(lockout.networks, "network", "networks")
    text = f"Sign-in from new networks was locked at {began.exact}: {ALL_LOCKED_AFTER} wrong passwords from {networks}"
    yield Alarm(name=AlarmName.SIGN_IN_LOCKED, level=AMBER, text=text)


def _poller_words(poller: Mapping[str, Any]) -> str | None:
    if poller["holder"] is None:
        return None
    return f"{poller['holder']}, heartbeat {duration(poller['heartbeatAge'])} ago"


def _upstream_words(poller: Mapping[str, Any]) -> str:
    if poller["state"] == "refused":
        return "refuses the key"
    if poller["state"] == "paused":
        return "paused"
    return "in trouble" if poller["trouble"] else "answering"
