"""`/readyz`, the page, `/metrics` and `receiver check` say the same of what is wrong; `/readyz` is 200 when all can be stored."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event, update

from receiver.app import build_app
from receiver.check.local import check_database
from receiver.clock import utc_now
from receiver.core.login_throttle import Lockout
from receiver.core.results import RefusalReason
from receiver.operations import register_task
from receiver.runtime import Runtime
from receiver.store import login_attempts, recent_failures
from receiver.store.health_queries import read_overview
from receiver.store.recent_failures import UnsavedFailures
from receiver.store.schema import delivery, recent_failure, task
from receiver.store.write_probe import MAX_PROBE_BYTES, probe_write_body
from receiver.web.storage_health import WriteProbe, short_cause
from tests.conftest import BOTH_STORES, T0, environment, eventually, need
from tests.web.admin.page import CALLBACKS, sign_in, tell
from tests.world import SOMEBODY


@pytest.fixture
def client(runtime: Runtime) -> FlaskClient:
    return build_app(runtime).test_client()


def problems(client: FlaskClient) -> dict[str, str]:
    """What `/readyz` names, by level."""
    answer = client.get("/readyz")
    assert answer.json is not None
    return {problem["name"]: problem["level"] for problem in answer.json["problems"]}


def everywhere(client: FlaskClient, runtime: Runtime, name: str, words: str) -> int:
    """The alarm stands at all four places; returns what `/readyz` answered."""
    ready = client.get("/readyz")
    assert ready.json is not None
    assert name in {problem["name"] for problem in ready.json["problems"]}
    assert f'receiver_alarm{{name="{name}"}} 0.0' not in client.get("/metrics").text
    sign_in(client)
    assert words in client.get("/admin/").text
    found = {finding.name: finding.detail for finding in check_database(runtime.settings, utc_now())}
    assert words in found[name]
    return ready.status_code


def register(runtime: Runtime, task_id: str, *, minutes_ago: float) -> None:
    then = utc_now() - timedelta(minutes=minutes_ago)
    register_task(runtime, task_id, label=None, now=then, actor=SOMEBODY)


@BOTH_STORES
class TestAlarms:
    def test_refused_callbacks_raise_an_alarm_and_the_rest_is_stored(
        self, new_runtime: Callable[..., Runtime]
    ) -> None:
        runtime = new_runtime(MAX_BODY_BYTES="2000")
        client = build_app(runtime).test_client()
        assert client.post(CALLBACKS, data=b"x" * 3000).status_code == 413
        assert problems(client)["callbacks_refused"] == "amber", "by the process itself, before it is stored"
        runtime.intake.flush_counts()
        assert everywhere(client, runtime, "callbacks_refused", "1 callback refused") == 200
        assert 'receiver_recent_callbacks{result="too_large"} 1.0' in client.get("/metrics").text

    def test_another_process_knows_what_failed_once_it_can_be_stored(
        self, runtime: Runtime, new_runtime: Callable[..., Runtime]
    ) -> None:
        other = new_runtime()
        other.intake.failures.note("failed", now=utc_now())
        client = build_app(runtime).test_client()
        assert "callbacks_failed" not in problems(client)
        other.intake.flush_counts()
        assert everywhere(client, runtime, "callbacks_failed", "1 callback failed") == 200
        assert problems(client)["callbacks_failed"] == "red"

    def test_wrong_tokens_are_an_alarm_only_when_there_are_many(
        self, client: FlaskClient, runtime: Runtime
    ) -> None:
        for _ in range(10):
            client.post("/callbacks/wrong-token-0000000", json={})
        assert "wrong_tokens" not in problems(client)
        client.post("/callbacks/wrong-token-0000000", json={})
        runtime.intake.flush_counts()
        assert everywhere(client, runtime, "wrong_tokens", "11 requests with a wrong callback token") == 200

    def test_no_callback_while_tasks_are_in_progress_raises_an_alarm(
        self, client: FlaskClient, runtime: Runtime
    ) -> None:
        register(runtime, "fresh", minutes_ago=3)
        assert "no_callbacks" not in problems(client)
        register(runtime, "old", minutes_ago=12)
        assert everywhere(client, runtime, "no_callbacks", "1 task in progress: is the callback URL") == 200
        register(runtime, "older", minutes_ago=45)
        assert problems(client)["no_callbacks"] == "red"
        tell(client, "another")
        assert "no_callbacks" not in problems(client), "a callback came after they were made"

    def test_tasks_made_after_the_last_callback_are_waited_for(
        self, client: FlaskClient, runtime: Runtime
    ) -> None:
        tell(client, "first")
        with runtime.database.write() as connection:
            connection.execute(update(delivery).values(received_at=utc_now() - timedelta(hours=2)))
        register(runtime, "before", minutes_ago=180)
        assert "no_callbacks" not in problems(client)
        register(runtime, "after", minutes_ago=20)
        assert problems(client)["no_callbacks"] == "amber"

    def test_many_lost_callbacks_of_the_tasks_settled_last_raise_an_alarm(
        self, client: FlaskClient, runtime: Runtime
    ) -> None:
        for number in range(60):
            tell(client, f"task-{number}")
        settle(runtime, [f"task-{number}" for number in range(60)], lost=lambda number: number >= 50)
        assert "callbacks_lost" not in problems(client), "ten of fifty"
        settle(runtime, ["task-49"], lost=lambda number: True)
        assert everywhere(client, runtime, "callbacks_lost", "11 of the last 50 settled tasks") == 200

    def test_a_lockout_of_the_sign_in_raises_an_alarm(self, client: FlaskClient, runtime: Runtime) -> None:
        with runtime.database.write() as connection:
            login_attempts.save_lockout(connection, Lockout(networks=34, began_at=utc_now()))
        assert everywhere(client, runtime, "sign_in_locked", "100 wrong passwords from 34 networks") == 200

    def test_what_settled_long_ago_is_no_alarm(self, client: FlaskClient, runtime: Runtime) -> None:
        for number in range(9):
            tell(client, f"task-{number}")
        settle(runtime, [f"task-{number}" for number in range(9)], lost=lambda _: True, ago=timedelta(days=8))
        assert "callbacks_lost" not in problems(client)

    def test_a_write_as_large_as_a_callback_is_tried(self, runtime: Runtime) -> None:
        for size in (100, 2**20, 10**9):
            with runtime.database.write() as connection:
                probe_write_body(connection, size=size)
            with runtime.database.read() as connection:
                length = connection.exec_driver_sql("SELECT length(body) FROM probe_body").scalar()
            assert length == min(size, MAX_PROBE_BYTES)


def settle(
    runtime: Runtime, ids: list[str], *, lost: Callable[[int], bool], ago: timedelta = timedelta()
) -> None:
    with runtime.database.write() as connection:
        for number, task_id in enumerate(ids):
            settled_at = utc_now() - ago - timedelta(seconds=len(ids) - number)
            values = {"settled_at": settled_at, "lost_callback": lost(number), "outcome": "succeeded"}
            connection.execute(update(task).where(task.c.task_id == task_id).values(**values))


class TestCounting:
    def test_what_is_older_than_ten_minutes_is_forgotten_and_memory_is_bounded(self) -> None:
        unsaved = UnsavedFailures()
        for minute in range(600):
            unsaved.note("failed", now=T0 + timedelta(minutes=minute))
        assert sum(unsaved.take().values()) == 10
        unsaved.note("failed", now=T0)
        assert unsaved.recent(now=T0 + timedelta(minutes=9)) == {"failed": 1}
        assert unsaved.recent(now=T0 + timedelta(minutes=10)) == {}

    @BOTH_STORES
    def test_stored_counts_add_up_and_old_ones_are_removed(self, runtime: Runtime) -> None:
        def note(now: datetime) -> None:
            runtime.intake.failures.note("failed", now=now)
            runtime.intake.flush_counts()

        def recent(now: datetime) -> Any:
            with runtime.database.read() as connection:
                return recent_failures.read(connection, now=now)

        for seconds in (0, 1, 61):
            note(T0 + timedelta(seconds=seconds))
        assert recent(T0 + timedelta(minutes=2)) == {"failed": 3}
        assert recent(T0 + timedelta(minutes=11)) == {}
        for hours in range(1, 5):
            note(T0 + timedelta(hours=hours))
        with runtime.database.read() as connection:
            assert len(connection.execute(recent_failure.select()).all()) == 2

    def test_counts_that_cannot_be_stored_stay_in_memory(self, runtime: Runtime, tmp_path: Path) -> None:
        runtime.intake.count_refusal(RefusalReason.TOO_LARGE, now=utc_now())
        (tmp_path / "receiver.db").rename(tmp_path / "away.db")
        with pytest.raises(Exception, match="deleted or moved"):
            runtime.intake.flush_counts()
        assert runtime.intake.failures.recent(now=utc_now()) == {"too_large": 1}
        (tmp_path / "away.db").rename(tmp_path / "receiver.db")
        runtime.intake.flush_counts()
        assert not runtime.intake.failures.recent(now=utc_now())


def test_what_the_alarms_need_is_searched_for_in_an_index(runtime: Runtime) -> None:
    statements: list[tuple[str, Any]] = []

    @event.listens_for(runtime.database.engine, "before_cursor_execute")
    def _listen(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: Any) -> None:
        statements.append((statement, parameters))

    with runtime.database.read() as connection:
        read_overview(connection, due_before=utc_now())
        plans = [
            " ".join(
                row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            )
            for statement, parameters in list(statements)
            if statement.startswith("SELECT")
        ]
    text = "\n".join(plans)
    settled = [plan for plan in plans if plan == "SEARCH task USING INDEX task_outcome (outcome=?)"]
    assert len(settled) == 3, "in the order of the index, up to fifty"
    assert "INDEX task_outcome (outcome=? AND first_seen_at>? AND first_seen_at<?)" in text
    assert "SEARCH recent_failure USING" in text
    assert not [plan for plan in plans if "SCAN task" in plan and "INDEX" not in plan]
    assert "ORDER BY" not in text


@pytest.mark.parametrize(
    ("problem", "shown"),
    [
        ("database or disk is full", "the disk is full"),
        ("could not extend file: No space left on device", "the disk is full"),
        ("connection to server at 10.1.2.3 failed", "the database cannot be reached, or takes no writes"),
    ],
)
def test_a_stranger_is_shown_no_hosts(problem: str, shown: str) -> None:
    assert short_cause(problem) == shown


# In a process of its own, which may mount a small disk of its own, or may write no larger files.
SCRIPT = """
import json, resource, sys
from pathlib import Path
from receiver.app import build_app
from receiver.check.local import check_database, check_files
from receiver.clock import utc_now
from receiver.runtime import open_runtime
from receiver.settings import load_settings
from receiver.web.storage_health import WriteProbe
from tests.web.admin.page import CALLBACKS, sign_in

