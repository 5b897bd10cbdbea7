"""Compares each reconciled task with the simulator's truth."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import requests

from receiver.core.observation import TRACK_FIELDS
from receiver.core.payloads.fields import Timestamp
from receiver.demo.deployment import Access

REST_TIMEOUT_S = 30


def find_mismatches(
    session: requests.Session, upstream_url: str, access: Access, task_ids: Sequence[str]
) -> Mapping[str, Sequence[str]]:
    """What differs, by task id; only tasks that differ are in it."""
    truths = session.get(f"{upstream_url}/simulator/tasks", timeout=30).json()["tasks"]
    by_id = {truth["taskId"]: truth for truth in truths}
    differences = {
        key: _differences(by_id[key], _wait_until_at_rest(session, access, key)) for key in task_ids
    }
    return {key: parts for key, parts in differences.items() if parts}


def _wait_until_at_rest(session: requests.Session, access: Access, task_id: str) -> Mapping[str, Any]:
    """The task once no poll is due: a settled one may still be polled for values that a callback lost."""
    deadline = time.monotonic() + REST_TIMEOUT_S
    while True:
        task: Mapping[str, Any] = access.get(session, f"/api/tasks/{task_id}")
        if task["nextPollAt"] is None or time.monotonic() > deadline:
            return task
        time.sleep(0.1)


def _differences(truth: Mapping[str, Any], task: Mapping[str, Any]) -> Sequence[str]:
    names = ["outcome", "status"] + (["errorCode", "errorMessage"] if truth["outcome"] == "failed" else [])
    wrong = [f"{name} ({task[name]!r}, not {truth[name]!r})" for name in names if task[name] != truth[name]]
    rows = [_comparable(row) for row in task["tracks"]]
    true_rows = [_comparable(_as_reconciled(row)) for row in truth["tracks"]]
    if truth["outcome"] == "succeeded" and sorted(rows) != sorted(true_rows):
        wrong.append("tracks")
    return wrong


def _as_reconciled(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        **row,
        "createTime": Timestamp().deserialize(row["createTime"]),
        "duration": float(row["duration"]),
    }


def _comparable(row: Mapping[str, Any]) -> str:
    return repr([row[name] or None for name in TRACK_FIELDS])
