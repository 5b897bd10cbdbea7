"""`config/alerts.yaml` by Prometheus' own promtool: each rule fires for what it names, silence too, and else none does."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from receiver.app import build_app
from receiver.runtime import Runtime
from tests.conftest import need

RULES = Path(__file__).resolve().parent.parent / "config" / "alerts.yaml"
MACHINES = ("one", "two")

STATE = "receiver_poller_state"
TASKS, LOST = 'receiver_tasks{outcome="succeeded"}', "receiver_lost_callback_tasks"
ANSWERED = 'receiver_record_info_calls_total{result="answered"}'
FAILED = 'receiver_http_request_duration_seconds_count{route="callbacks.receive",method="POST",status="5xx"}'
DISK_FREE, DISK_SIZE = 'receiver_disk_free_bytes{of="database"}', 'receiver_disk_size_bytes{of="database"}'
AWAITED, SHARE = 'receiver_alarm{name="no_callbacks"}', "receiver_lost_callback_share"
TOO_LARGE = 'receiver_callbacks_total{result="too_large"}'
ORPHANS, BODIES = 'receiver_dropped_total{what="orphans"}', 'receiver_dropped_total{what="bodies"}'

# Two hours, a value a minute: `start+step` or one value. A task a minute, and all is well.
HEALTHY = {
    "up": "1",
    "receiver_database_up": "1",
    DISK_FREE: "50000000000",
    DISK_SIZE: "100000000000",
    AWAITED: "0",
    SHARE: "0.1",
    TOO_LARGE: "3",
    ORPHANS: "40",
    BODIES: "0+5",
    "receiver_poller_heartbeat_age_seconds": "2",
    "receiver_last_callback_age_seconds": "30",
    "receiver_oldest_overdue_task_age_seconds": "0",
    "receiver_unresolved_tasks": "0",
    "receiver_conflicting_tasks": "0",
    "receiver_quarantined_deliveries": "0",
    TASKS: "100+1",
    LOST: "10",
    ANSWERED: "100+1",
    FAILED: "0",
    'receiver_callbacks_total{result="wrong_token"}': "7",
    'receiver_callbacks_total{result="bad_signature"}': "0",
    'receiver_commit_duration_seconds_bucket{le="1.0"}': "0+100",
    'receiver_commit_duration_seconds_bucket{le="2.5"}': "0+100",
    'receiver_commit_duration_seconds_bucket{le="+Inf"}': "0+100",
    **{f'{STATE}{{state="{state}"}}': "0" for state in ("paused", "refused", "off")},
}
FIRING: dict[str, dict[str, str]] = {
    "ReceiverAbsent": dict.fromkeys(HEALTHY, "_"),
    "ReceiverDown": {"up": "0"},
    "ReceiverDatabaseDown": {"receiver_database_up": "0"},
    "ReceiverDiskFull": {DISK_FREE: "190000000"},
    "ReceiverCallbacksFailing": {FAILED: "0+1"},
    "ReceiverPollerSilent": {"receiver_poller_heartbeat_age_seconds": "+Inf"},
    "ReceiverKeyRefused": {f'{STATE}{{state="refused"}}': "1"},
    "ReceiverNoCallbacks": {"receiver_last_callback_age_seconds": "0+60"},
    "ReceiverCallbacksAwaited": {AWAITED: "2"},
    "ReceiverNoAnswers": {ANSWERED: "100", "receiver_oldest_overdue_task_age_seconds": "400"},
    "ReceiverUpstreamPaused": {f'{STATE}{{state="paused"}}': "1"},
    "ReceiverTasksOverdue": {"receiver_oldest_overdue_task_age_seconds": "0+60"},
    "ReceiverTasksUnresolved": {"receiver_unresolved_tasks": "3"},
    "ReceiverTasksInConflict": {"receiver_conflicting_tasks": "1"},
    "ReceiverQuarantine": {"receiver_quarantined_deliveries": "1"},
    "ReceiverCallbacksRefused": {'receiver_callbacks_total{result="wrong_token"}': "7+1"},
    "ReceiverSenderRefused": {TOO_LARGE: "3+1"},
    "ReceiverOrphansDropped": {ORPHANS: "40+50"},
    "ReceiverDiskLow": {DISK_FREE: "4000000000"},
    "ReceiverCallbacksLost": {LOST: "10+0.5"},
    "ReceiverCommitsSlow": {'receiver_commit_duration_seconds_bucket{le="1.0"}': "0+98"},
}
QUIET: dict[str, dict[str, str]] = {
    "all is well": {},
    "nothing happens at night": {
        "receiver_last_callback_age_seconds": "0+60",
        TASKS: "100",
        ANSWERED: "100",
        'receiver_commit_duration_seconds_bucket{le="1.0"}': "100",
        'receiver_commit_duration_seconds_bucket{le="2.5"}': "100",
        'receiver_commit_duration_seconds_bucket{le="+Inf"}': "100",
    },
    "a tenth of the callbacks is lost, and tasks wait for a short while": {SHARE: "0.2", AWAITED: "1"},
    "two bodies are too large": {TOO_LARGE: "3x110 5x10"},
    "one callback of many fails, and is sent again": {FAILED: "0x110 1x10"},
    "the poller is off on purpose": {
        "receiver_poller_heartbeat_age_seconds": "+Inf",
        f'{STATE}{{state="off"}}': "1",
    },
}
# Twenty-five hours, a value every five minutes, of a receiver that gets a task each half hour.
SMALL: dict[str, Any] = {"interval": "5m", "values": 300, "ends": "25h"}
SELDOM = {TASKS: "100+0.17", ANSWERED: "100+0.17"}
FIRING_SMALL: dict[str, dict[str, str]] = {
    "ReceiverNoCallbacks": {"receiver_last_callback_age_seconds": "0+300"},
    "ReceiverCallbacksLost": {LOST: "10+0.17"},
}
# What a rule fires for beside what it fires for above.
ALSO: dict[str, dict[str, str]] = {"ReceiverCallbacksLost": {SHARE: "0.22"}}


@pytest.fixture(scope="module")
def promtool() -> str:
    return need("promtool", shutil.which("promtool"))


def input_series(series: dict[str, str], values: int) -> list[dict[str, str]]:
    """The series as each of two machines tells them."""
    return [
        {
            "series": f'{name}{{{labels.rstrip("}")}{"," if labels else ""}job="receiver",instance="{machine}"}}',
            "values": _sequence(value, values),
        }
        for machine in MACHINES
        for name, _, labels in (key.partition("{") for key in series)
        for value in [series[f"{name}{{{labels}" if labels else name]]
    ]


def _sequence(value: str, times: int) -> str:
    """In promtool's notation: written out, with a step, absent, or the same all the time."""
    if "x" in value:
        return value
    return f"{value}x{times}" if "+" in value[1:] or value == "_" else f"{value}+0x{times}"


