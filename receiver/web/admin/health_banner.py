"""The first line of every page: the system's status. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from receiver.core.alarms import Alarm, AlarmName, Level, find_alarms
from receiver.core.poller_status import PollerState, PollerStatus
from receiver.core.settlement import Outcome
from receiver.core.system_state import SystemState
from receiver.core.times import Timestamp, duration, timestamp
from receiver.store.audit_log import ActionKind
from receiver.store.task_list import Flag

RED, AMBER = Level.RED, Level.AMBER
VERDICTS = {
    "green": ("✓", "All systems normal"),
    AMBER: ("▲", "Needs attention"),
    RED: ("✕", "Action required"),
}

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


def build_banner(state: SystemState) -> Health:
    """The system's state as the first line of a page."""
    overview, poller = state.overview, state.poller if state.has_key else None
    return Health(
        alarms=tuple(_line(alarm) for alarm in find_alarms(state)),
        last_callback=timestamp(overview.last_callback_at, state.now) if overview else None,
        polling=_polling_words(poller) if poller else None,
        poller=_poller_words(poller) if poller else None,
        upstream=_upstream_words(poller) if poller else None,
        known=overview is not None,
    )


def _line(alarm: Alarm) -> AlarmLine:
    endpoint, filters = LISTS.get(alarm.name, (None, None))
    return AlarmLine(level=alarm.level, text=alarm.text, endpoint=endpoint, filters=filters)


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
