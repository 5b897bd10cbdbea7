"""The demo: the real gunicorn command against the simulator, and every task compared with the truth."""

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import requests
from rich.console import Console
from rich.live import Live
from rich.table import Table

from receiver.core.observation import TRACK_FIELDS
from receiver.core.payloads.fields import Moment
from receiver.simulator import Simulator, SimulatorServer

PROJECT = Path(__file__).resolve().parent.parent
SPEED = 40.0  # a generation of 160 seconds takes 4
LONGEST_S = 300.0
LATE_EVERY = 10  # every so manieth task is registered only after its first callbacks may have come

FAULTS: Mapping[str, float] = {
    "callback-lost": 0.15,
    "all-callbacks-lost": 0.1,
    "callback-doubled": 0.2,
    "callbacks-reordered": 0.2,
    "callback-delayed": 0.1,
    "callback-malformed": 0.1,
    "callback-forged": 0.1,
    "callback-exception": 0.1,
    "callback-exception-empty": 0.05,
    "create-task-failed": 0.03,
    "generate-audio-failed": 0.05,
    "sensitive-word": 0.03,
    "success-without-urls": 0.05,
    "not-yet": 0.2,
    "stuck": 0.02,
    "rate-limited": 0.01,
    "maintenance": 0.005,
    "server-error": 0.01,
    "html": 0.005,
}


class DemoError(Exception):
    """The demo could not run; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """The demo's figures; `mismatched` tasks do not equal the simulator's truth."""

    tasks: int
    succeeded: int
    failed: int
    unresolved: int
    recovered: int
    lostCallbacks: int  # noqa: N815  these are the contract's names
    rejected: int
    mismatched: int


@dataclass(frozen=True, kw_only=True)
class Access:
    """Where the demo's receiver is, and what opens it."""

    url: str
    callback_token: str
    api_token: str
    admin_password: str

    @property
    def callback_url(self) -> str:
        return f"{self.url}/callbacks/{self.callback_token}"


def run_demo(*, count: int, seed: int, stay: bool, console: Console) -> Report:
    """Run `count` tasks to their ends and compare them; with `stay`, keep serving until Ctrl-C."""
    simulator = Simulator(faults=FAULTS, speed=SPEED, seed=seed, api_key="demo-key")
    with (
        tempfile.TemporaryDirectory(prefix="receiver-demo-") as folder,
        SimulatorServer(simulator) as upstream,
        _receiver(Path(folder), upstream.url) as access,
        requests.Session() as session,
    ):
        session.trust_env = False
        console.print(f"Upstream simulator: {upstream.url}   Admin page: {access.url}/admin/")
        console.print(f"Admin password: {access.admin_password}   Callback URL: {access.callback_url}")
        task_ids = _submit(session, upstream.url, access, count)
        _watch(session, access, count, console)
        wrong = _mismatches(session, upstream.url, access, task_ids)
        for task_id, parts in wrong.items():
            console.print(f"[red]{task_id} differs in {', '.join(parts)}[/]")
        report = _report(_get(session, access, "/api/stats"), mismatched=len(wrong))
        if stay:
            _stay(console, report)
        return report


@contextlib.contextmanager
def _receiver(folder: Path, upstream_url: str) -> Iterator[Access]:
    """The documented command on SQLite, in a process of its own."""
    if not (PROJECT / "wsgi.py").exists():
        raise DemoError("Run the demo from a checkout of the project: it starts the command of its wsgi.py.")
    port = _free_port()
    access = Access(
        url=f"http://127.0.0.1:{port}",
        callback_token=secrets.token_urlsafe(24),
        api_token=secrets.token_urlsafe(24),
        admin_password=secrets.token_urlsafe(9),
    )
    log_path = folder / "receiver.log"
    command = [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.conf.py", "wsgi:app"]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command, cwd=PROJECT, env=_environment(folder, upstream_url, port, access), stdout=log, stderr=log
        )
        try:
            _wait_until_ready(access, process, log_path)
            yield access
        finally:
            process.terminate()
            process.wait(timeout=60)


