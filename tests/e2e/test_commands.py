"""The console commands, as a person runs them: most in this process, on a server that runs."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import pytest
import requests
from click.testing import CliRunner, Result
from sqlalchemy import text

from receiver.cli import main
from receiver.cli.parameters import TextType
from receiver.clock import utc_now
from receiver.intake import callback_delivery, poll_delivery
from receiver.runtime import open_runtime
from receiver.settings import EXAMPLE, NAMES, load_settings
from receiver.simulator import FAULTS
from receiver.store.database import Database
from tests.conftest import PAYLOADS, environment, eventually
from tests.servers.processes import ROOT, Deployment, deployed

RECEIVER = Path(sys.executable).with_name("receiver")


def run(*arguments: str, folder: Path | None = None, **changes: str) -> Result:
    given = environment(folder, **changes) if folder else {}
    return CliRunner().invoke(main, arguments, env=given)


def result_of(done: Result) -> Any:
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def start(*arguments: str, folder: Path | None = None, **more: Any) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RECEIVER_")}
    given = environment(folder) if folder else {}
    return subprocess.Popen(
        [str(RECEIVER), *arguments],
        cwd=ROOT,
        env=clean | given,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("commands")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Deployment]:
    with deployed(folder, POLL_TICK="0.2") as (receiver,):
        for path in sorted(PAYLOADS.glob("cb-*.json")):
            requests.post(receiver.callback_url, data=path.read_bytes(), timeout=20)
        yield receiver


@pytest.mark.longest
def test_the_demo_ends_with_every_task_as_the_simulator_knows_it() -> None:
    with start("demo", "--tasks", "24", "--seed", "7", "--exit", "--json") as demo:
        said, errors = demo.communicate(timeout=240)
    assert demo.returncode == 0, errors
    report = json.loads(said.splitlines()[-1])
    expected = {
        "tasks",
        "succeeded",
        "failed",
        "unresolved",
        "recovered",
        "lostCallbacks",
        "rejected",
        "mismatched",
    }
    assert report.keys() == expected
    assert (report["tasks"], report["mismatched"]) == (24, 0)
    assert report["recovered"] > 0


def test_tasks_are_registered_listed_shown_and_made_due(server: Deployment, folder: Path) -> None:
    assert result_of(run("register", "task-1", "--label", "mine", "--json", folder=folder))["label"] == "mine"
    assert result_of(run("tasks", "--search", "mine", "--json", folder=folder))[0]["taskId"] == "task-1"
    assert "task-1" in run("tasks", folder=folder).stdout
    assert result_of(run("show", "task-1", "--json", folder=folder))["task"]["registered"]
    assert "registered      yes" in run("show", "task-1", folder=folder).stdout
    assert result_of(run("poll", "task-1", "--json", folder=folder))["nextPollAt"]
    assert "There are more" in run("tasks", "--limit", "1", folder=folder).stderr
    missing = run("show", "nobody", folder=folder)
    assert missing.exit_code == 1
    assert "receiver register nobody" in missing.stderr
    assert run("show", "a b", folder=folder).exit_code == 2
    too_long = run("register", "task-2", "--label", "x" * 201, folder=folder)
    assert (too_long.exit_code, "200 characters" in too_long.stderr) == (2, True)


PRINT_LOADED = """
import sys
from receiver.cli import main
main(["register", "task-1", "--label", "mine"], standalone_mode=False)
print(*sorted({name.partition(".")[0] for name in sys.modules} | set(sys.modules)))
"""


def test_a_command_about_tasks_loads_neither_the_poller_nor_the_web_server(tmp_path: Path) -> None:
    assert run("upgrade", folder=tmp_path).exit_code == 0
    ran = subprocess.run(
        [sys.executable, "-c", PRINT_LOADED],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    registered, loaded = ran.stdout.splitlines()
    assert "registered" in registered
    unneeded = {
        "apscheduler",
        "requests",
        "urllib3",
        "flask",
        "gunicorn",
        "receiver.polling",
        "receiver.upstream",
    }
    assert not unneeded & set(loaded.split())


def test_as_many_tasks_are_listed_as_were_asked_for_however_large_they_are(tmp_path: Path) -> None:
    intake = open_runtime(load_settings(environment(tmp_path)), migrate=True).intake
    rows = [{"id": f"{number}", "prompt": "x" * 16_000} for number in range(32)]
    for number in range(10):  # of 0.5 MB each, which is more than a page has
        data = {"taskId": f"{number}", "status": "PENDING", "response": {"sunoData": rows}}
        body = json.dumps({"code": 200, "data": data}).encode()
        intake.accept([poll_delivery(body, f"{number}", now=utc_now(), secrets=())])
    listed = [result_of(run("tasks", *limit, "--json", folder=tmp_path)) for limit in ((), ("--limit", "9"))]
    assert [[task["taskId"] for task in page] for page in listed] == [
        [f"{number}" for number in reversed(range(last, 10))] for last in (0, 1)
    ]


def test_rebuilding_changes_nothing_and_pruning_drops_only_what_is_old(
    server: Deployment, folder: Path
) -> None:
    before = server.get("/api/tasks?limit=200")["tasks"]
    assert len(before) > 5
    rebuilt = result_of(run("rebuild", "--json", folder=folder))
    assert rebuilt["tasks"] >= len(before)
    assert (rebuilt["changed"], rebuilt["taskIds"]) == (0, [])
    assert result_of(run("prune", "--json", folder=folder)) == {"dropped": 0}
    assert result_of(run("prune", "--json", folder=folder, RETENTION_DAYS="0.0000001"))["dropped"] > 0
    assert result_of(run("rebuild", "--json", folder=folder))["changed"] == 0
    changing = ("nextPollAt", "lastPolledAt", "polls")
    after = server.get("/api/tasks?limit=200")["tasks"]
    assert [
        {name: value for name, value in task.items() if name not in changing} for task in after
    ] == [{name: value for name, value in task.items() if name not in changing} for task in before]  # fmt: skip


def test_check_finds_its_way_back_from_outside(server: Deployment, folder: Path) -> None:
    done = run("check", "--url", server.url, "--json", folder=folder)
    found = json.loads(done.stdout)
    is_known = {
        "polling"
    }  # by then the poller may know as well that the upstream of these tests is not there
    levels = [(finding["name"], finding["level"]) for finding in found]
    assert {name: level for name, level in levels if level != "warning" and name not in is_known} == {
        "settings": "ok", "disk": "ok", "database": "ok", "poller": "ok", "callback URL": "ok",
        "upstream": "FAIL",
    }  # fmt: skip
    details = " ".join(finding["detail"] for finding in found)
    for words in (
        "reaches this receiver",
        "use https://",
        "the upstream cannot reach it",
        "/readyz is public",
    ):
        assert words in details
    assert done.exit_code == 1


def test_check_sees_a_receiver_that_has_another_database(server: Deployment, tmp_path: Path) -> None:
    assert run("upgrade", folder=tmp_path).exit_code == 0
    said = run("check", "--url", server.url, folder=tmp_path, POLL_TICK="0.1").stdout
    assert "one with another database" in said


def test_a_backup_under_load_holds_all_that_was_acknowledged_before_it(
    server: Deployment, folder: Path, tmp_path: Path
) -> None:
    body = {"code": 200, "data": {"callbackType": "text", "data": [{"id": "a", "title": "x" * 20_000}]}}
    acknowledged: list[str] = []
    refused: list[object] = []
    slowest = [0.0]
    stop = threading.Event()

    def send(thread: int) -> None:
        with requests.Session() as session:
            session.trust_env = False
            for number in range(10_000):
                task_id = f"load-{thread}-{number}"
                body_of_it = {"code": 200, "data": body["data"] | {"task_id": task_id}}  # type: ignore[operator]
                began = time.monotonic()
                answer = session.post(server.callback_url, json=body_of_it, timeout=20)
                slowest[0] = max(slowest[0], time.monotonic() - began)
                (acknowledged if answer.ok else refused).append(task_id)
                if stop.is_set():
                    return

    senders = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for sender in senders:
        sender.start()
    eventually(lambda: len(acknowledged) > 200)
    before = set(acknowledged)
    backup = result_of(run("backup", str(tmp_path / "copy.db"), "--json", folder=folder))
    stop.set()
    for sender in senders:
        sender.join()
    assert not refused
    assert slowest[0] < 4, "the upstream waits 15 seconds"
    assert backup["deliveries"] >= len(before)
    in_use = run("restore", str(tmp_path / "copy.db"), folder=folder)
    assert in_use.exit_code == 1
    assert "stop the receiver first" in in_use.stderr
    fresh = tmp_path / "fresh"
    restored = result_of(run("restore", str(tmp_path / "copy.db"), "--json", folder=fresh))
    assert {name: restored[name] for name in ("tasks", "deliveries")} == {
        name: backup[name] for name in ("tasks", "deliveries")
    }
    database = Database(f"sqlite:///{fresh}/receiver.db")
    with database.read() as connection:
        with_body = set(connection.scalars(text("SELECT task_id FROM delivery WHERE body IS NOT NULL")))
    database.engine.dispose()
    assert not before - with_body


def test_a_reader_who_leaves_early_is_no_failure_to_report(server: Deployment, folder: Path) -> None:
    with start("tasks", "--json", folder=folder) as command:
        assert command.stdout
        assert command.stderr
        command.stdout.close()
        assert command.stderr.read() == ""


def test_check_tells_in_plain_words_what_is_wrong(tmp_path: Path) -> None:
    assert "RECEIVER_API_TOKENS" in run("check").stdout
    fresh = run("check", folder=tmp_path)
    assert fresh.exit_code == 1
    assert "receiver upgrade" in fresh.stdout
    assert not list(tmp_path.iterdir()), "looking makes nothing"
    assert result_of(run("upgrade", "--json", folder=tmp_path))["from"] is None
    assert "Created the tables" in run("upgrade", folder=tmp_path / "another").stdout
    assert "already" in run("upgrade", folder=tmp_path).stdout
    found = json.loads(run("check", "--json", folder=tmp_path).stdout)
    assert {finding["name"]: finding["ok"] for finding in found} == {
        "settings": True, "disk": True, "database": True, "poller": False, "upstream": False, "callback URL": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("version", "advice"),
    [("0001", "run `receiver upgrade` first"), ("9999", "Install that one, or restore")],
)
def test_a_command_leaves_tables_of_another_version_alone(tmp_path: Path, version: str, advice: str) -> None:
    run("upgrade", folder=tmp_path)
    database = Database(f"sqlite:///{tmp_path}/receiver.db")
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
    for command in (("tasks",), ("register", "t"), ("prune",), ("rebuild",)):
        done = run(*command, folder=tmp_path)
        assert (done.exit_code, advice in done.stderr) == (1, True), done.stderr
    assert json.loads(run("check", "--json", folder=tmp_path).stdout)[2]["level"] == "FAIL"
    with database.read() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == version
    database.engine.dispose()


def test_what_keeps_a_command_from_working_is_said_without_a_traceback(tmp_path: Path) -> None:
    missing = run("tasks")
    assert missing.exit_code == 1
    assert "RECEIVER_CALLBACK_TOKENS" in missing.stderr
    nowhere = run("tasks", folder=tmp_path)
    assert "There is no database" in nowhere.stderr
    assert not list(tmp_path.iterdir())
    postgres = {"DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:9/none"}
    assert "Database unavailable" in run("tasks", folder=tmp_path, **postgres).stderr
    assert "pg_dump" in run("backup", str(tmp_path / "a.db"), folder=tmp_path, **postgres).stderr
    assert "pg_restore" in run("restore", str(tmp_path / "a.db"), folder=tmp_path, **postgres).stderr


def test_the_simulators_faults_are_listed_and_checked() -> None:
    assert result_of(run("simulator", "--list-faults", "--json")).keys() == FAULTS.keys()
    assert all(name in run("simulator", "--list-faults").stdout for name in FAULTS)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--fault", "no-such-fault=1", "--list-faults"),
        ("--fault", "callback-lost=2", "not between 0 and 1"),
        ("--fault", "callback-lost=nan", "not between 0 and 1"),
        ("--fault", "callback-lost", "is not NAME=PROBABILITY"),
        ("--fault", "callback-lost=", "is not NAME=PROBABILITY"),
        ("--fault", "callback-lost=often", "is not NAME=PROBABILITY"),
        ("--fault", "", "is not NAME=PROBABILITY"),
        ("--speed", "0", "x>0"),
        ("--speed", "-1", "x>0"),
        ("--port", "65536", "0<=x<=65535"),
        ("--port", "-1", "0<=x<=65535"),
    ],
)
def test_a_wrong_option_of_the_simulator_is_named(option: str, value: str, words: str) -> None:
    done = run("simulator", option, value)
    assert done.exit_code == 2, done.output
    assert option in done.stderr
    assert words in " ".join(done.stderr.split())


@pytest.mark.parametrize("url", ["", "mysql://x/y", "sqlite://", "c.db", "postgresql+psycopg://u@h:0/x"])
def test_a_wrong_target_of_a_copy_is_named_as_the_option_that_it_is(tmp_path: Path, url: str) -> None:
    run("upgrade", folder=tmp_path)
    done = run("copy", "--to", url, folder=tmp_path)
    assert done.exit_code == 2, done.output
    assert "--to" in done.stderr
    assert "RECEIVER_DATABASE_URL" not in done.stderr


def test_a_database_named_in_a_file_is_copied_too(tmp_path: Path) -> None:
    run("upgrade", folder=tmp_path)
    (tmp_path / "url").write_text(f"sqlite:///{tmp_path}/receiver.db", encoding="utf-8")
    given = {"DATABASE_URL": "", "DATABASE_URL_FILE": str(tmp_path / "url")}
    done = run("copy", "--to", f"sqlite:///{tmp_path}/copy.db", folder=tmp_path, **given)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "copy.db").exists()


def test_a_file_in_the_way_of_a_backup_is_overwritten_only_by_force(tmp_path: Path) -> None:
    run("upgrade", folder=tmp_path)
    target = tmp_path / "copy.db"
    target.write_text("mine", encoding="utf-8")
    refused = run("backup", str(target), folder=tmp_path)
    assert (refused.exit_code, "--force" in refused.stderr, target.read_text(encoding="utf-8")) == (
        1,
        True,
        "mine",
    )
    assert run("backup", str(target), "--force", folder=tmp_path).exit_code == 0


def test_what_came_from_outside_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    run("upgrade", folder=tmp_path)
    run("register", "[b]x", "--label", "order [17] [/b]", folder=tmp_path)
    runtime = open_runtime(load_settings(environment(tmp_path)), migrate=True)
    body = {
        "callbackType": "text",
        "task_id": "[b]x",
        "data": [{"id": "a", "title": "\x1b]0;Мир\x07 \u202e\n東\u3000京"}],
    }
    raw = json.dumps({"code": 200, "data": body}).encode()
    runtime.intake.accept([callback_delivery(raw, now=utc_now(), secrets=())])
    runtime.database.engine.dispose()
    listed = run("tasks", folder=tmp_path)
    assert listed.exit_code == 0, listed.output
    assert "[b]x" in listed.stdout
    assert "order [17] [/b]" in listed.stdout
    shown = run("show", "[b]x", folder=tmp_path).stdout
    assert not set(shown) & {"\x1b", "\x07", "\u202e"}
    assert "東\u3000京" in shown
    elsewhere = os.environ | environment(tmp_path) | {"PYTHONIOENCODING": "latin-1"}
    for arguments in (("show", "[b]x"), ("tasks",)):
        done = subprocess.run([str(RECEIVER), *arguments], env=elsewhere, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b""), done.stderr


@contextmanager
def shut_out(folder: Path) -> Iterator[None]:
    """As a user who may not enter the folder."""
    folder.chmod(0)
    as_root = os.geteuid() == 0
    if as_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if as_root:
            os.seteuid(0)
        folder.chmod(0o700)


def test_who_may_not_read_gets_an_error_and_what_is_made_is_for_its_owner(tmp_path: Path) -> None:
    place = tmp_path / "data"
    before = os.umask(0o022)
    run("upgrade", folder=place)
    assert os.umask(before) == 0o022
    assert (place / "receiver.db").stat().st_mode & 0o077 == 0
    with shut_out(place):
        for arguments in (("tasks",), ("backup", str(tmp_path / "copy.db"))):
            done = run(*arguments, folder=place)
            assert done.exit_code == 1
            assert f"{place}/receiver.db: Permission denied" in done.stderr
        found = json.loads(run("check", "--json", folder=place).stdout)
    assert "run this as the server's user" in next(
        finding["detail"] for finding in found if finding["level"] == "FAIL"
    )


def test_the_settings_can_be_checked_alone(tmp_path: Path) -> None:
    (found,) = result_of(run("check", "--settings", "--json", folder=tmp_path))
    assert (found["name"], found["level"]) == ("settings", "ok")
    wrong = run("check", "--settings", folder=tmp_path, POLL_TICK="no")
    assert (wrong.exit_code, "RECEIVER_POLL_TICK" in wrong.stdout) == (1, True)
    both = run("check", "--settings", "--url", "https://receiver.example.org", folder=tmp_path)
    assert (both.exit_code, "--url" in both.stderr) == (2, True)
    assert not list(tmp_path.iterdir())


def test_the_settings_are_listed_as_a_file_and_as_json() -> None:
    assert run("settings").stdout == EXAMPLE.read_text(encoding="utf-8")
    listed = result_of(run("settings", "--json"))
    assert sorted(listed) == NAMES
    required = {name: value for name, value in environment(Path("x")).items() if not listed[name]}
    assert load_settings(listed | required) == load_settings(required)


def test_a_message_about_settings_names_a_command_that_lists_them() -> None:
    for arguments in (("tasks",), ("upgrade",), ("check", "--settings")):
        assert "`receiver settings` lists all" in run(*arguments).output


def test_the_version_is_printed() -> None:
    assert version("receiver") in run("--version").stdout


def test_a_simulators_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("simulator", "--port", str(port))
    assert (done.exit_code, f"cannot listen on 127.0.0.1:{port}" in done.stderr) == (1, True), done.output


@pytest.mark.parametrize("name", main.commands)
def test_every_command_explains_itself(name: str) -> None:
    output = run(name, "--help").stdout
    assert f"receiver {name}" in output.partition("Example:")[2]
    command = main.commands[name]
    short = command.get_short_help_str(60)
    assert not short.endswith("..."), f"the first sentence is cut in the list of commands: {short}"
    assert name == "serve" or any("--json" in option.opts for option in command.params)
    assert all(option.help for option in command.params if isinstance(option, click.Option))


TEXT_OPTIONS = [
    (name, option.opts[0])
    for name, command in main.commands.items()
    for option in command.params
    if isinstance(option.type, (click.types.StringParamType, TextType))
]


@pytest.mark.parametrize(("name", "option"), TEXT_OPTIONS)
def test_an_argument_that_is_no_text_is_named_without_a_traceback(
    name: str, option: str, folder: Path
) -> None:
    """A terminal passes any bytes; Python stands half a surrogate pair for each that is not UTF-8."""
    task = ["odd"] if name == "register" else []
    for value in ("\udcff", "caf\udce9", "\ud83d"):
        done = run(name, *task, option, value, folder=folder)
        assert (done.exit_code, f"'{option}': must be text in UTF-8" in done.stderr) == (2, True), done.output
