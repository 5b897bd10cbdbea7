"""A filled database of an earlier version becomes one of this version, and nothing of it is lost."""

import json
from datetime import timedelta
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from receiver import store
from receiver.core.census import effect
from receiver.core.observation import Observation, Source, Track
from receiver.core.reconciliation import TaskState
from receiver.core.state_document import dump_state
from receiver.core.task import Task
from receiver.store import deliveries, listing, quarantine, tallies, tasks
from receiver.store.database import Database
from receiver.store.listing import Filter, Flag
from receiver.store.quarantine import Quarantined
from receiver.store.schema import metadata
from tests.conftest import T0

TASKS_0001 = (
    ("done", "succeeded", "SUCCESS", False, True, "Whispering Tides\nСеверный ветер", "order 17", T0),
    ("lost", "unresolved", "PENDING", False, False, "", None, T0),
    ("both", "failed", "GENERATE_AUDIO_FAILED", True, False, "Iron Lanterns", None, T0),
    ("open", "in_progress", "TEXT_SUCCESS", False, False, "Iron Lanterns", None, None),
)
DELIVERIES_0001 = (
    ("done", "accepted", "{}", b'{"a": 1}'),
    ("open", "quarantined", '{"data.data": ["Invalid type."]}', b"{}"),
    (None, "quarantined", '{"": ["Not JSON: Expecting value."]}', b"<html>"),
    (None, "quarantined", '{"data.taskId": ["Missing"]}', b'{"code": 200}'),
)


def at_0001(path: Path) -> Database:
    """A database as the first version made it, filled as it would have filled it."""
    database = Database(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", str(Path(store.__file__).with_name("migrations")))
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        _fill(connection)
    database.engine.dispose()
    return database


def _fill(connection) -> None:
    seen = Observation(
        task_id="x", source=Source.POLL, status="SUCCESS", tracks=(Track(key="id:a", fields={"id": "a"}),)
    )
    plain = {
        "registered_at": str(T0.replace(tzinfo=None)), "first_seen_at": str(T0.replace(tzinfo=None)),
        "poll_requested": False, "attempt": 0, "callbacks": 1, "polls": 2, "version": 3,
        "state": dump_state(TaskState.of(seen)), "lost_callback": False,
    }  # fmt: skip
    for number, (key, outcome, status, conflict, recovered, titles, label, settled) in enumerate(TASKS_0001):
        ended = settled and str((settled + timedelta(seconds=160)).replace(tzinfo=None))
        row = plain | {
            "task_id": key, "outcome": outcome, "status": status, "conflict": conflict, "recovered": recovered,
            "titles": titles, "label": label, "settled_at": ended, "polls": number,
        }  # fmt: skip
        names = ", ".join(row)
        connection.execute(text(f"INSERT INTO task ({names}) VALUES (:{', :'.join(row)})"), row)
    for task_id, result, errors, body in DELIVERIES_0001:
        row = {
            "task_id": task_id, "source": "callback", "received_at": str(T0.replace(tzinfo=None)), "result": result,
            "status": "", "errors": errors, "digest": bytes(32), "body": body,
        }  # fmt: skip
        connection.execute(text(f"INSERT INTO delivery ({', '.join(row)}) VALUES (:{', :'.join(row)})"), row)
    tally = {"hour": str(T0.replace(tzinfo=None)), "subject": "callback", "name": "accepted", "count": 5}
    connection.execute(text("INSERT INTO tally VALUES (:hour, :subject, :name, :count)"), tally)


def test_a_filled_database_of_the_first_version_is_brought_to_this_one(tmp_path: Path) -> None:
    database = at_0001(tmp_path / "old.db")
    assert database.pending_migrations()
    database.migrate()
    assert not database.pending_migrations()
    with database.read() as connection:
        options = {"include_object": lambda _, name, *__: not name.startswith("task_words")}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
        everything = {task.task_id: task for task in listing.find(connection, Filter(), limit=9).tasks}
        assert everything.keys() == {"done", "lost", "both", "open"}
        assert [everything[key].polls for key, *_ in TASKS_0001] == [0, 1, 2, 3]
        assert everything["done"].label == "order 17"
        assert everything["done"].settled_at == T0 + timedelta(seconds=160)
        assert {task.task_id for task in listing.find(connection, Filter(flag=Flag.PROBLEM), limit=9).tasks} == {
            "lost", "both",
        }  # fmt: skip
        for words, found in {
            "tides order": {"done"},
            "СЕВЕР": {"done"},
            "lanterns": {"both", "open"},
        }.items():
            assert {
                task.task_id for task in listing.find(connection, Filter(text=words), limit=9).tasks
            } == found
        causes = [one.cause for one in quarantine.find(connection, Quarantined(), limit=9)]
        assert causes == ["no_task_id", "not_json", "unreadable"]
        (kept,) = deliveries.of_task(connection, "done")
        assert (kept.body, kept.change, kept.id) == (b'{"a": 1}', {}, 1)
        assert tallies.totals(connection, "callback") == {"callback": {"accepted": 5}}
        counted = tallies.totals(connection, "task", "settling")
        assert counted == counted_anew(everything.values())
        connection.execute(text("INSERT INTO task_words(task_words, rank) VALUES ('integrity-check', 1)"))
    database.engine.dispose()


def counted_anew(everything) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for task in everything:
        for (subject, name), count in effect(Task(task_id="", first_seen_at=T0), task).items():
            counts.setdefault(subject, {}).setdefault(name, 0)
            counts[subject][name] += count
    return counts


def test_an_upgraded_database_goes_on_as_a_new_one_would(tmp_path: Path) -> None:
    database = at_0001(tmp_path / "old.db")
    database.migrate()
    told = deliveries.StoredDelivery(
        source="poll", received_at=T0, result="accepted", digest=bytes(32), body=b"{}"
    )
    with database.write() as connection:
        before = tasks.load_or_create(connection, {"new": T0, "open": T0})
        tasks.save(connection, [(task, task) for task in before.values()])
        deliveries.add(connection, [told])
    with database.read() as connection:
        assert [row.number for row in connection.execute(text("SELECT number FROM task ORDER BY number"))] == [
            1, 2, 3, 4, 5,
        ]  # fmt: skip
        assert connection.execute(text("SELECT max(id) FROM delivery")).scalar() == len(DELIVERIES_0001) + 1
        assert (
            json.loads(connection.execute(text("SELECT errors FROM delivery WHERE id = 5")).scalar_one())
            == {}
        )
    database.engine.dispose()
