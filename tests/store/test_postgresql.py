"""What only PostgreSQL must show: several nodes at once, a server that goes away, a pooler between."""

import os
import random
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from receiver.app import build_app
from receiver.background import Background
from receiver.core.observation import Source
from receiver.core.payloads import ParseOutcome
from receiver.core.results import DeliveryResult
from receiver.intake import Result, callback_delivery
from receiver.reprocessing import reprocess
from receiver.runtime import Runtime
from receiver.store import call_quota, hourly_counts, lease, new_deliveries, tasks
from receiver.store.database import Database, StoreUnavailableError, database_now
from receiver.store.deliveries import StoredDelivery
from receiver.store.quarantine import QuarantineFilter
from tests.conftest import CALLBACK_TOKEN, T0, environment, eventually, need
from tests.servers.postgres import Postgres
from tests.servers.processes import free_port
from tests.world import SOMEBODY

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

URL = f"/callbacks/{CALLBACK_TOKEN}"


def callback_body(task_id: str, number: int = 0) -> str:
    return f'{{"code": 200, "data": {{"callbackType": "text", "task_id": "{task_id}", "n": {number}}}}}'


def at_once(count: int, work: Callable[[int], object]) -> None:
    """All of them begin together, and none may fail."""
    start = threading.Barrier(count)

    def begin(number: int) -> None:
        start.wait()
        work(number)

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(begin, range(count)))


def test_the_same_tasks_reported_at_several_nodes_at_once_never_deadlock(
    new_runtime: Callable[..., Runtime],
) -> None:
    nodes = [new_runtime() for _ in range(4)]
    ids = [f"task-{number}" for number in range(25)]
    rounds, batches = 10, 4 * 10

    def node(number: int) -> None:
        order = random.Random(number)
        poller = nodes[number].database
        for turn in range(rounds):
            some = order.sample(ids, 20)
            bodies = [callback_body(key, 100 * number + turn).encode() for key in some]
            batch = [callback_delivery(body, now=T0, secrets=()) for body in bodies]
            nodes[number].intake.accept(batch)
            with poller.write() as connection:  # as a poller does, whose tasks are the same
                due = T0 + timedelta(days=1, seconds=100 * turn)
                calls = call_quota.reserve(connection, now=due, most=5, period_s=1, reservation_s=1)
            with poller.write() as connection:
                for call in sorted(calls, key=lambda call: call.task_id):
                    call_quota.release(connection, [call], ended_at=due, period_s=1)

    with nodes[0].database.write() as connection:
        call_quota.resize_slots(connection, 20)
    at_once(4, node)
    with nodes[0].database.read() as connection:
        loaded = tasks.load_many(connection, ids)
        assert sum(task.callbacks for task in loaded.values()) == batches * 20
        assert sum(hourly_counts.totals(connection, "callback")["callback"].values()) == batches * 20
        assert hourly_counts.totals(connection, "task")["task"]["in_progress"] == len(ids)


def test_the_same_content_at_two_nodes_at_once_is_accepted_once(new_runtime: Callable[..., Runtime]) -> None:
    nodes = [new_runtime() for _ in range(2)]
    results: list[list[Result]] = [[], []]

    def node(number: int) -> None:
        for turn in range(30):
            delivery = callback_delivery(callback_body(f"task-{turn}").encode(), now=T0, secrets=())
            results[number] += nodes[number].intake.accept([delivery])

    at_once(2, node)
    for pair in zip(*results, strict=True):
        assert sorted(stored.result for stored in pair) == ["accepted", "duplicate"]


def test_the_quarantine_read_again_by_two_at_once_is_counted_once(
    new_runtime: Callable[..., Runtime],
) -> None:
    nodes = [new_runtime() for _ in range(2)]
    unread = [
        StoredDelivery(
            task_id=f"task-{n}",
            source=Source.CALLBACK,
            received_at=T0,
            result=DeliveryResult.QUARANTINED,
            cause=ParseOutcome.UNREADABLE,
            digest=bytes([n]) * 32,
            body=callback_body(f"task-{n}").encode(),
        )
        for n in range(40)
    ]
    with nodes[0].database.write() as connection:
        new_deliveries.add(connection, unread)
        hourly_counts.add(connection, Counter({(hourly_counts.hour_of(T0), "callback", "quarantined"): 40}))
    at_once(2, lambda number: reprocess(nodes[number], QuarantineFilter(), now=T0, actor=SOMEBODY))
    with nodes[0].database.read() as connection:
        counts = hourly_counts.totals(connection, "callback", "reread")
    assert counts == {"callback": {"quarantined": 0, "accepted": 40}, "reread": {"callback": 40}}


