"""The console commands, as a person runs them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from receiver.simulator import FAULTS
from tests.conftest import environment
from tests.e2e.deployment import ROOT, deployed

RECEIVER = Path(sys.executable).with_name("receiver")


def run(*arguments: str, folder: Path | None = None, **changes: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RECEIVER_")}
    given = environment(folder, **changes) if folder else {}
    return subprocess.run(
        [str(RECEIVER), *arguments],
        cwd=ROOT,
        env=clean | given,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def result_of(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_demo_ends_with_every_task_as_the_simulator_knows_it() -> None:
    done = run("demo", "--tasks", "40", "--seed", "7", "--exit")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
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
    assert (report["tasks"], report["mismatched"]) == (40, 0)
    assert report["recovered"] > 0


def test_tasks_are_registered_listed_shown_and_made_due(tmp_path: Path) -> None:
    assert (
        result_of(run("register", "task-1", "--label", "mine", "--json", folder=tmp_path))["label"] == "mine"
    )
    assert [task["taskId"] for task in result_of(run("tasks", "--json", folder=tmp_path))] == ["task-1"]
    assert "task-1" in run("tasks", folder=tmp_path).stdout
    assert result_of(run("show", "task-1", folder=tmp_path))["task"]["registered"]
    assert result_of(run("poll", "task-1", "--json", folder=tmp_path))["nextPollAt"]
    missing = run("show", "nobody", folder=tmp_path)
    assert missing.returncode == 1
    assert "receiver register nobody" in missing.stderr


def test_rebuilding_changes_nothing_and_pruning_drops_only_what_is_old(tmp_path: Path) -> None:
    import requests

    with deployed(tmp_path) as (receiver,):
        for path in sorted((ROOT / "tests" / "payloads").glob("cb-*.json")):
            requests.post(receiver.callback_url, data=path.read_bytes(), timeout=20)
        before = receiver.get("/api/tasks?limit=200")
    assert len(before["tasks"]) > 5
    assert result_of(run("rebuild", "--json", folder=tmp_path)) == {"changed": []}
    assert result_of(run("prune", "--json", folder=tmp_path)) == {"dropped": 0}
    for _ in range(2):
        after = result_of(run("tasks", "--limit", "200", "--json", folder=tmp_path))
        assert after == before["tasks"]
        result_of(run("prune", "--json", folder=tmp_path, RETENTION_DAYS="0.0000001"))
        assert result_of(run("rebuild", "--json", folder=tmp_path)) == {"changed": []}


def test_check_tells_in_plain_words_what_is_wrong(tmp_path: Path) -> None:
    assert "RECEIVER_API_TOKENS" in run("check").stdout
    fresh = run("check", folder=tmp_path)
    assert fresh.returncode == 1
    assert "receiver upgrade" in fresh.stdout
    assert run("upgrade", folder=tmp_path).returncode == 0
    found = json.loads(run("check", "--json", folder=tmp_path).stdout)
    assert {one["name"]: one["ok"] for one in found} == {
        "settings": True, "database": True, "poller": False, "upstream": False,
    }  # fmt: skip


def test_settings_that_are_wrong_are_told_without_a_traceback() -> None:
    done = run("tasks")
    assert done.returncode == 1
    assert "RECEIVER_CALLBACK_TOKENS" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_simulators_faults_are_listed_and_checked() -> None:
    listed = run("simulator", "--list-faults").stdout
    assert all(name in listed for name in FAULTS)
    assert run("simulator", "--fault", "no-such-fault=1").returncode == 2
    assert run("simulator", "--fault", "callback-lost=2").returncode == 2


@pytest.mark.parametrize(
    "command",
    ["demo", "simulator", "check", "register", "tasks", "show", "poll", "rebuild", "prune", "upgrade"],
)
def test_every_command_explains_itself(command: str) -> None:
    assert "Usage" in run(command, "--help").stdout
