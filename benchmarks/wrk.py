"""What the clients send, and `wrk` which sends it."""

import json
import secrets
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contestants import CUT_SHORT, WHOLE, Kind
from benchmarks.generations import callbacks

MARKER = "0" * 32
BURST_S = 120
THREADS = 2
SCRIPT = Path(__file__).with_suffix(".lua")


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What the clients send; without `clients` as many as the command says, without `burst` for as long as it says.

    `tasks` are at least stored for each callback that is answered 200.
    """

    summary: str
    kinds: Sequence[Kind] = (Kind.BARE, Kind.RECEIVER)
    stages: int = 1
    same: bool = False
    tasks: float = 1
    clients: int | None = None
    burst: int = 0
    busy: bool = False


SCENARIOS = {
    "new": Scenario(summary="complete callbacks, each of a new task", kinds=WHOLE),
    "parts": Scenario(
        summary="the receiver, answering after a part of the work",
        kinds=(Kind.BARE, *CUT_SHORT, Kind.RECEIVER),
    ),
    "stages": Scenario(summary="text, first and complete of the same tasks in turn", stages=3, tasks=1 / 3),
    "duplicates": Scenario(summary="one callback again and again", same=True, tasks=0),
    "idle": Scenario(summary="one client, who waits for each answer", clients=1),
    "busy": Scenario(summary="beside the poller and the admin page", busy=True),
    "burst": Scenario(summary="20,000 new tasks after silence", burst=20_000),
}


@dataclass(frozen=True, kw_only=True)
class Load:
    """What one server did in one slice, as `wrk.lua` reports it."""

    a_second: float
    p50_ms: float
    p99_ms: float
    failed: int
    received: int
    sent: int


class Clients:
    """Those of one scenario: `count` at once, for some seconds each time, unless the scenario says otherwise."""

    def __init__(self, scenario: Scenario, folder: Path, *, count: int, seconds: int) -> None:
        self.bodies = callbacks(MARKER)[-scenario.stages :]
        files = [folder / f"{number}.json" for number in range(scenario.stages)]
        for file, body in zip(files, self.bodies, strict=True):
            file.write_bytes(body)
        count = scenario.clients or count
        threads = min(count, THREADS)
        duration = BURST_S if scenario.burst else seconds
        self._wrk = [
            "wrk",
            f"-c{count}",
            f"-d{duration}s",
            f"-t{threads}",
            "--timeout",
            "30s",
            "-s",
            str(SCRIPT),
        ]
        how = "same" if scenario.same else "new"
        self._arguments = [how, str(scenario.burst // threads), *map(str, files)]

    def load(self, url: str) -> Load:
        command = [*self._wrk, url, "--", MARKER, secrets.token_hex(8), *self._arguments]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return Load(**json.loads(output.splitlines()[-1]))