def test_folding_the_counts_of_a_day_gives_way_to_those_who_count(runtime: Runtime) -> None:
    """Its order of locks is another: without giving way one of the two would be ended as a deadlock."""
    days = [T0.replace(hour=0) + timedelta(days=n) for n in range(4)]
    hours = [day + timedelta(hours=h) for day in days for h in range(24)]
    done = threading.Event()

    def count(number: int) -> None:
        if number == 2:
            while not done.is_set():
                for day in days:
                    with suppress(StoreUnavailableError), runtime.database.write() as connection:
                        hourly_counts.fold_day(connection, day)
            return
        order = random.Random(number)
        for _ in range(40):
            with runtime.database.write() as connection:  # none of these may fail
                hourly_counts.add(
                    connection, Counter({(hour, "task", "x"): 1 for hour in order.sample(hours, 20)})
                )
        done.set()

    at_once(3, count)
    with runtime.database.read() as connection:
        assert hourly_counts.totals(connection, "task")["task"]["x"] == 2 * 40 * 20


def test_of_many_pollers_that_reach_for_the_lease_at_once_one_has_it(
    new_runtime: Callable[..., Runtime],
) -> None:
    database = new_runtime().database
    taken: list[lease.Lease | None] = []

    def reach(number: int) -> None:
        with database.write() as connection:
            now = database_now(connection)
            taken.append(lease.take(connection, holder=f"node-{number}", now=now, ttl_s=10))

    at_once(8, reach)
    held = [held_lease for held_lease in taken if held_lease]
    assert len(held) == 1
    with database.read() as connection:
        assert lease.read(connection) == held[0]


def test_two_pollers_at_once_take_no_slot_and_no_task_twice(runtime: Runtime) -> None:
    batch = [callback_delivery(callback_body(f"task-{n}").encode(), now=T0, secrets=()) for n in range(20)]
    runtime.intake.accept(batch)
    later = T0 + timedelta(hours=1)
    calls: list[call_quota.Call] = []
    with runtime.database.write() as connection:
        call_quota.resize_slots(connection, 10)

    def reserve(_: int) -> None:
        with runtime.database.write() as connection:
            calls.extend(call_quota.reserve(connection, now=later, most=5, period_s=1, reservation_s=30))

    at_once(4, reserve)
    assert len(calls) == len({call.slot for call in calls}) == len({call.task_id for call in calls})
    assert 5 <= len(calls) <= 10


A_NODE = """
import os
from threading import Event
from receiver.background import Background
from receiver.clock import utc_now
from receiver.runtime import open_runtime
from receiver.settings import load_settings
from receiver.store import hourly_counts

runtime = open_runtime(load_settings(os.environ), migrate=True)
background = Background(runtime)
background.start()
for turn in ("one", "two"):  # when the second is counted, a whole pass has been made
    runtime.intake.count_refusal(turn, now=utc_now())
    while True:
        with runtime.database.read() as connection:
            if turn in hourly_counts.totals(connection, "callback").get("callback", {}):
                break
        Event().wait(0.05)
background.stop()
print(utc_now().isoformat())
"""


