"""The first line of every page: is anything wrong? Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from receiver.core.payloads import Trouble
from receiver.core.settlement import Outcome
from receiver.store.listing import Flag
from receiver.store.overview import COUNTED, Overview
from receiver.web.admin.moments import When, moment_words, span, when
from receiver.web.stats import SILENT_AFTER_S

RED, AMBER = "red", "amber"


@dataclass(frozen=True, kw_only=True, slots=True)
class Alarm:
    """One thing that is wrong; `find` are the filters of the list that shows it, `page` where that is."""

    level: str
    text: str
    page: str | None = None
    find: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    alarms: tuple[Alarm, ...]
    last_callback: When | None
    poller: str | None
    upstream: str | None = None
    gathered: bool = True

    @classmethod
    def unknown(cls, why: str) -> "Health":
        """Where a fault kept us from looking."""
        alarm = Alarm(level=RED, text=why)
        return cls(alarms=(alarm,), last_callback=None, poller=None, gathered=False)

    @property
    def level(self) -> str:
        levels = {alarm.level for alarm in self.alarms}
        return RED if RED in levels else AMBER if levels else "green"


def judge(overview: Overview, poller: Mapping[str, Any], *, has_key: bool, now: datetime) -> Health:
    """`poller` is what `poller_state` told."""
    alarms = [*_about_polling(poller, has_key=has_key, now=now), *_about_tasks(overview)]
    return Health(
        alarms=tuple(sorted(alarms, key=lambda alarm: alarm.level != RED)),
        last_callback=when(overview.last_callback_at, now),
        poller=_poller_words(poller) if has_key else None,
        upstream=_upstream_words(poller) if has_key else None,
    )


def counted(number: int, one: str, many: str) -> str:
    """A number with its noun; counting stopped at `COUNTED`."""
    shown = f"{COUNTED - 1}+" if number >= COUNTED else str(number)
    return f"{shown} {one if number == 1 else many}"


def _about_polling(poller: Mapping[str, Any], *, has_key: bool, now: datetime) -> Iterator[Alarm]:
    state, age = poller["state"], poller["heartbeatAge"]
    if not has_key:
        yield Alarm(level=AMBER, text="No API key, callbacks only: nothing is polled or confirmed")
        return
    if state == "off":
        yield Alarm(level=AMBER, text="The poller is off (RECEIVER_POLLER) and nobody else polls")
    elif poller["holder"] is None:
        yield Alarm(level=RED, text="Nobody polls: no process holds the poller's lease")
    elif age > SILENT_AFTER_S:
        yield Alarm(level=RED, text=f"The poller gave no sign of life for {span(age)}")
    if state == "refused":
        text = "The upstream refuses our API key (RECEIVER_UPSTREAM_API_KEY): nothing is polled or confirmed"
        yield Alarm(level=RED, text=f"{text}{_pause(poller, now)}")
    elif poller["trouble"]:
        trouble = Trouble(poller["trouble"])
        why = f": {trouble.meaning}" + (f" ({poller['detail']})" if poller["detail"] else "")
        words = trouble.replace("_", " ")
        yield Alarm(level=AMBER, text=f"The upstream is in trouble: {words}{_pause(poller, now)}{why}")


def _pause(poller: Mapping[str, Any], now: datetime) -> str:
    """Until when and since when polling is paused."""
    words = ""
    if poller["pausedUntil"]:
        until = moment_words(datetime.fromisoformat(poller["pausedUntil"]), now)
        words = f"; paused until {until.exact}, {until.words}"
    if poller["pausedSince"]:
        since = moment_words(datetime.fromisoformat(poller["pausedSince"]), now)
        words += f"; since {since.exact}, {since.words}"
    return words


def _about_tasks(overview: Overview) -> Iterator[Alarm]:
    if overview.unresolved:
        text = counted(overview.unresolved, "task unresolved", "tasks unresolved")
        yield Alarm(
            level=RED,
            text=text,
            page="admin.list_tasks",
            find={"flag": Flag.PROBLEM, "outcome": Outcome.UNRESOLVED},
        )
    if overview.overdue:
        text = counted(overview.overdue, "task overdue", "tasks overdue")
        yield Alarm(level=AMBER, text=text, page="admin.list_tasks", find={"flag": Flag.OVERDUE})
    if overview.conflicts:
        text = counted(overview.conflicts, "task in conflict", "tasks in conflict")
        yield Alarm(level=AMBER, text=text, page="admin.list_tasks", find={"flag": Flag.UNSEEN_CONFLICT})
    if overview.quarantined:
        text = counted(overview.quarantined, "delivery in quarantine", "deliveries in quarantine")
        yield Alarm(level=AMBER, text=text, page="admin.list_quarantine")


def _poller_words(poller: Mapping[str, Any]) -> str | None:
    if poller["holder"] is None:
        return None
    return f"{poller['holder']}, heartbeat {span(poller['heartbeatAge'])} ago"


def _upstream_words(poller: Mapping[str, Any]) -> str:
    if poller["state"] == "refused":
        return "refuses the key"
    if poller["state"] == "paused":
        return "paused"
    return "in trouble" if poller["trouble"] else "answering"