folder, how, settings = Path(sys.argv[1]), sys.argv[2], load_settings(json.loads(sys.argv[3]))
app = build_app(open_runtime(settings, migrate=True))
client = app.test_client()
runtime = app.extensions["receiver"]

def send(number, size):
    body = {"code": 200, "data": {"callbackType": "text", "task_id": f"t-{number}", "data": [], "x": "y" * size}}
    return client.post(CALLBACKS, json=body).status_code

def ready():
    app.extensions["write_probe"]._tried_at = -9.0  # a second has passed
    answer = client.get("/readyz")
    return answer.json | {"status": answer.status_code}

report = {"first": send("first", 60_000), "ready": ready()}
sign_in(client)
if how == "tmpfs":
    ballast = (folder / "ballast").open("wb", buffering=0)
    left = int(sys.argv[4])
    import shutil
    while shutil.disk_usage(folder).free > left:
        ballast.write(b"x" * min(65536, shutil.disk_usage(folder).free - left))
else:
    log = Path(str(folder / "receiver.db") + "-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (log + int(sys.argv[4]),) * 2)
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
report["nearly"] = ready()
report["page"] = client.get("/admin/").text
report["check"] = [str(finding) for finding in (*check_files(settings), *check_database(settings, utc_now()))]
report["sent"] = [send(number, 60_000) for number in range(60)]
report["after"] = ready()
report["metrics"] = client.get("/metrics").text
stranger = app.test_client()
answer = sign_in(stranger)
report["sign_in"] = [answer.status_code, answer.text]
report["stranger"] = stranger.get("/admin/").status_code
report["page_after"] = client.get("/admin/").text
if how == "tmpfs":
    (folder / "ballast").unlink(); ballast.close()
    report["recovered"] = ready()
    report["last"] = send("last", 60_000)
    report["in"] = sign_in(app.test_client()).status_code
print(json.dumps(report))
"""


def on_a_small_disk(tmp_path: Path, how: str, left: int) -> dict[str, Any]:
    small = tmp_path / "small"
    small.mkdir()
    settings = environment(small, UPSTREAM_API_KEY="", MAX_BODY_BYTES="1048576")
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    command = [sys.executable, str(script), str(small), how, json.dumps(settings), str(left)]
    if how == "tmpfs":
        unshare = need("unshare", shutil.which("unshare"))
        mount = f'mount -t tmpfs -o size=24m none {small} && exec "$@"'
        command = [unshare, "-rm", "sh", "-c", mount, "sh", *command]
    root = str(Path(__file__).resolve().parents[2])
    env = os.environ | {"PYTHONPATH": root}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.slow
class TestFullDisk:
    @pytest.mark.parametrize("left", [0, 396_000])
    def test_a_nearly_full_disk_raises_an_alarm_before_callbacks_are_refused(
        self, tmp_path: Path, left: int
    ) -> None:
        report = on_a_small_disk(tmp_path, "tmpfs", left)
        assert (report["first"], report["ready"]["status"]) == (200, 200)
        assert report["nearly"]["status"] == 503
        assert {"database_unavailable", "disk_low"} <= {
            problem["name"] for problem in report["nearly"]["problems"]
        }
        assert 503 in report["sent"]
        for page in (report["page"], report["page_after"]):
            assert "Action required" in page
            assert "The disk of the database is nearly full" in page
        assert "callbacks failed in the last 10 minutes" in report["page_after"]
        assert any(line.startswith("FAIL") and "disk: nearly full" in line for line in report["check"])
        assert any(
            line.startswith("FAIL") and "full" in line and "database:" in line for line in report["check"]
        )
        assert "receiver_database_up 0.0" in report["metrics"]
        assert 'receiver_alarm{name="callbacks_failed"} 2.0' in report["metrics"]
        assert 'receiver_alarm{name="disk_low"} 2.0' in report["metrics"]
        assert report["after"]["status"] == 503
        if report["sign_in"][0] != 303:
            assert report["sign_in"][0] == 503
            assert "Sign-in is not possible now: the disk is full" in report["sign_in"][1]
            assert report["stranger"] == 303
        assert (report["recovered"]["status"], report["last"], report["in"]) == (200, 200, 303)

    def test_a_size_limit_below_a_full_disk_raises_an_alarm_too(self, tmp_path: Path) -> None:
        report = on_a_small_disk(tmp_path, "limit", 200_000)
        assert report["nearly"]["status"] == 200, "tried a moment ago, and there is room on the disk"
        assert 503 in report["sent"]
        assert report["after"]["status"] == 503, "tried in full, as callbacks have failed since"
        names = {problem["name"] for problem in report["after"]["problems"]}
        assert "callbacks_failed" in names
        assert 'receiver_alarm{name="callbacks_failed"} 2.0' in report["metrics"]


def test_a_failed_probe_is_tried_in_full_each_time_until_it_succeeds(runtime: Runtime) -> None:
    probe = WriteProbe(runtime.database, body_bytes=10**6)
    assert probe.problem() is None
    with runtime.database.write() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    fresh = WriteProbe(runtime.database, body_bytes=4 * 10**6)
    assert "full" in str(fresh.problem())
    with runtime.database.write() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    eventually(lambda: fresh.problem() is None)