def _environment(folder: Path, upstream_url: str, port: int, access: Access) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RECEIVER_")}
    return inherited | {
        "RECEIVER_BIND": f"127.0.0.1:{port}",
        "RECEIVER_DATABASE_URL": f"sqlite:///{folder}/receiver.db",
        "RECEIVER_UPSTREAM_URL": upstream_url,
        "RECEIVER_UPSTREAM_API_KEY": "demo-key",
        "RECEIVER_CALLBACK_TOKENS": access.callback_token,
        "RECEIVER_API_TOKENS": access.api_token,
        "RECEIVER_ADMIN_PASSWORD": access.admin_password,
        "RECEIVER_SECRET_KEY": secrets.token_urlsafe(32),
        # As much faster as the simulator's generations are.
        "RECEIVER_CALLBACK_GRACE": str(90 / SPEED),
        "RECEIVER_POLL_INTERVAL": "1",
        "RECEIVER_POLL_MAX_INTERVAL": "8",
        "RECEIVER_POLL_TICK": "0.25",
        "RECEIVER_POLL_LIMIT": "20/second",
        "RECEIVER_GIVE_UP_AFTER": "45",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(access: Access, process: subprocess.Popen[bytes], log_path: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(requests.ConnectionError):
            if requests.get(f"{access.url}/readyz", timeout=5).ok:
                return
        time.sleep(0.1)
    raise DemoError(f"The receiver did not start:\n{log_path.read_text(errors='replace')[-2000:]}")


def _submit(session: requests.Session, upstream_url: str, access: Access, count: int) -> Sequence[str]:
    """Start generations as an owner would, and register them; some late, when callbacks may have come."""
    task_ids: list[str] = []
    late: list[str] = []
    for number in range(count):
        wanted = {
            "prompt": f"A song about the number {number}",
            "customMode": False,
            "instrumental": number % 3 == 0,
            "model": "V5",
            "callBackUrl": access.callback_url,
        }
        answer = session.post(f"{upstream_url}/api/v1/generate", json=wanted, timeout=10).json()
        task_ids.append(answer["data"]["taskId"])
        if number % LATE_EVERY == LATE_EVERY - 1:
            late.append(task_ids[-1])
        else:
            _register(session, access, task_ids[-1], f"demo {number}")
    for task_id in late:
        _register(session, access, task_id, "registered late")
    return task_ids


def _register(session: requests.Session, access: Access, task_id: str, label: str) -> None:
    told = {"taskId": task_id, "label": label}
    session.post(f"{access.url}/api/tasks", json=told, headers=_bearer(access), timeout=10).raise_for_status()


def _watch(session: requests.Session, access: Access, count: int, console: Console) -> None:
    """Show a live table until every task is settled."""
    deadline = time.monotonic() + LONGEST_S
    with Live(console=console, refresh_per_second=4, transient=False) as live:
        while True:
            stats = _get(session, access, "/api/stats")
            live.update(_table(stats, count))
            if sum(stats["tasks"].values()) >= count and not stats["tasks"]["in_progress"]:
                return
            if time.monotonic() > deadline:
                raise DemoError(f"Not every task was settled after {LONGEST_S:g} seconds: {stats}")
            time.sleep(0.25)


def _table(stats: Mapping[str, Any], count: int) -> Table:
    table = Table(title=f"{count} tasks, {SPEED:g} times as fast as real ones")
    for name in (
        "in progress",
        "succeeded",
        "failed",
        "unresolved",
        "recovered",
        "callbacks",
        "polls",
        "upstream",
    ):
        table.add_column(name, justify="right")
    told, by_outcome = stats["deliveries"], stats["tasks"]
    table.add_row(
        *(str(by_outcome[name]) for name in ("in_progress", "succeeded", "failed", "unresolved")),
        str(stats["recovered"]),
        ", ".join(f"{name} {n}" for name, n in sorted(told.get("callback", {}).items())),
        ", ".join(f"{name} {n}" for name, n in sorted(told.get("poll", {}).items())),
        stats["poller"]["trouble"] or stats["poller"]["state"],
    )
    return table


def _mismatches(
    session: requests.Session, upstream_url: str, access: Access, task_ids: Sequence[str]
) -> Mapping[str, Sequence[str]]:
    truths = session.get(f"{upstream_url}/simulator/tasks", timeout=30).json()["tasks"]
    by_id = {truth["taskId"]: truth for truth in truths}
    compared = {key: _differences(by_id[key], _get(session, access, f"/api/tasks/{key}")) for key in task_ids}
    return {key: parts for key, parts in compared.items() if parts}


def _differences(truth: Mapping[str, Any], task: Mapping[str, Any]) -> Sequence[str]:
    """Which parts of the reconciled state are not as the simulator knows them."""
    names = ["outcome", "status"] + (["errorCode", "errorMessage"] if truth["outcome"] == "failed" else [])
    wrong = [f"{name} ({task[name]!r}, not {truth[name]!r})" for name in names if task[name] != truth[name]]
    rows = [_comparable(row) for row in task["tracks"]]
    true_rows = [_comparable(_as_reconciled(row)) for row in truth["tracks"]]
    if truth["outcome"] == "succeeded" and sorted(rows) != sorted(true_rows):
        wrong.append("tracks")
    return wrong


def _as_reconciled(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**row, "createTime": Moment().deserialize(row["createTime"]), "duration": float(row["duration"])}


def _comparable(row: Mapping[str, Any]) -> str:
    return repr([row[name] or None for name in TRACK_FIELDS])


def _report(stats: Mapping[str, Any], *, mismatched: int) -> Report:
    tasks = stats["tasks"]
    return Report(
        tasks=sum(tasks.values()),
        succeeded=tasks["succeeded"],
        failed=tasks["failed"],
        unresolved=tasks["unresolved"],
        recovered=stats["recovered"],
        lostCallbacks=stats["lostCallbacks"],
        rejected=stats["deliveries"].get("callback", {}).get("wrong_token", 0),
        mismatched=mismatched,
    )


def _stay(console: Console, report: Report) -> None:
    console.print(f"Every task is settled: {asdict(report)}")
    console.print("Still serving; Ctrl-C ends it.")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)


def _get(session: requests.Session, access: Access, path: str) -> Any:
    answer = session.get(f"{access.url}{path}", headers=_bearer(access), timeout=30)
    answer.raise_for_status()
    return answer.json()


def _bearer(access: Access) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {access.api_token}"}
