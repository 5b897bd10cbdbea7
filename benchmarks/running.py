"""What it costs to run the receiver, beside callbacks: `python -m benchmarks.running`.

How soon it is ready, what it does when nothing happens, the memory of a worker, and polls a second beside a bare pool
of `requests`. With a million settled tasks, on SQLite.
"""

import logging
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import click
import requests
from requests.adapters import HTTPAdapter

from benchmarks.bulk import insert_tasks
from benchmarks.generations import SOMEBODY
from receiver.operations import register_task
from receiver.polling import Poller
from receiver.runtime import Runtime, open_runtime
from receiver.settings import load_settings
from receiver.upstream.client import RECORD_INFO, UpstreamClient
from tests.servers.processes import ROOT, Deployment, environment, eventually, free_port, wait_until_ready

AT_ONCE = 100_000
IDLE_S = 20
POLLS = 1000
POOL = 8
UPSTREAM = (
    "-m gunicorn --bind 127.0.0.1:{} --worker-class gthread --threads 16 --keep-alive 5 --no-control-socket"
)
QUOTA = "10000/second"


@click.command()
@click.option("--tasks", default=1_000_000, show_default=True, help="That are settled.")
@click.option("--rounds", default=5, show_default=True)
def main(tasks: int, rounds: int) -> None:
    """Print seconds to ready, CPU when idle, memory, and polls a second."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runtime = open_runtime(load_settings(environment(folder)), migrate=True)
        for first in range(0, tasks, AT_ONCE):
            connection = runtime.database.engine.connect().execution_options(immediate=True)
            with connection, connection.begin():
                count, at = min(AT_ONCE, tasks - first), datetime.now(UTC) - timedelta(days=3)
                insert_tasks(connection, count, at=at, first=first + 1)
        runtime.database.engine.dispose()
        click.echo(f"ready after {statistics.median(_ready_s(folder) for _ in range(rounds)):.2f} s")
        _at_rest(folder)
    for takes_ms in (0, 50):
        _polls(takes_ms, rounds)


def _polls(takes_ms: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name, _upstream(takes_ms) as url:
        settings = load_settings(environment(Path(name), UPSTREAM_URL=url, POLL_LIMIT=QUOTA))
        runtime = open_runtime(settings, migrate=True)
        pairs = [(_our_polls(runtime), _bare_polls(url)) for _ in range(rounds)]
    ours, bare = (statistics.median(each) for each in zip(*pairs, strict=True))
    share = statistics.median(one / other for one, other in pairs)
    what = f"{ours:.0f} a second, a bare pool {bare:.0f}: {share:.2f}"
    click.echo(f"polls, where an answer takes {takes_ms} ms: {what}")


def _ready_s(folder: Path) -> float:
    began = time.monotonic()
    deployment = Deployment(folder, 0, {})
    wait_until_ready(deployment)
    took_s = time.monotonic() - began
    deployment.stop()
    return took_s


def _at_rest(folder: Path) -> None:
    """With an upstream that has nothing to say: nothing is due."""
    deployment = Deployment(folder, 0, {})
    wait_until_ready(deployment)
    eventually(lambda: deployment.poller["holder"], why="somebody polls")
    pids = [deployment.process.pid, *deployment.worker_pids]
    before = sum(map(_cpu_s, pids))
    time.sleep(IDLE_S)
    share = (sum(map(_cpu_s, pids)) - before) / IDLE_S
    click.echo(f"idle: {share:.1%} of a core, all {len(pids)} processes together")
    for pid in pids[1:]:
        click.echo(
            f"a worker's memory: {_kb(pid, 'Rss') / 1000:.0f} MB, its share {_kb(pid, 'Pss') / 1000:.0f} MB"
        )
    deployment.stop()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _kb(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


@contextmanager
def _upstream(takes_ms: int) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, *UPSTREAM.format(port).split(), "benchmarks.peers.record_info:app"]
    variables = {**os.environ, "RECORD_INFO_MS": str(takes_ms)}
    process = subprocess.Popen(command, cwd=ROOT, env=variables, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: _answers(url), why="the upstream starts")
        yield url
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == 404
    except requests.ConnectionError:
        return False


def _bare_polls(url: str) -> float:
    """What anybody would write: a session, and a pool of threads that read JSON."""
    with requests.Session() as session, ThreadPoolExecutor(POOL) as pool:
        session.trust_env = False
        session.mount("http://", HTTPAdapter(pool_maxsize=POOL))

        def poll(task_id: str) -> None:
            response = session.get(url + RECORD_INFO, params={"taskId": task_id}, timeout=10)
            assert response.json()["data"]["taskId"] == task_id

        began = time.monotonic()
        list(pool.map(poll, [secrets.token_hex(16) for _ in range(POLLS)]))
        return POLLS / (time.monotonic() - began)


def _our_polls(runtime: Runtime) -> float:
    """The poller on tasks that are due; every one is settled by its answer."""
    settings, now = runtime.settings, datetime.now(UTC)
    for _ in range(POLLS):
        register_task(
            runtime, secrets.token_hex(16), label=None, now=now - timedelta(hours=1), actor=SOMEBODY
        )
    client = UpstreamClient(
        url=settings.upstream_url, api_key="key", timeout_s=settings.poll_timeout, concurrency=POOL
    )
    poller = Poller(
        settings=settings,
        database=runtime.database,
        intake=runtime.intake,
        client=client,
        name="benchmark:1:0",
        jitter=lambda: 0.0,
    )
    began, answered = time.monotonic(), 0
    while answered < POLLS:
        counts = poller.run_once(Event())
        assert counts.answered, "nothing is polled"
        answered += counts.answered
    took_s = time.monotonic() - began
    poller.give_back()
    client.close()
    return POLLS / took_s


if __name__ == "__main__":
    main()
