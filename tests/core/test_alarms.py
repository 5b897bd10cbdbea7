"""What is wrong: each alarm is raised for what it names, and for nothing less."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from receiver.core.alarms import AlarmName, Disk, Level, Overview, Storage, find_alarms
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


def raised(storage: Storage = Storage(), **changes: Any) -> dict[str, str]:  # noqa: B008
    return {alarm.name: alarm.level for alarm in find_alarms(replace(GOOD, **changes), storage, now=T0)}


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
def test_a_disk_with_little_room_is_told(free: float, size: float, level: str | None) -> None:
    storage = Storage(disks=(Disk(what="database", free=int(free), size=int(size)),))
    assert raised(storage) == ({"disk_low": level} if level else {})


@pytest.mark.parametrize(("free", "expected"), [(4 * MB, {}), (3 * MB, {"disk_low": "amber"})])
def test_a_small_disk_for_temporary_files_is_no_alarm_of_its_own(free: int, expected: dict[str, str]) -> None:
    disk = Disk(what="temporary files", free=free, size=64 * MB, floor=0)
    assert raised(Storage(disks=(disk,))) == expected


def test_what_the_database_cannot_tell_the_storage_tells_alone_and_the_worst_comes_first() -> None:
    storage = Storage(problem="disk is full", disks=(Disk(what="database", free=300 * MB, size=10 * GB),))
    alone = find_alarms(None, storage, now=T0)
    assert [alarm.name for alarm in alone] == [AlarmName.DATABASE_UNAVAILABLE, AlarmName.DISK_LOW]
    many = find_alarms(replace(GOOD, quarantined=1, unresolved=1), storage, now=T0)
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
    text = " | ".join(alarm.text for alarm in find_alarms(changed, Storage(), now=T0))
    for words in (
        "1 callback failed in the last 10 minutes",
        "3 callbacks refused in the last 10 minutes: bad signature 2, too large 1",
        "No callback since 2026-01-01 11:20 UTC; 3 tasks in progress: is the callback URL reachable?",
        "20 of the last 50 settled tasks",
    ):
        assert words in text
