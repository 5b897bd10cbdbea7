"""Counts of days gone by are folded, old bodies go, and nothing is lost by either."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from sqlalchemy import insert, text

from receiver.intake import callback_delivery
from receiver.maintenance import (
    ABANDONED_AFTER,
    BY_THE_HOUR,
    PRUNE_INTERVAL,
    Maintenance,
    Pruning,
    roll_up_counts,
)
from receiver.operations import every_task_id, rebuild_task, register_task
from receiver.reprocessing import reprocess
from receiver.runtime import Runtime
from receiver.store import audit_log, body_retention, hourly_counts
from receiver.store.audit_log import ActionKind
from receiver.store.body_retention import SCAN_LIMIT
from receiver.store.quarantine import QuarantineFilter
from receiver.store.schema import delivery
from tests.conftest import BOTH_STORES, PAYLOADS, T0
from tests.world import SOMEBODY


def count(runtime: Runtime, *, days: int) -> None:
    with runtime.database.write() as connection:
        for hour in range(24 * days):
            moment = T0 - timedelta(hours=hour)
            hourly_counts.add(
                connection,
                hourly_counts.in_hour(moment, {("callback", "accepted"): hour + 1, ("task", "failed"): 1}),
            )


@BOTH_STORES
def test_days_gone_by_become_one_count_each_and_the_totals_stay(runtime: Runtime) -> None:
    count(runtime, days=20)
    with runtime.database.read() as connection:
        before = hourly_counts.totals(connection, "callback", "task")
    while roll_up_counts(runtime.database, now=T0):
        pass
    with runtime.database.read() as connection:
        assert hourly_counts.totals(connection, "callback", "task") == before
        counts = hourly_counts.by_hour(connection, ["callback"], since=T0 - timedelta(days=99))["callback"]
    first_kept = hourly_counts.day_of(T0 - BY_THE_HOUR)
    assert all(hour == hourly_counts.day_of(hour) for hour in counts if hour < first_kept)
    assert sum(hour >= first_kept for hour in counts) == 8 * 24 + 13, "what is newer stays by the hour"
    assert roll_up_counts(runtime.database, now=T0) == 0


@BOTH_STORES
def test_what_changes_later_about_a_folded_day_is_folded_too(runtime: Runtime) -> None:
    count(runtime, days=10)
    while roll_up_counts(runtime.database, now=T0):
        pass
    late = T0 - timedelta(days=9)
    with runtime.database.write() as connection:
        hourly_counts.add(
            connection, hourly_counts.in_hour(late, {("task", "failed"): -1, ("task", "succeeded"): 1})
        )
    assert roll_up_counts(runtime.database, now=T0) == 1
    with runtime.database.read() as connection:
        assert hourly_counts.totals(connection, "task")["task"] == {"failed": 239, "succeeded": 1}


@BOTH_STORES
def test_two_that_fold_at_once_count_nothing_twice(runtime: Runtime) -> None:
    count(runtime, days=12)
    with runtime.database.read() as connection:
        before = hourly_counts.totals(connection, "callback")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: roll_up_counts(runtime.database, now=T0), range(4)))
    with runtime.database.read() as connection:
        assert hourly_counts.totals(connection, "callback") == before


def test_a_pause_is_spread_over_its_hours() -> None:
    start = T0 + timedelta(minutes=50)
    shares = hourly_counts.spread(start, start + timedelta(minutes=90), "pause", "limited")
    assert {f"{hour:%H}": seconds for (hour, _, _), seconds in shares.items()} == {
        "12": 600,
        "13": 3600,
        "14": 1200,
    }


NOW = T0 + timedelta(days=31)
RETENTION = timedelta(days=30)
SETTLED = b'{"code": 200, "data": {"callbackType": "complete", "task_id": "settled", "data": [{"id": "a", "audio_url": "https://example.org/a.mp3"}]}}'  # fmt: skip
OPEN = b'{"code": 200, "data": {"callbackType": "text", "task_id": "open", "data": []}}'
SISTERS = (PAYLOADS / "cb-wav-success-docs-camel.json").read_bytes()
NO_TASK = b'{"code": 200}'


def tell(runtime: Runtime, *bodies: bytes, at: datetime = T0) -> None:
    runtime.intake.accept([callback_delivery(body, now=at, secrets=()) for body in bodies])


def bodies_left(runtime: Runtime) -> Mapping[int, bytes]:
    with runtime.database.read() as connection:
        rows = connection.execute(text("SELECT id, body FROM delivery WHERE body IS NOT NULL ORDER BY id"))
        return {row.id: bytes(row.body) for row in rows}


def prune(runtime: Runtime) -> int:
    pruning = Pruning(runtime.database, received_before=NOW - RETENTION)
    while pruning.run_once():
        pass
    return pruning.dropped


def housekeeper(runtime: Runtime, name: str) -> Maintenance:
    return Maintenance(runtime.database, retention=RETENTION, name=name)


def prunings(runtime: Runtime) -> list[tuple[str, object]]:
    with runtime.database.read() as connection:
        found = audit_log.newest(connection, limit=9, kind=ActionKind.PRUNED)
    return [(action.actor.via, action.detail["bodies"]) for action in found]


@BOTH_STORES
def test_old_bodies_go_unless_a_task_still_needs_them_and_every_row_stays(runtime: Runtime) -> None:
    register_task(runtime, "settled", label=None, now=T0, actor=SOMEBODY)
    tell(runtime, SETTLED, SETTLED, OPEN, SISTERS, b"<html>", NO_TASK)
    tell(runtime, b"<html>new", SETTLED.replace(b"complete", b"first"), at=NOW - timedelta(days=29))
    with runtime.database.read() as connection:
        before = connection.execute(text("SELECT id, task_id, result FROM delivery ORDER BY id")).all()
        tasks_before = connection.execute(text("SELECT * FROM task ORDER BY task_id")).all()
    assert prune(runtime) == 4
    assert list(bodies_left(runtime).values()) == [OPEN, b"<html>new", SETTLED.replace(b"complete", b"first")]
    assert [rebuild_task(runtime, key, now=NOW) for key in every_task_id(runtime)] == [False, False]
    assert reprocess(runtime, QuarantineFilter(), now=NOW, actor=SOMEBODY)[0].bodiless == 2
    with runtime.database.read() as connection:
        assert (
            connection.execute(text("SELECT id, task_id, result FROM delivery ORDER BY id")).all() == before
        )
        assert connection.execute(text("SELECT * FROM task ORDER BY task_id")).all() == tasks_before
    assert prune(runtime) == 0


def test_what_rows_reported_that_an_operator_has_dropped_stays_in_the_state(runtime: Runtime) -> None:
    tell(runtime, SETTLED)
    with runtime.database.write() as connection:
        connection.execute(text("DELETE FROM delivery"))
    assert [rebuild_task(runtime, key, now=NOW) for key in every_task_id(runtime)] == [False]


@BOTH_STORES
def test_one_process_of_all_prunes_once_a_day_and_says_so(runtime: Runtime) -> None:
    tell(runtime, b"<one>", b"<two>")
    first, other = housekeeper(runtime, "first"), housekeeper(runtime, "other")
    first.run_once(now=NOW)
    other.run_once(now=NOW)
    assert prunings(runtime) == [("daily job", 2)]
    tell(runtime, b"<three>")
    for keeper in (first, other):
        keeper.run_once(now=NOW + PRUNE_INTERVAL - timedelta(minutes=1))
    assert len(bodies_left(runtime)) == 1
    for keeper in (other, first):
        keeper.run_once(now=NOW + PRUNE_INTERVAL + timedelta(minutes=10))
    assert prunings(runtime) == [("daily job", 1), ("daily job", 2)]


@BOTH_STORES
def test_what_a_dead_process_began_another_takes_up(runtime: Runtime) -> None:
    many(runtime, 3000)
    dead, other = housekeeper(runtime, "dead"), housekeeper(runtime, "other")
    passes = 0
    while (left := len(bodies_left(runtime))) == 3000 and passes < 50:  # on a busy machine one may only look
        dead.run_once(now=NOW)
        passes += 1
    assert 0 < left < 3000, "a little at a time, so that the poller goes on"
    other.run_once(now=NOW)
    assert len(bodies_left(runtime)) == left
    late = housekeeper(runtime, "late")
    late.run_once(now=NOW + ABANDONED_AFTER)
    assert len(bodies_left(runtime)) < left


@BOTH_STORES
def test_a_clock_that_was_ahead_keeps_nobody_from_the_daily_job(runtime: Runtime) -> None:
    housekeeper(runtime, "ahead").run_once(now=NOW + timedelta(days=900))
    tell(runtime, b"<one>")
    housekeeper(runtime, "right").run_once(now=NOW)
    assert not bodies_left(runtime)


def many(runtime: Runtime, count: int) -> None:
    row = {"source": "callback", "received_at": T0, "result": "quarantined", "status": "", "errors": "{}"}
    row |= {"change": "{}", "digest": b"", "body": b"<html>"}
    with runtime.database.write() as connection:
        connection.execute(insert(delivery), [row] * count)


@BOTH_STORES
def test_two_that_prune_at_once_drop_each_body_once(runtime: Runtime) -> None:
    many(runtime, SCAN_LIMIT + 100)
    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(lambda _: prune(runtime), range(2))) == SCAN_LIMIT + 100
    assert not bodies_left(runtime)


def test_pruning_walks_along_the_log_and_never_over_all_of_it(runtime: Runtime) -> None:
    with runtime.database.read() as connection:
        ran: list[str] = []
        connection.connection.dbapi_connection.set_trace_callback(ran.append)  # type: ignore[union-attr]
        tell(runtime, b"<html>")
        body_retention.find_old_bodies(connection, after=0, received_before=NOW)
        connection.connection.dbapi_connection.set_trace_callback(None)  # type: ignore[union-attr]
        for statement in (sql for sql in ran if sql.startswith("SELECT")):
            plan = str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}").all())
            assert "SEARCH delivery USING INTEGER PRIMARY KEY (rowid>?)" in plan
            assert "SCAN delivery" not in plan
