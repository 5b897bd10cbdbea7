"""Each worker of the real command stays on a core of its own, where there is one for each."""

import os
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import eventually
from tests.servers.processes import GUNICORN, Deployment, deployed

CORES = sorted(os.sched_getaffinity(0))[:2]
pytestmark = pytest.mark.skipif(len(CORES) < 2, reason="needs two cores")


def on_two_cores() -> list[str]:
    return ["taskset", "-c", ",".join(map(str, CORES)), *GUNICORN]


def cores_of(pid: int) -> frozenset[int]:
    """The cores that any thread of a process may use; none once it has ended."""
    with suppress(OSError):
        threads = [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]
        return frozenset().union(*map(os.sched_getaffinity, threads))
    return frozenset()


def spread(receiver: Deployment) -> Counter[frozenset[int]]:
    return Counter(map(cores_of, receiver.worker_pids))


@pytest.mark.parametrize("preload", [False, True])
def test_workers_are_spread_over_the_cores_also_after_a_reload_and_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preload: bool
) -> None:
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--preload" if preload else "")
    evenly = Counter({frozenset({core}): 2 for core in CORES})
    with deployed(tmp_path, command=on_two_cores(), WORKERS="4") as (receiver,):
        eventually(lambda: spread(receiver) == evenly)
        assert cores_of(receiver.process.pid) == set(CORES)

        first = set(receiver.worker_pids)
        receiver.process.send_signal(signal.SIGHUP)
        eventually(lambda: not first & set(receiver.worker_pids) and spread(receiver) == evenly)

        killed = receiver.worker_pids[1]
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: killed not in receiver.worker_pids and spread(receiver) == evenly)


@pytest.mark.parametrize("workers", ["1", "3"])
def test_where_the_cores_would_get_different_numbers_no_worker_is_bound(tmp_path: Path, workers: str) -> None:
    with deployed(tmp_path, command=on_two_cores(), WORKERS=workers) as (receiver,):
        eventually(lambda: spread(receiver) == {frozenset(CORES): int(workers)})
