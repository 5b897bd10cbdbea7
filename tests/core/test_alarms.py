"""What is wrong: each alarm is raised for what it names, and for nothing less."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from receiver.core.alarms import AlarmName, Level, find_alarms
from receiver.core.login_throttle import Lockout
from receiver.core.payloads import Trouble
from receiver.core.poller_status import PollerState, PollerStatus
from receiver.core.system_state import Disk, Overview, Storage, SystemState
from tests.conftest import T0

GOOD = Overview(
    unresolved=0,
    overdue=0,
    conflicts=0,
    quarantined=0,
    last_callback_at=T0 - timedelta(minutes=3),
    recent={"failed": 0},
    settled=50,
    lost=10,
)
MB, GB = 10**6, 10**9


WELL = SystemState(
    storage=Storage(),
    overview=GOOD,
    poller=PollerStatus(state=PollerState.POLLING, holder="host:1:abc", heartbeat_age_s=1),
    now=T0,
)


def levels_of(state: SystemState) -> dict[str, str]:
    return {alarm.name: alarm.level for alarm in find_alarms(state)}


def raised(storage: Storage = Storage(), **changes: Any) -> dict[str, str]:  # noqa: B008
    return levels_of(replace(WELL, storage=storage, overview=replace(GOOD, **changes)))


def ago(minutes: float) -> Any:
    return T0 - timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"recent": {"failed": 1}}, {"callbacks_failed": "red"}),
        ({"recent": {"wrong_token": 10}}, {}),
        ({"recent": {"wrong_token": 11}}, {"wrong_tokens": "amber"}),
        ({"recent": {"wrong_token": 10**7}}, {"wrong_tokens": "amber"}),
        ({"recent": {"bad_signature": 1}}, {"callbacks_refused": "amber"}),
        ({"recent": {"too_large": 1}}, {"callbacks_refused": "amber"}),
        ({"recent": {"cut_off": 1}}, {"callbacks_refused": "amber"}),
        ({"recent": {"a_reason_of_tomorrow": 1}}, {"callbacks_refused": "amber"}),
        (
            {"recent": {"failed": 2, "too_large": 1, "wrong_token": 99}},
            {"callbacks_failed": "red", "callbacks_refused": "amber", "wrong_tokens": "amber"},
        ),
        ({"awaited": 1, "awaited_since": ago(5)}, {"no_callbacks": "amber"}),
        ({"awaited": 2, "awaited_since": ago(30)}, {"no_callbacks": "red"}),
        ({"awaited": 1, "awaited_since": ago(6), "last_callback_at": None}, {"no_callbacks": "amber"}),
        ({"lost": 11}, {"callbacks_lost": "amber"}),
        ({"settled": 5, "lost": 1}, {}),
        ({"settled": 5, "lost": 2}, {"callbacks_lost": "amber"}),
        ({"settled": 4, "lost": 4}, {}),
        ({"settled": 0, "lost": 0}, {}),
        ({"settled": 14, "lost": 9}, {"callbacks_lost": "amber"}),
        ({"unresolved": 1}, {"tasks_unresolved": "red"}),
        ({"overdue": 1}, {"tasks_overdue": "amber"}),
        ({"conflicts": 1}, {"tasks_in_conflict": "amber"}),
        ({"quarantined": 1}, {"quarantine": "amber"}),
    ],
)
def test_each_alarm_is_raised_for_what_it_names(changes: Mapping[str, Any], expected: dict[str, str]) -> None:
    assert raised(**changes) == expected


@pytest.mark.parametrize(
    ("free", "size", "level"),
    [
        (0, 0, "red"),
        (0, 100 * GB, "red"),
        (396_000, 2 * MB, "red"),
        (199 * MB, 1000 * GB, "red"),
        (200 * MB, 2 * GB, None),
        (200 * MB, 5 * GB, "amber"),
        (4.9 * GB, 100 * GB, "amber"),
        (5 * GB, 100 * GB, None),
        (40 * GB, 100 * GB, None),
    ],
)
def test_a_disk_with_little_room_raises_an_alarm(free: float, size: float, level: str | None) -> None:
    storage = Storage(disks=(Disk(what="database", free=int(free), size=int(size)),))
    assert raised(storage) == ({"disk_low": level} if level else {})


@pytest.mark.parametrize(("free", "expected"), [(4 * MB, {}), (3 * MB, {"disk_low": "amber"})])
def test_a_small_disk_for_temporary_files_is_no_alarm_of_its_own(free: int, expected: dict[str, str]) -> None:
    disk = Disk(what="temporary files", free=free, size=64 * MB, floor=0)
    assert raised(Storage(disks=(disk,))) == expected


def test_what_the_database_cannot_tell_the_storage_tells_alone_and_the_worst_comes_first() -> None:
    storage = Storage(problem="disk is full", disks=(Disk(what="database", free=300 * MB, size=10 * GB),))
    alone = find_alarms(SystemState(storage=storage, now=T0))
    assert [alarm.name for alarm in alone] == [AlarmName.DATABASE_UNAVAILABLE, AlarmName.DISK_LOW]
    overview = replace(GOOD, quarantined=1, unresolved=1)
    many = find_alarms(replace(WELL, storage=storage, overview=overview))
    levels = [alarm.level for alarm in many]
    assert levels == [Level.RED, Level.RED, Level.AMBER, Level.AMBER]


def test_the_sentences_say_how_many_since_when_and_what_to_do() -> None:
    changed = replace(
        GOOD,
        recent={"failed": 1, "bad_signature": 2, "too_large": 1},
        awaited=3,
        awaited_since=ago(9),
        last_callback_at=ago(40),
        lost=20,
    )
    text = " | ".join(alarm.text for alarm in find_alarms(replace(WELL, overview=changed)))
    for words in (
        "1 callback failed in the last 10 minutes",
        "3 callbacks refused in the last 10 minutes: bad signature 2, too large 1",
        "No callback since 2026-01-01 11:20 UTC; 3 tasks in progress: is the callback URL reachable?",
        "20 of the last 50 settled tasks",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"heartbeat_age_s": 15}, {}),
        ({"heartbeat_age_s": 15.1}, {"not_polling": "red"}),
        ({"holder": None, "heartbeat_age_s": None}, {"not_polling": "red"}),
        ({"state": PollerState.OFF, "holder": None, "heartbeat_age_s": None}, {"not_polling": "amber"}),
        ({"state": PollerState.PAUSED}, {}),
        ({"state": PollerState.REFUSED, "trouble": Trouble.REFUSED}, {"key_refused": "red"}),
        (
            {"state": PollerState.REFUSED, "trouble": Trouble.REFUSED, "heartbeat_age_s": 99},
            {"not_polling": "red", "key_refused": "red"},
        ),
        *(
            ({"state": PollerState.PAUSED, "trouble": trouble}, {"upstream_trouble": "amber"})
            for trouble in Trouble
            if trouble is not Trouble.REFUSED
        ),
        (
            {"holder": None, "heartbeat_age_s": None, "trouble": Trouble.LIMITED},
            {"not_polling": "red", "upstream_trouble": "amber"},
        ),
    ],
)
def test_each_state_of_the_poller_raises_its_alarm(
    changes: Mapping[str, Any], expected: dict[str, str]
) -> None:
    assert WELL.poller
    poller = replace(WELL.poller, **changes)
    assert levels_of(replace(WELL, poller=poller)) == expected
    assert levels_of(replace(WELL, poller=poller, has_key=False)) == {"no_api_key": "amber"}, "no other alarm"


@pytest.mark.parametrize("trouble", [Trouble.REFUSED, Trouble.LIMITED, Trouble.SERVER_ERROR])
def test_a_pause_says_until_when_and_since_when(trouble: Trouble) -> None:
    assert WELL.poller
    poller = replace(
        WELL.poller,
        state=PollerState.REFUSED if trouble is Trouble.REFUSED else PollerState.PAUSED,
        trouble=trouble,
        detail="HTTP 418",
        paused_since=ago(7),
        paused_until=ago(-5),
    )
    (alarm,) = find_alarms(replace(WELL, poller=poller))
    pause = "paused until 2026-01-01 12:05:00 UTC (in 5 min); since 2026-01-01 11:53:00 UTC (7 min ago)"
    assert pause in alarm.text
    assert ("RECEIVER_UPSTREAM_API_KEY" in alarm.text) is (trouble is Trouble.REFUSED)
    assert ("HTTP 418" in alarm.text) is (trouble is not Trouble.REFUSED)


@pytest.mark.parametrize(
    ("lockout", "expected"),
    [
        (Lockout(), {}),
        (Lockout(networks=3, began_at=T0 - timedelta(days=9)), {"sign_in_locked": "amber"}),
        (Lockout(networks=3, began_at=T0, ended_at=T0), {"sign_in_locked": "amber"}),
        (
            Lockout(networks=3, began_at=T0 - timedelta(days=9), ended_at=T0 - timedelta(days=1)),
            {"sign_in_locked": "amber"},
        ),
        (
            Lockout(networks=3, began_at=T0 - timedelta(days=9), ended_at=T0 - timedelta(days=1, seconds=1)),
            {},
        ),
    ],
)
def test_a_lockout_is_an_alarm_until_a_day_after_its_end(lockout: Lockout, expected: dict[str, str]) -> None:
    assert levels_of(replace(WELL, lockout=lockout)) == expected
    assert levels_of(SystemState(storage=Storage(), lockout=lockout, now=T0)) == expected
