"""`python -m benchmarks.bench` in small: the bare route and the receiver, for a second each."""

import json
import shutil
import subprocess
import sys

import pytest

from tests.conftest import need
from tests.servers.processes import ROOT


@pytest.mark.slow
def test_the_benchmark_measures_the_receiver_beside_a_bare_route(tmp_path):
    need("wrk", shutil.which("wrk"))
    report = tmp_path / "bench.json"
    chosen = [
        "--scenario",
        "new",
        "--contestant",
        "bare",
        "--contestant",
        "receiver",
        "--receiver",
        "1",
        "16",
    ]
    short = ["--rounds", "1", "--slice", "1", "--clients", "8"]
    command = [sys.executable, "-m", "benchmarks.bench", *chosen, *short, "--json", str(report)]
    ran = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = json.loads(report.read_text(encoding="utf-8"))
    rows = found.pop("rows")
    assert found == {"postgresql": False, "fdatasync_ms": 0.0, "rounds": 1, "clients": 8}
    assert [row["contestant"] for row in rows] == ["bare", "receiver", "receiver 1x16"]
    for row in rows:
        assert row["scenario"] == "new"
        assert row["least_share"] == row["share"] == row["most_share"] > 0
        assert 0 < row["p50_ms"] <= row["p99_ms"]
        assert row["a_second"] > 0
        assert row["p99_ratio"] > 0
        assert row["failed"] == 0
    assert rows[0]["share"] == rows[0]["p99_ratio"] == 1


def test_a_callback_that_is_answered_and_not_stored_fails_the_benchmark():
    from click import ClickException

    from benchmarks.bench import check_stored
    from benchmarks.wrk import SCENARIOS, Load

    load = Load(a_second=10, p50_ms=1, p99_ms=2, failed=0, received=10, sent=12)
    for scenario, stored in (("new", 9), ("new", 13), ("stages", 3)):
        with pytest.raises(ClickException, match="rows are stored"):
            check_stored("a peer", [load], SCENARIOS[scenario], stored=stored)
    for scenario, stored in (("new", 10), ("new", 12), ("stages", 4), ("duplicates", 0)):
        check_stored("a peer", [load], SCENARIOS[scenario], stored=stored)