def test_a_machine_whose_clock_is_an_hour_ahead_leaves_the_lease_to_who_has_it(
    runtime: Runtime, database_url: str, tmp_path: Path
) -> None:
    with runtime.database.write() as connection:
        held = lease.take(connection, holder="right", now=database_now(connection), ttl_s=60)
    program = need("faketime", shutil.which("faketime"))
    node = subprocess.run(
        [program, "-f", "+1h", sys.executable, "-c", A_NODE],
        env=os.environ
        | environment(tmp_path, DATABASE_URL=database_url, POLL_TICK="0.05")
        | {"FAKETIME_DONT_FAKE_MONOTONIC": "1"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert node.returncode == 0, node.stderr
    assert datetime.fromisoformat(node.stdout.strip()) - datetime.now(UTC) > timedelta(minutes=59), (
        node.stderr
    )
    with runtime.database.read() as connection:
        assert lease.read(connection) == held


def test_who_cannot_keep_house_polls_all_the_same(new_runtime: Callable[..., Runtime]) -> None:
    runtime = new_runtime(POLL_TICK="0.05")
    background = Background(runtime)
    with runtime.database.write() as connection:  # as somebody does who makes an index by hand
        connection.execute(text("LOCK TABLE action IN SHARE MODE"))
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        background.start()
        try:
            eventually(lambda: _holder(runtime), within_s=3, why="it takes the lease")
        finally:
            connection.rollback()
            background.stop()


def _holder(runtime: Runtime) -> lease.Lease | None:
    with runtime.database.read() as connection:
        return lease.read(connection)


def test_what_a_node_locks_is_free_again_when_it_is_gone(runtime: Runtime) -> None:
    names = ("idle_in_transaction_session_timeout", "lock_timeout", "statement_timeout")
    with runtime.database.write() as connection:
        limits = [connection.scalar(text(f"SHOW {name}")) for name in names]
    assert limits == ["3s", "4s", "8s"]
    with (
        runtime.database.engine.connect() as connection
    ):  # nothing of it is left to a session that others use
        assert [connection.scalar(text(f"SHOW {name}")) for name in names] == ["0", "0", "0"]


@pytest.mark.parametrize(("default", "ours"), [("off", "on"), ("remote_apply", "remote_apply")])
def test_what_is_stored_is_on_disk_whatever_the_servers_default_is(
    runtime: Runtime, postgres: Postgres, default: str, ours: str
) -> None:
    with postgres.default(str(runtime.database.url.database), "synchronous_commit", default):
        runtime.database.engine.dispose()
        with runtime.database.write() as connection:
            assert connection.scalar(text("SHOW synchronous_commit")) == ours


def test_a_reader_sees_one_moment_and_cannot_write(runtime: Runtime) -> None:
    with runtime.database.read() as connection:
        assert lease.read(connection) is None
        with runtime.database.write() as other:
            lease.take(other, holder="other", now=T0, ttl_s=10)
        assert lease.read(connection) is None
        with pytest.raises(StoreUnavailableError, match="read-only"), runtime.database.read() as reader:
            lease.take(reader, holder="me", now=T0, ttl_s=10)


def test_while_the_server_is_away_callbacks_are_503_and_then_it_heals(
    runtime: Runtime, postgres: Postgres
) -> None:
    client = build_app(runtime).test_client()
    assert client.post(URL, data=callback_body("before")).status_code == 200
    assert client.get("/readyz").status_code == 200
    name = str(runtime.database.url.database)
    with postgres.closed(name):
        for number in range(3):
            answer = client.post(URL, data=callback_body(f"meanwhile-{number}"))
            assert answer.status_code == 503
            assert answer.headers["Retry-After"]
            assert answer.content_type == "application/problem+json"
        eventually(lambda: client.get("/readyz").status_code == 503)
    assert client.post(URL, data=callback_body("after")).status_code == 200
    with runtime.database.read() as connection:
        assert set(tasks.load_many(connection, ["before", "meanwhile-0", "after"])) == {"before", "after"}


@contextmanager
def pgbouncer(folder: Path, url: str) -> Iterator[str]:
    """A pooler in transaction mode with fewer sessions than the receiver has connections; its URL."""
    program = need("pgbouncer", shutil.which("pgbouncer"))
    direct, port = make_url(url), free_port()
    host = str(direct.query["host"])
    settings = folder / "pgbouncer.ini"
    (folder / "users.txt").write_text('"postgres" ""\n')
    settings.write_text(
        f"[databases]\n* = host={host} port={direct.port or 5432} user=postgres\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = any\nauth_file = {folder}/users.txt\npool_mode = transaction\ndefault_pool_size = 2\n"
        "query_wait_timeout = 3\nserver_connect_timeout = 3\nserver_login_retry = 1\n"
    )
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755)
    as_owner = ["-u", Path(host).owner()] if os.geteuid() == 0 else []  # root it refuses to be
    process = subprocess.Popen([program, "-q", *as_owner, str(settings)], stderr=subprocess.DEVNULL)
    try:
        yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/{direct.database}"
    finally:
        process.terminate()
        process.wait(timeout=10)


def test_it_works_behind_pgbouncer_in_transaction_mode(
    new_runtime: Callable[..., Runtime], database_url: str, tmp_path: Path
) -> None:
    with pgbouncer(tmp_path, database_url) as pooled:
        eventually(lambda: _answers(pooled), why="pgbouncer starts")
        nodes = [new_runtime(DATABASE_URL=pooled) for _ in range(2)]
        clients = [build_app(node) for node in nodes]

        def send(number: int) -> None:
            for turn in range(20):  # more often than psycopg waits before it would prepare a statement
                answer = (
                    clients[number % 2].test_client().post(URL, data=callback_body(f"task-{turn}", number))
                )
                assert answer.status_code == 200

        at_once(6, send)
        with nodes[0].database.read() as connection:
            loaded = tasks.load_many(connection, [f"task-{turn}" for turn in range(20)])
        assert sum(task.callbacks for task in loaded.values()) == 6 * 20
        for node in nodes:
            node.database.engine.dispose()


def _answers(url: str) -> bool:
    database = Database(url)
    try:
        database.schema_versions()
    except StoreUnavailableError:
        return False
    finally:
        database.engine.dispose()
    return True
