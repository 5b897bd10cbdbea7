"""The demo: the real server against the simulator, and every task compared with its truth."""

import contextlib
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import requests
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from receiver.core.observation import Source
from receiver.core.results import RefusalReason
from receiver.core.settlement import Outcome
from receiver.demo.comparison import find_mismatches
from receiver.demo.deployment import SPEED, Access, DemoError, serve_receiver
from receiver.simulator import POISONS, Simulator, SimulatorServer

TIMEOUT_S = 300.0
LATE_EVERY = 10  # one task in ten is registered only after its first callbacks may have come

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
    # Every tenth task is poisoned. Not "poison-code-401", as two of these in a row are a refused key, rightly; and not
    # "poison-other-product", since a task with such a record is no music task.
    **dict.fromkeys(set(POISONS) - {"poison-code-401", "poison-other-product"}, 0.1 / (len(POISONS) - 2)),
}
POISONED_CALLS = 3  # then record-info tells the truth, which is what is compared


@dataclass(frozen=True, kw_only=True)
class Report:
    """The demo's figures; `mismatched` tasks do not equal the simulator's truth."""

    tasks: int
    succeeded: int
    failed: int
    unresolved: int
    recovered: int
    lostCallbacks: int
    rejected: int
    mismatched: int


def run_demo(*, count: int, seed: int, stay: bool, console: Console) -> Report:
    """Run `count` tasks to their ends and compare them; with `stay`, keep serving until Ctrl-C."""
    simulator = Simulator(
        faults=FAULTS, speed=SPEED, seed=seed, api_key="demo-key", poisoned_calls=POISONED_CALLS
    )
    with (
        tempfile.TemporaryDirectory(prefix="receiver-demo-") as folder,
        SimulatorServer(simulator) as upstream,
        serve_receiver(Path(folder), upstream.url) as access,
        requests.Session() as session,
    ):
        session.trust_env = False
        _print(console, f"Upstream simulator: {upstream.url}")
        _print(console, f"Admin page: {access.url}/admin/")
        _print(console, f"Admin password: {access.admin_password}")
        _print(console, f"Callback URL: {access.callback_url}")
        task_ids = _submit(session, upstream.url, access, count)
        _wait_until_settled(session, access, count, console)
        mismatches = find_mismatches(session, upstream.url, access, task_ids)
        for task_id, parts in mismatches.items():
            _print(console, f"{task_id} differs in {', '.join(parts)}")
        report = _report(access.get(session, "/api/stats"), mismatched=len(mismatches))
        if stay:
            _serve_until_interrupted(console, report)
        return report


def _print(console: Console, words: str) -> None:
    """On one line, however narrow the terminal is: a URL can then be copied."""
    console.print(words, soft_wrap=True, markup=False)


def _submit(session: requests.Session, upstream_url: str, access: Access, count: int) -> Sequence[str]:
    """Start generations as an owner would, and register them; some late, when callbacks may have come."""
    task_ids: list[str] = []
    late: list[str] = []
    for number in range(count):
        generation = {
            "prompt": f"A song about the number {number}",
            "customMode": False,
            "instrumental": number % 3 == 0,
            "model": "V5",
            "callBackUrl": access.callback_url,
        }
        response = session.post(f"{upstream_url}/api/v1/generate", json=generation, timeout=10).json()
        task_ids.append(response["data"]["taskId"])
        if number % LATE_EVERY == LATE_EVERY - 1:
            late.append(task_ids[-1])
        else:
            _register(session, access, task_ids[-1], f"demo {number}")
    for task_id in late:
        _register(session, access, task_id, "registered late")
    return task_ids


def _register(session: requests.Session, access: Access, task_id: str, label: str) -> None:
    task = {"taskId": task_id, "label": label}
    session.post(f"{access.url}/api/tasks", json=task, headers=access.bearer, timeout=10).raise_for_status()


def _wait_until_settled(session: requests.Session, access: Access, count: int, console: Console) -> None:
    """Show a live table until every task is settled."""
    deadline = time.monotonic() + TIMEOUT_S
    with Live(console=console, refresh_per_second=4, transient=False) as live:
        while True:
            stats = access.get(session, "/api/stats")
            live.update(_table(stats, count))
            if sum(stats["tasks"].values()) >= count and not stats["tasks"]["in_progress"]:
                break
            if time.monotonic() > deadline:
                raise DemoError(f"Not every task was settled after {TIMEOUT_S:g} seconds: {stats}")
            time.sleep(0.25)
    if not console.is_terminal:  # there the table has no line end of its own
        console.line()


def _table(stats: Mapping[str, Any], count: int) -> Table:
    table = Table(title=f"{count} tasks, {SPEED:g} times as fast as real ones", show_header=False)
    table.add_column(min_width=12)
    table.add_column(min_width=60)
    settled = sum(number for outcome, number in stats["tasks"].items() if outcome != "in_progress")
    table.add_row("settled", ProgressBar(total=count, completed=settled, width=50))
    for name, counts in {"tasks": stats["tasks"], **stats["deliveries"]}.items():
        table.add_row(name, ", ".join(f"{kind} {number}" for kind, number in counts.items()))
    table.add_row("recovered", str(stats["recovered"]))
    table.add_row("upstream", stats["poller"]["trouble"] or stats["poller"]["state"])
    return table


def _report(stats: Mapping[str, Any], *, mismatched: int) -> Report:
    tasks = stats["tasks"]
    return Report(
        tasks=sum(tasks.values()),
        succeeded=tasks[Outcome.SUCCEEDED],
        failed=tasks[Outcome.FAILED],
        unresolved=tasks[Outcome.UNRESOLVED],
        recovered=stats["recovered"],
        lostCallbacks=stats["lostCallbacks"],
        rejected=stats["deliveries"].get(Source.CALLBACK, {}).get(RefusalReason.WRONG_TOKEN, 0),
        mismatched=mismatched,
    )


def _serve_until_interrupted(console: Console, report: Report) -> None:
    _print(console, f"Every task is settled: {asdict(report)}")
    _print(console, "Still serving; Ctrl-C ends it.")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)
