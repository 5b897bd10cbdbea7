"""The job that must never stop in silence."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from receiver.scheduler import Scheduler
from receiver.store.database import StoreUnavailableError
from tests.conftest import eventually, need

A_CLOCK_SET_BACK = """
import sys
from datetime import datetime
from pathlib import Path
from threading import Event
from receiver.scheduler import Scheduler

runs, clock = [], Path(sys.argv[1])

def enough(count):
    for _ in range(200):
        if len(runs) >= count:
            return True
        Event().wait(0.05)

scheduler = Scheduler([lambda stop: runs.append(datetime.now())], tick_s=0.05)
scheduler.start()
assert enough(3)
before = datetime.now()
clock.write_text("-1h")
Event().wait(0.1)
assert datetime.now() < before, "the clock was not set back"
assert enough(len(runs) + 3), "it stands still"
scheduler.stop()
"""


def test_it_goes_on_when_the_clock_is_set_back(tmp_path: Path) -> None:
    program = need("faketime", shutil.which("faketime"))
    clock = tmp_path / "clock"
    clock.write_text("+0")
    given = {
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    library = subprocess.run(
        [program, "-f", "+0s", "printenv", "LD_PRELOAD"], capture_output=True, text=True, check=True
    )
    ran = subprocess.run(
        [sys.executable, "-c", A_CLOCK_SET_BACK, str(clock)],
        env=os.environ | given | {"LD_PRELOAD": library.stdout.strip()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("error", [ValueError, StoreUnavailableError])
def test_work_that_fails_is_tried_again_and_keeps_no_other_from_its_turn(error: type[Exception]) -> None:
    failed: list[int] = []
    done: list[int] = []

    def fail(_: threading.Event) -> None:
        failed.append(1)
        raise error("this one fails")

    scheduler = Scheduler([fail, lambda _: done.append(1)], tick_s=0.01)
    scheduler.start()
    eventually(lambda: len(failed) >= 3)
    eventually(lambda: len(done) >= 3)
    scheduler.stop()


def test_a_stop_waits_for_the_run_under_way_and_ends_the_job() -> None:
    threads: set[threading.Thread] = set()
    ended: list[int] = []
    stops: list[threading.Event] = []
    started, go_on = threading.Event(), threading.Event()

    def work(stop: threading.Event) -> None:
        threads.add(threading.current_thread())
        stops.append(stop)
        started.set()
        assert go_on.wait(20)
        assert stop.is_set(), "the run is to end"
        ended.append(1)

    scheduler = Scheduler([work], tick_s=0.01)
    scheduler.start()
    assert started.wait(20)
    stopping = threading.Thread(target=scheduler.stop)
    stopping.start()
    eventually(stops[0].is_set)
    assert stopping.is_alive(), "it waits"
    go_on.set()
    stopping.join(20)
    assert not stopping.is_alive()
    assert ended == [1]
    eventually(lambda: not any(thread.is_alive() for thread in threads), why="no run comes after the stop")


def test_a_stop_right_after_the_start_is_no_failure() -> None:
    failures: list[object] = []
    hook, threading.excepthook = threading.excepthook, failures.append
    try:
        for _ in range(50):
            scheduler = Scheduler([lambda _: None], tick_s=1)
            scheduler.start()
            scheduler.stop()
    finally:
        threading.excepthook = hook
    assert not failures
