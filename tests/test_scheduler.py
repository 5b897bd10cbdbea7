"""The job that must never stop in silence."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from receiver.scheduler import Scheduler
from tests.conftest import eventually, need

A_CLOCK_SET_BACK = """
import sys
from datetime import datetime
from pathlib import Path
from threading import Event
from receiver.scheduler import Scheduler

runs, clock = [], Path(sys.argv[1])

def enough(wanted):
    for _ in range(200):
        if len(runs) >= wanted:
            return True
        Event().wait(0.05)

scheduler = Scheduler(lambda stop: runs.append(datetime.now()), tick_s=0.05)
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
    )
    assert ran.returncode == 0, ran.stderr


def test_a_run_that_fails_is_followed_by_another_and_none_comes_after_the_stop() -> None:
    runs: list[int] = []

    def work(_: threading.Event) -> None:
        runs.append(1)
        raise ValueError("this one fails")

    scheduler = Scheduler(work, tick_s=0.01)
    scheduler.start()
    eventually(lambda: len(runs) >= 3)
    scheduler.stop()
    seen = len(runs)
    assert not scheduler._scheduler.running
    assert len(runs) == seen
