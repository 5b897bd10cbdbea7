"""Callbacks a second beside what people would write instead: `make bench`, or `python -m benchmarks.bench`."""

import json
import os
import random
import secrets
import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.contestants import Contestant, Kind, Server, admin_page_read, probe, serving
from benchmarks.wrk import MARKER, SCENARIOS, THREADS, Clients, Load, Scenario
from tests.servers.postgres import running_postgres


@dataclass(frozen=True, kw_only=True)
class Row:
    """One contestant in one scenario; each figure is a median over the rounds."""

    scenario: str
    contestant: str
    share: float
    least_share: float
    most_share: float
    a_second: float
    p50_ms: float
    p99_ms: float
    p99_ratio: float
    failed: int


@dataclass(frozen=True, kw_only=True)
class Options:
    folder: Path
    rounds: int
    slice_s: int
    clients: int
    fdatasync_ms: float


@click.command()
@click.option("--scenario", "names", type=click.Choice(list(SCENARIOS)), multiple=True)
@click.option("--contestant", "kinds", type=click.Choice([kind.value for kind in Kind]), multiple=True)
@click.option("--receiver", "sizes", type=(int, int), multiple=True, help="WORKERS THREADS of one more.")
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True)
@click.option("--slice", "slice_s", type=click.IntRange(1), default=2, show_default=True, help="Seconds.")
@click.option("--clients", type=click.IntRange(THREADS), default=64, show_default=True, help="At once.")
@click.option("--postgresql", is_flag=True, help="On a PostgreSQL out of a package instead of SQLite.")
@click.option("--fdatasync-ms", default=0.0, help="Make each sync of the disk take longer by this.")
@click.option("--json", "report", type=click.Path(path_type=Path), help="Write the rows to this file, too.")
def main(
    names: Sequence[str],
    kinds: Sequence[str],
    sizes: Sequence[tuple[int, int]],
    rounds: int,
    slice_s: int,
    clients: int,
    postgresql: bool,
    fdatasync_ms: float,
    report: Path | None,
) -> None:
    """Load each contestant for a moment, again and again, in any order: what else the machine does hits all alike.

    All choices are taken by default. Exits with 1 where a callback was answered 200 and is not stored.
    """
    if shutil.which("wrk") is None:
        raise click.ClickException("wrk makes the load: apt-get install wrk")
    console, rows = Console(width=130), list[Row]()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        options = Options(
            folder=folder, rounds=rounds, slice_s=slice_s, clients=clients, fdatasync_ms=fdatasync_ms
        )
        stack.enter_context(_slow_disk(folder, fdatasync_ms))
        new_database = stack.enter_context(_databases(folder, postgresql=postgresql))
        for name in names or SCENARIOS:
            scenario = SCENARIOS[name]
            chosen = [Contestant(kind=kind) for kind in scenario.kinds if kind in (kinds or Kind)]
            chosen += [Contestant(kind=Kind.RECEIVER, workers=each[0], threads=each[1]) for each in sizes]
            if not chosen:
                continue
            measured = _measure(scenario, chosen, new_database, options, console)
            found = list(_rows(name, measured))
            console.print(f"\n{scenario.summary}:", _table(found), sep="\n")
            rows += found
    if report:
        conditions = {
            "postgresql": postgresql,
            "fdatasync_ms": fdatasync_ms,
            "rounds": rounds,
            "clients": clients,
        }
        report.write_text(json.dumps(conditions | {"rows": [asdict(row) for row in rows]}, indent=1) + "\n")