def scene(
    name: str,
    changes: dict[str, str],
    firing: dict[str, int],
    *,
    interval: str = "1m",
    values: int = 120,
    ends: str = "2h",
) -> dict[str, Any]:
    """A promtool test: at its end these rules fire, so many times, and no others."""
    assert changes.keys() <= HEALTHY.keys(), "a change of an unknown series"
    samples = [{"labels": f'{{alertname="{alert}"}}', "value": times} for alert, times in firing.items()]
    expression = 'count by (alertname) (ALERTS{alertstate="firing"})'
    return {
        "name": name,
        "interval": interval,
        "input_series": input_series(HEALTHY | changes, values),
        "promql_expr_test": [{"expr": expression, "eval_time": ends, "exp_samples": samples}],
    }


@pytest.mark.slow
def test_each_rule_fires_for_what_it_names_and_no_other_does(promtool: str, tmp_path: Path) -> None:
    on_each_machine = {"ReceiverDown", "ReceiverDatabaseDown", "ReceiverDiskFull", "ReceiverDiskLow"}
    scenes = [scene(name, changes, {}) for name, changes in QUIET.items()]
    for alert, changes in (*FIRING.items(), *ALSO.items()):
        scenes.append(scene(alert, changes, {alert: len(MACHINES) if alert in on_each_machine else 1}))
    small = [scene("all is well with a small one", SELDOM, {}, **SMALL)]
    for alert, changes in FIRING_SMALL.items():
        small.append(scene(f"{alert} of a small one", SELDOM | changes, {alert: 1}, **SMALL))
    files = [tmp_path / "scenes.yaml", tmp_path / "small.yaml"]  # JSON is YAML
    for file, tests, every in zip(files, (scenes, small), ("5m", "5m"), strict=True):
        file.write_text(
            json.dumps({"rule_files": [str(RULES)], "evaluation_interval": every, "tests": tests})
        )
    ran = subprocess.run([promtool, "test", "rules", *files], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_there_is_a_scene_for_each_rule(promtool: str) -> None:
    subprocess.run([promtool, "check", "rules", RULES], capture_output=True, check=True)
    assert re.findall(r"- alert: (\w+)", RULES.read_text()) == list(FIRING)


def test_rules_and_scenes_name_only_metrics_that_exist(promtool: str, runtime: Runtime) -> None:
    text = build_app(runtime).test_client().get("/metrics").text
    subprocess.run([promtool, "check", "metrics"], input=text, text=True, capture_output=True, check=True)
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    named = set(re.findall(r"receiver_\w+", RULES.read_text()))
    assert len(named) > 10
    assert named <= {sample.name for sample in samples}
    labels = {(sample.name, *pair) for sample in samples for pair in sample.labels.items()}
    for name, braced in (key.split("{") for key in HEALTHY if "{" in key):
        for label, value in re.findall(r'(\w+)="([^"]*)"', braced):
            assert (name, label, value) in labels
