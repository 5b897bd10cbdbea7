"""How many callbacks a second, by workers and threads, through the real gunicorn: `python -m benchmarks.load`."""

import json
import os
import random
import re
import secrets
import shutil
import statistics
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.generations import complete_callback
from benchmarks.postgres import running_postgres
from benchmarks.processes import deployed, eventually

TASK_ID = "0" * 32


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
    compared = dict.fromkeys((BASELINE, *(variants or VARIANTS)))
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        (folder / "body.json").write_bytes(complete_callback(TASK_ID))
        urls = stack.enter_context(_databases(folder, len(compared), postgresql=postgresql))
        servers = {
            variant: stack.enter_context(_serving(variant, folder, next(urls)))
            for variant in track(compared, "Starting", console=console, transient=True)
        }
        measured: dict[Variant, list[Load]] = {variant: [] for variant in compared}
        for turn in track(range(1 + rounds), "Loading", console=console, transient=True):
            for variant, url in random.sample(list(servers.items()), k=len(servers)):
                load = _load([wrk, f"-c{clients}", f"-d{slice_s}s"], url, folder)
                if turn:  # the first one warms up
                    measured[variant].append(load)
    console.print(_table(measured))


@contextmanager
def _databases(folder: Path, count: int, *, postgresql: bool) -> Iterator[Iterator[str]]:
    """URLs of fresh databases."""
    if not postgresql:
        yield (f"sqlite:///{folder}/{number}.db" for number in range(count))
        return
    with running_postgres(fsync=True) as postgres:
        yield (postgres.new_database() for _ in range(count))


@contextmanager
def _serving(variant: Variant, folder: Path, database_url: str) -> Iterator[str]:
    """The variant's address for callbacks, once it is ready."""
    workers, threads = str(variant.workers), str(variant.threads)
    with deployed(folder, WORKERS=workers, THREADS=threads, DATABASE_URL=database_url, POLLER="off") as (
        receiver,
    ):
        if variant.pinned:
            eventually(lambda: len(receiver.worker_pids) == variant.workers, why="all workers are there")
            _pin(receiver.worker_pids)
        yield receiver.callback_url


def _pin(workers: Sequence[int]) -> None:
    """Each worker to a core of its own, with all its threads."""
    cores = sorted(os.sched_getaffinity(0))
    for number, worker in enumerate(workers):
        for thread in Path(f"/proc/{worker}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {cores[number % len(cores)]})


def _load(wrk: Sequence[str], url: str, folder: Path) -> Load:
    script = ["-s", str(Path(__file__).with_suffix(".lua")), "-t2", "--timeout", "30s", url]
    command = [*wrk, *script, "--", str(folder / "body.json"), TASK_ID, secrets.token_hex(8)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Load(**json.loads(output.splitlines()[-1]))


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