@contextmanager
def _slow_disk(folder: Path, ms: float) -> Iterator[None]:
    """All that is started meanwhile syncs its files more slowly."""
    if not ms:
        yield
        return
    source, library = Path(__file__).with_name("slow_fdatasync.c"), folder / "slow_fdatasync.so"
    command = ["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True)
    folder.chmod(0o755)  # PostgreSQL's user loads it, too
    os.environ |= {"LD_PRELOAD": str(library), "SLOW_FDATASYNC_MS": str(ms)}
    try:
        yield
    finally:
        del os.environ["LD_PRELOAD"]


@contextmanager
def _databases(folder: Path, *, postgresql: bool) -> Iterator[Callable[[], str]]:
    """Makes a database, without any tables."""
    if not postgresql:
        yield lambda: f"sqlite:///{folder}/{secrets.token_hex(4)}.db"
        return
    with running_postgres(fsync=True) as postgres:
        yield lambda: postgres.new_database(empty=True)


def _measure(
    scenario: Scenario,
    contestants: Sequence[Contestant],
    new_database: Callable[[], str],
    options: Options,
    console: Console,
) -> Mapping[Contestant, Sequence[Load]]:
    """The loads of each round; one more comes first, to warm up, except for a burst after silence."""
    clients = Clients(scenario, options.folder, count=options.clients, seconds=options.slice_s)
    rounds = 1 if scenario.burst else options.rounds
    loads: dict[Contestant, list[Load]] = {contestant: [] for contestant in contestants}
    with ExitStack() as stack:
        servers: dict[Contestant, Server] = {}
        for contestant in track(contestants, "Starting", console=console, transient=True):
            started = serving(contestant, new_database, options.folder, busy=scenario.busy)
            servers[contestant] = stack.enter_context(started)
            probe(servers[contestant], clients.bodies[-1], MARKER, at_least_ms=options.fdatasync_ms)
        before = {contestant: server.stored() for contestant, server in servers.items()}
        for _ in track(range(rounds + (not scenario.burst)), "Loading", console=console, transient=True):
            for contestant in random.sample(contestants, k=len(contestants)):
                server = servers[contestant]
                read = scenario.busy and contestant.kind is Kind.RECEIVER
                with admin_page_read(server.site) if read else nullcontext():
                    loads[contestant].append(clients.load(server.callback_url))
        for contestant, server in servers.items():
            if server.database_url:
                stored = server.stored() - before[contestant]
                check_stored(contestant, loads[contestant], scenario, stored=stored)
    return {contestant: each[-rounds:] for contestant, each in loads.items()}


def check_stored(contestant: object, loads: Sequence[Load], scenario: Scenario, *, stored: int) -> None:
    """What is answered when a slice ends is stored, too, though `wrk` does not count it any more."""
    received, sent = sum(load.received for load in loads), sum(load.sent for load in loads)
    if not received * scenario.tasks <= stored <= sent:
        raise click.ClickException(
            f"{contestant}: {received} of {sent} are answered 200, {stored} rows are stored"
        )


def _rows(name: str, measured: Mapping[Contestant, Sequence[Load]]) -> Iterator[Row]:
    """A share is that of the first contestant in the same round."""
    base = next(iter(measured.values()))
    for contestant, loads in measured.items():
        pairs = list(zip(loads, base, strict=True))
        shares = [load.a_second / other.a_second for load, other in pairs]
        yield Row(
            scenario=name,
            contestant=str(contestant),
            share=statistics.median(shares),
            least_share=min(shares),
            most_share=max(shares),
            a_second=statistics.median(load.a_second for load in loads),
            p50_ms=statistics.median(load.p50_ms for load in loads),
            p99_ms=statistics.median(load.p99_ms for load in loads),
            p99_ratio=statistics.median(load.p99_ms / other.p99_ms for load, other in pairs),
            failed=sum(load.failed for load in loads),
        )


def _table(rows: Sequence[Row]) -> Table:
    names = ("", "share", "of rounds", "a second", "p50 ms", "p99 ms", "p99, times", "failed")
    table = Table(*names, box=box.MARKDOWN)
    for row in rows:
        rounds = f"{row.least_share:.2f}–{row.most_share:.2f}"
        times = (f"{row.p50_ms:.1f}", f"{row.p99_ms:.1f}", f"{row.p99_ratio:.1f}")
        table.add_row(
            row.contestant, f"{row.share:.2f}", rounds, f"{row.a_second:.0f}", *times, str(row.failed)
        )
    return table


if __name__ == "__main__":
    main()
