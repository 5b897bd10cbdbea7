"""A task as its row, and a row as its task."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote_plus

from sqlalchemy import Row

from receiver.core.search_terms import search_terms
from receiver.core.settlement import Outcome, Settlement
from receiver.core.state_json import dump_state, load_state
from receiver.core.task import Task
from receiver.store.orphan_cap import counts_against_cap, size_of

_PLAIN = (
    "task_id",
    "first_seen_at",
    "label",
    "query",
    "registered_at",
    "last_callback_at",
    "last_polled_at",
    "gave_up_at",
    "settled_at",
    "changed_at",
    "next_poll_at",
    "expedited_at",
    "poll_requested",
    "attempt",
    "callbacks",
    "polls",
    "version",
    "acknowledged_version",
)
MAX_STATUS_CHARS = 64  # it is in an index, whose entries PostgreSQL limits


def new_row(task: Task) -> dict[str, Any]:
    row = _plain(task) | {"state": dump_state(task.state), "words": search_terms(*_texts(task))}
    return row | {"capped_bytes": _counted(task, row)}


def changed_columns(before: Task, after: Task) -> dict[str, Any]:
    """Those that changed: SQLite writes a page of each index that one of the columns is in, changed or not."""
    old = _plain(before)
    row = {name: value for name, value in _plain(after).items() if value != old[name]}
    if after.state != before.state:
        row["state"] = dump_state(after.state)
    if _texts(after) != _texts(before):
        row["words"] = search_terms(*_texts(after))
    if row.keys() & {"state", "words"} or not counts_against_cap(after):
        row["counted"] = _counted(after, row)
    return row


def _counted(task: Task, row: Mapping[str, Any]) -> int | None:
    """The bytes that count against the cap on orphans; `row` has the changed columns."""
    if not counts_against_cap(task):
        return None
    state = row["state"] if "state" in row else dump_state(task.state)
    return size_of(task, state, row["words"] if "words" in row else search_terms(*_texts(task)))


def _texts(task: Task) -> list[str]:
    """The texts that a task is found by."""
    titles = (
        str(claims["title"].value) for claims in task.state.visible_tracks.values() if "title" in claims
    )
    return [task.label or "", unquote_plus(task.query or ""), *sorted(titles)]


def _plain(task: Task) -> dict[str, Any]:
    return {name: getattr(task, name) for name in _PLAIN} | {
        "poll_rank": task.poll_rank,
        "status": task.state.status.word[:MAX_STATUS_CHARS],
        "outcome": task.settlement.outcome,
        "conflict": task.state.conflict,
        "recovered": task.settlement.recovered,
        "lost_callback": task.settlement.lost_callback,
        "problem": task.problem,
    }


def task_of(row: Row[Any]) -> Task:
    state = load_state(row.state)
    settlement = Settlement(
        outcome=Outcome(row.outcome), recovered=row.recovered, lost_callback=row.lost_callback
    )
    plain = {name: getattr(row, name) for name in _PLAIN}
    return replace(
        Task(task_id=row.task_id, first_seen_at=row.first_seen_at),
        **plain,
        state=state,
        settlement=settlement,
    )
