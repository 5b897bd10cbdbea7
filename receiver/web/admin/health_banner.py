"""The first line of every page: the system's status. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from receiver.core.alarms import Alarm, AlarmName, Level, Overview, Storage, find_alarms, worst_first
from receiver.core.login_throttle import ALL_LOCKED_AFTER, Lockout
from receiver.core.plurals import quantity
from receiver.core.settlement import Outcome
from receiver.store.audit_log import ActionKind
from receiver.store.poller_status import PollerState, PollerStatus
from receiver.store.task_list import Flag
from receiver.web.admin.times import Timestamp, duration, humanize, timestamp

RED, AMBER = Level.RED, Level.AMBER
VERDICTS = {
    "green": ("✓", "All systems normal"),
    AMBER: ("▲", "Needs attention"),
    RED: ("✕", "Action required"),
}
LOCKOUT_SHOWN_FOR = timedelta(days=1)
NO_LOCKOUT = Lockout()

TASKS = "admin.list_tasks"
# The page that lists what an alarm counts, and its filters.
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
    """An alarm as the page shows it, with the endpoint and filters of the list behind it, if there is one."""

    level: str
    text: str
    endpoint: str | None = None
    filters: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """The banner; `known` is False where a fault kept it from being read."""

    alarms: tuple[AlarmLine, ...]
    last_callback: Timestamp | None = None
    polling: str | None = None
    poller: str | None = None
    upstream: str | None = None
    known: bool = True

    @classmethod
    def unknown(cls, why: str) -> "Health":
        return cls(alarms=(AlarmLine(level=RED, text=why),), known=False)

    @property
    def level(self) -> str:
        levels = {alarm.level for alarm in self.alarms}
        return RED if RED in levels else AMBER if levels else "green"

    @property
    def verdict(self) -> tuple[str, str]:
        """An icon and a phrase."""
        return VERDICTS[self.level]


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemState:
    """The receiver's health. `overview` is None when the database cannot be read."""

    storage: Storage
    overview: Overview | None = None
    poller: PollerStatus | None = None
    lockout: Lockout = NO_LOCKOUT
    has_key: bool = True
    now: datetime

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """All that is wrong, worst first."""
        found = [*find_alarms(self.overview, self.storage, now=self.now)]
        if self.poller is not None:
            found += _about_polling(self.poller, has_key=self.has_key, now=self.now)
        return worst_first([*found, *_about_sign_in(self.lockout, self.now)])


def build_banner(state: SystemState) -> Health:
    """The system's state as the first line of a page."""
    overview, poller = state.overview, state.poller if state.has_key else None
    return Health(
        alarms=tuple(_line(alarm) for alarm in state.alarms),
        last_callback=timestamp(overview.last_callback_at, state.now) if overview else None,
        polling=_polling_words(poller) if poller else None,
        poller=_poller_words(poller) if poller else None,
        upstream=_upstream_words(poller) if poller else None,
        known=overview is not None,
    )


def _line(alarm: Alarm) -> AlarmLine:
    endpoint, filters = LISTS.get(alarm.name, (None, None))
    return AlarmLine(level=alarm.level, text=alarm.text, endpoint=endpoint, filters=filters)


def _about_polling(poller: PollerStatus, *, has_key: bool, now: datetime) -> Iterator[Alarm]:
    if not has_key:
        text = "No API key: callbacks only, nothing is polled or confirmed"
        yield Alarm(name=AlarmName.NO_API_KEY, level=AMBER, text=text)
        return
    if poller.state is PollerState.OFF:
        text = "Polling is off (RECEIVER_POLLER) and no other process polls"
        yield Alarm(name=AlarmName.NOT_POLLING, level=AMBER, text=text)
    elif poller.holder is None:
        text = "Polling has stopped: no process holds the lease"
        yield Alarm(name=AlarmName.NOT_POLLING, level=RED, text=text)
    elif poller.is_silent:
        text = f"No poller heartbeat for {duration(poller.heartbeat_age_s or 0)}"
        yield Alarm(name=AlarmName.NOT_POLLING, level=RED, text=text)
    yield from _about_upstream(poller, now)


def _about_upstream(poller: PollerStatus, now: datetime) -> Iterator[Alarm]:
    if poller.state is PollerState.REFUSED:
        text = f"The upstream rejected the API key, so nothing is polled or confirmed{_pause(poller, now)}."
        advice = "Fix RECEIVER_UPSTREAM_API_KEY and restart"
        yield Alarm(name=AlarmName.KEY_REFUSED, level=RED, text=f"{text} {advice}")
    elif poller.trouble:
        why = f": {poller.trouble.meaning}" + (f" ({poller.detail})" if poller.detail else "")
        words = poller.trouble.replace("_", " ")
        text = f"Upstream degraded: {words}{_pause(poller, now)}{why}"
        yield Alarm(name=AlarmName.UPSTREAM_TROUBLE, level=AMBER, text=text)


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
    yield Alarm(name=AlarmName.SIGN_IN_LOCKED, level=AMBER, text=text)


def _polling_words(poller: PollerStatus) -> str:
    if poller.state is PollerState.OFF:
        return "off"
    if poller.holder is None or poller.is_silent:
        return "stopped"
    return "on" if poller.state is PollerState.POLLING else "paused"


def _poller_words(poller: PollerStatus) -> str | None:
    if poller.holder is None or poller.heartbeat_age_s is None:
        return None
    return f"{poller.holder}, heartbeat {duration(poller.heartbeat_age_s)} ago"


def _upstream_words(poller: PollerStatus) -> str:
    if poller.state is PollerState.REFUSED:
        return "API key rejected"
    if poller.trouble:
        return "degraded"
    return "OK" if poller.answered_at else "no response yet"
