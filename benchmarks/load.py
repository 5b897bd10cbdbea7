"""How many callbacks a second, by workers and threads, through the real gunicorn: `python -m benchmarks.load`."""

import json
import os
import random
import re
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import requests
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sqlalchemy import create_engine, text

from benchmarks.site import ENVIRONMENT
from receiver.simulator.callbacks import stage_callbacks
from receiver.simulator.plan import draw_plan

ROOT = Path(__file__).resolve().parent.parent
TASK_ID = "0" * 32
PROMPT = "Warm tape, a slow upright piano, rain on a tin roof far away, and a low cello. " * 6
START_S = 60


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A way to run gunicorn; pinned is each worker on a core of its own."""

    workers: int
    threads: int
    pinned: bool = False

    def __str__(self) -> str:
        return f"{self.workers}x{self.threads}{' pinned' if self.pinned else ''}"


@dataclass(frozen=True, kw_only=True)
class Load:
    """What one variant did in one slice."""

    a_second: float
    p50_ms: float
    p99_ms: float
    failed: int


class VariantText(click.ParamType[Variant]):
    name = "WORKERSxTHREADS[p]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Variant:
        found = re.fullmatch(r"(\d+)x(\d+)(p?)", value)
        if found is None:
            self.fail("workers, an x, threads, and a p where each worker has a core of its own: 2x16, 4x32p")
        return Variant(workers=int(found[1]), threads=int(found[2]), pinned=bool(found[3]))


BASELINE = Variant(workers=2, threads=16)
VARIANTS = (
    *(Variant(workers=workers, threads=threads) for workers in (1, 2, 4) for threads in (8, 16, 32)),
    *(Variant(workers=2, threads=threads, pinned=True) for threads in (16, 32)),
)


@click.command()
@click.argument("variants", nargs=-1, type=VariantText())
@click.option("--rounds", type=click.IntRange(1), default=8, show_default=True)
@click.option(
    "--slice", "slice_s", type=click.IntRange(1), default=1, show_default=True, help="Seconds a variant."
)
@click.option("--clients", type=click.IntRange(2), default=32, show_default=True, help="Connections at once.")
@click.option("--postgresql", is_flag=True, help="On a PostgreSQL out of a package instead of SQLite.")
def main(variants: tuple[Variant, ...], rounds: int, slice_s: int, clients: int, postgresql: bool) -> None:
    """Load each variant for a moment, again and again, in any order: what else the machine does hits all alike.

    VARIANTS are such as 2x16 or 2x16p (each worker on a core of its own); without any, a dozen.
    """
    wrk = shutil.which("wrk")
    if wrk is None:
        raise click.ClickException("wrk makes the load: apt-get install wrk")
    console = Console(width=110)
    chosen = dict.fromkeys((BASELINE, *(variants or VARIANTS)))
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        (folder / "body.json").write_bytes(callback_body())
        urls = stack.enter_context(_databases(folder, len(chosen), postgresql=postgresql))
        servers = {
            variant: stack.enter_context(_serving(variant, folder, next(urls)))
            for variant in track(chosen, "Starting", console=console, transient=True)
        }
        measured: dict[Variant, list[Load]] = {variant: [] for variant in chosen}
        for turn in track(range(1 + rounds), "Loading", console=console, transient=True):
            for variant, url in random.sample(list(servers.items()), k=len(servers)):
                load = _load([wrk, f"-c{clients}", f"-d{slice_s}s"], url, folder)
                if turn:  # the first one warms up
                    measured[variant].append(load)
    console.print(_table(measured))


def callback_body() -> bytes:
    """A `complete` callback with two tracks, as large as the upstream's."""
    asked = {"prompt": PROMPT, "model": "V5", "instrumental": False, "customMode": False}
    rng = random.Random(7)
    plan = draw_plan(task_id=TASK_ID, request=asked, submitted_at=time.time(), rng=rng, faults={}, speed=1)
    return stage_callbacks(plan)[-1].body


@contextmanager
def _databases(folder: Path, count: int, *, postgresql: bool) -> Iterator[Iterator[str]]:
    """URLs of fresh databases."""
    if not postgresql:
        yield (f"sqlite:///{folder}/{number}.db" for number in range(count))
        return
    from tests.postgres import running_postgres

    with running_postgres() as postgres:
        engine = create_engine(postgres.new_database(empty=True), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:  # the tests turn it off, and a commit would cost nothing
            connection.execute(text("ALTER SYSTEM SET fsync = on"))
            connection.execute(text("SELECT pg_reload_conf()"))
        engine.dispose()
        yield (postgres.new_database() for _ in range(count))


@contextmanager
def _serving(variant: Variant, folder: Path, database_url: str) -> Iterator[str]:
    """The variant's address for callbacks, once it answers."""
    address = free_address()
    given = ENVIRONMENT | {
        "RECEIVER_BIND": address,
        "RECEIVER_WORKERS": str(variant.workers),
        "RECEIVER_THREADS": str(variant.threads),
        "RECEIVER_DATABASE_URL": database_url,
        "RECEIVER_POLLER": "off",
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.conf.py", "wsgi:app"]
    with (folder / f"{variant}.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=os.environ | given, stdout=log, stderr=log)  # noqa: S603  our own
    try:
        wait_until_ready(f"http://{address}/readyz", server)
        if variant.pinned:
            _pin_workers(server.pid)
        yield f"http://{address}/callbacks/{ENVIRONMENT['RECEIVER_CALLBACK_TOKENS']}"
    finally:
        server.terminate()
        server.wait()


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def wait_until_ready(url: str, server: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + START_S
    while server.poll() is None and time.monotonic() < ends:
        try:
            if requests.get(url, timeout=START_S).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise click.ClickException("the receiver did not start")


def _pin_workers(master: int) -> None:
    time.sleep(1)  # until all are there
    cores = sorted(os.sched_getaffinity(0))
    workers = Path(f"/proc/{master}/task/{master}/children").read_text(encoding="ascii").split()
    for number, worker in enumerate(workers):
        for thread in Path(f"/proc/{worker}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {cores[number % len(cores)]})


def _load(wrk: Sequence[str], url: str, folder: Path) -> Load:
    script = ["-s", str(Path(__file__).with_suffix(".lua")), "-t2", "--timeout", "30s", url]
    given = ["--", str(folder / "body.json"), TASK_ID, secrets.token_hex(8)]
    command = [*wrk, *script, *given]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
    return Load(**json.loads(told.splitlines()[-1]))


def _table(measured: Mapping[Variant, Sequence[Load]]) -> Table:
    names = ("workers × threads", "ratio", "of rounds", "a second", "p50 ms", "p99 ms", "failed")
    table = Table(*names, box=box.MARKDOWN)
    for variant, loads in measured.items():
        ratios = [load.a_second / base.a_second for load, base in zip(loads, measured[BASELINE], strict=True)]
        table.add_row(
            str(variant),
            f"{statistics.median(ratios):.2f}",
            f"{min(ratios):.2f}–{max(ratios):.2f}",
            f"{statistics.median(load.a_second for load in loads):.0f}",
            f"{statistics.median(load.p50_ms for load in loads):.0f}",
            f"{statistics.median(load.p99_ms for load in loads):.0f}",
            str(sum(load.failed for load in loads)),
        )
    return table


if __name__ == "__main__":
    main()
