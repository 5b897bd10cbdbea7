"""How the databases find what is asked for: by an index, whatever the filters and however much is stored."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from sqlalchemy import event, text

from benchmarks.bulk import insert_tasks
from receiver.core.results import RefusalReason
from receiver.intake import callback_delivery, poll_delivery
from receiver.maintenance import Maintenance, Pruning
from receiver.operations import register_task, request_task_poll
from receiver.polling.giving_up import give_up_late_tasks
from receiver.runtime import Runtime
from receiver.store import hourly_counts, task_list
from receiver.store.body_cap import BodyCap
from receiver.store.orphan_cap import OrphanCap
from receiver.store.task_list import Flag, TaskFilter
from tests.conftest import BOTH_STORES, T0
from tests.store.statements import listening, walks_of
from tests.world import SOMEBODY, World

DUE_BEFORE = T0 + timedelta(hours=2)
NOW = T0 + timedelta(days=120)
ACTIONS = """
    INSERT INTO action (via, kind, detail, at, task_id)
    SELECT 'test', 'acknowledged', '{}', first_seen_at, task_id FROM task
"""
STORED = 30_000  # so many that PostgreSQL finds no table small enough to walk over


def test_no_list_walks_over_the_whole_table_or_sorts_it(runtime: Runtime) -> None:
    said: list[tuple[str, Any]] = []

    @event.listens_for(runtime.database.engine, "before_cursor_execute")
    def _listen(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: Any) -> None:
        said.append((statement, parameters))

    filters = [
        TaskFilter(outcome=outcome, status=status, flag=flag, before=before, due_before=DUE_BEFORE)
        for outcome, status, flag, before in product(
            (None, "failed"), (None, "SUCCESS"), (None, *Flag), (None, (T0, "a"))
        )
    ]
    with runtime.database.read() as connection:
        for chosen in [
            *filters,
            TaskFilter(text="tides"),
            TaskFilter(text="tides", outcome="failed", status="SUCCESS"),
        ]:
            task_list.find(connection, chosen, limit=50)
        queries = [entry for entry in said if entry[0].startswith("SELECT")]
        assert len(queries) > len(filters)
        for statement, parameters in queries:
            plan = [
                row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            ]
            walks = [step for step in plan if step.startswith("SCAN task") and "INDEX" not in step]
            assert not [step for step in walks if "VIRTUAL TABLE" not in step], (statement, plan)
            sorts = "TEMP B-TREE FOR ORDER BY" in " ".join(plan)
            bounded = "number IN" in statement or "task_id BETWEEN" in statement
            assert not sorts or bounded, (statement, plan)


def stage(task_id: str | None, kind: str = "complete", **more: Any) -> bytes:
    named = {"task_id": task_id} if task_id else {}
    row = {"id": "a", "audio_url": "https://example.org/a.mp3", "title": "Tides"}
    return json.dumps({"code": 200, "data": {"callbackType": kind, **named, "data": [row], **more}}).encode()


def tell(runtime: Runtime, *bodies: bytes) -> None:
    runtime.intake.accept([callback_delivery(body, now=NOW, secrets=()) for body in bodies])


def take_callbacks_in(runtime: Runtime, _: World) -> None:
    new, old, unread = stage("new"), f"{1:032}", stage("new", data=7)
    sister = b'{"code": 200, "data": {"task_id": "wav", "audioWavUrl": "https://example.org/a.wav"}}'
    for bodies in (
        [new],
        [new, stage("other")],
        [stage(old), stage(old)],
        [unread, unread],
        [sister, sister],
    ):
        tell(runtime, *bodies)
        tell(runtime, *bodies)
    tell(runtime, b"<html>", b"{}", stage(None))
    tell(runtime, b"<html>", b"{}", stage(None))
    runtime.intake.count_refusal(RefusalReason.WRONG_TOKEN, now=NOW)
    runtime.intake.flush_counts()


def take_an_answer_in(runtime: Runtime, _: World) -> None:
    tell(runtime, stage("orphan"))
    record = {"taskId": "orphan", "status": "SUCCESS", "response": {"sunoData": [{"id": "a"}]}}
    body = json.dumps({"code": 200, "data": record}).encode()
    for _time in range(2):
        runtime.intake.accept([poll_delivery(body, "orphan", now=NOW, secrets=())])


def register_tasks(runtime: Runtime, _: World) -> None:
    tell(runtime, stage("orphan"))
    for task_id in ("orphan", "new", "new", f"{2:032}"):
        register_task(runtime, task_id, label="mine", now=NOW, actor=SOMEBODY)
    request_task_poll(runtime, "new", now=NOW, actor=SOMEBODY)


def poll(_: Runtime, world: World) -> None:
    world.register("one", "two", "three")
    world.answers("one", "SUCCESS", {"id": "a", "audioUrl": "https://example.org/a.mp3"})
    world.answers("two", "PENDING")
    world.clock.advance(91)
    assert world.run().answered == 3
    world.run(after_s=4 * 86400)


def keep_house(runtime: Runtime, _: World) -> None:
    register_task(runtime, "silent", label=None, now=T0, actor=SOMEBODY)
    give_up_late_tasks(runtime.database, runtime.settings.rules, first_seen_before=NOW, now=NOW)
    tell(runtime, b"<1>", b"<2>", stage("stranger"), stage("registered"))
    register_task(runtime, "registered", label=None, now=NOW, actor=SOMEBODY)
    assert BodyCap(runtime.database, most_bodies=1).enforce(for_s=20)
    assert OrphanCap(runtime.database, most_bytes=1).enforce(for_s=20)
    keeper = Maintenance(runtime.database, retention=timedelta(days=1), name="keeper")
    keeper.run_once(now=NOW + timedelta(days=2))
    pruning = Pruning(runtime.database, received_before=NOW)
    assert pruning.run_once() and pruning.run_once()


@pytest.mark.slow
@BOTH_STORES
@pytest.mark.parametrize("work", [take_callbacks_in, take_an_answer_in, register_tasks, poll, keep_house])
def test_no_statement_on_the_way_walks_over_what_is_stored(
    world: World, work: Callable[[Runtime, World], None]
) -> None:
    runtime, database = world.runtime, world.runtime.database
    fill(runtime)
    with listening(database) as statements:
        work(runtime, world)
    assert len(statements) > 3
    with database.write() as connection:  # some of them lock what they find
        walks = {statement[0]: walks_of(connection, statement) for statement in statements}
    assert not {statement: found for statement, found in walks.items() if found}


def fill(runtime: Runtime) -> None:
    """So much of everything that grows that a plan for a small table would be another."""
    with runtime.database.write() as connection:
        insert_tasks(connection, STORED, at=NOW - timedelta(days=3), body="{}")
    hours = [NOW - timedelta(hours=number) for number in range(24 * 100)]
    subjects = ("callback", "poll", "task", "settling", "call")
    counts = Counter({(hour, subject, "some"): 1 for hour in hours for subject in subjects})
    with runtime.database.write() as connection:
        hourly_counts.add(connection, counts)
    with runtime.database.write() as connection:
        connection.execute(text(ACTIONS))
    analyze = "ANALYZE" if runtime.database.is_sqlite else "VACUUM ANALYZE"
    with runtime.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(analyze))


@BOTH_STORES
def test_a_walk_would_be_found(runtime: Runtime) -> None:
    fill(runtime)
    walking = [
        "SELECT count(*) FROM delivery WHERE status = 'x'",
        "SELECT task_id FROM task WHERE version = 7 ORDER BY settled_at LIMIT 5",
        "DELETE FROM action WHERE at < '2020-01-01'",
        "UPDATE tally SET count = 0 WHERE name = 'some'",
    ]
    searching = "SELECT status FROM task WHERE task_id = 'x'"
    with runtime.database.write() as connection:
        assert [statement for statement in walking if not walks_of(connection, (statement, ()))] == []
        assert walks_of(connection, (searching, ())) == []
