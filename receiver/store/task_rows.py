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
from receiver.store.orphan_cap import is_strangers, size_of

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
MAX_STATUS_CHARS = 64  # it stands in an index, which PostgreSQL refuses to let grow


def new_row(known: Task) -> dict[str, Any]:
    row = _plain(known) | {"state": dump_state(known.state), "words": search_terms(*_texts(known))}
    return row | {"capped_bytes": _counted(known, row)}


def changed_columns(before: Task, after: Task) -> dict[str, Any]:
    """What is to be written; what is large, only where it became another."""
    row = _plain(after)
    if after.state != before.state:
        row["state"] = dump_state(after.state)
    if _texts(after) != _texts(before):
        row["words"] = search_terms(*_texts(after))
    if row.keys() & {"state", "words"} or not is_strangers(after):
        row["counted"] = _counted(after, row)
    return row


def _counted(known: Task, row: Mapping[str, Any]) -> int | None:
    """How much counts against the cap on orphans; the row has what changed."""
    if not is_strangers(known):
        return None
    state = row["state"] if "state" in row else dump_state(known.state)
    return size_of(known, state, row["words"] if "words" in row else search_terms(*_texts(known)))


def _texts(known: Task) -> list[str]:
    """What a task is found by."""
    titles = (str(claims["title"].value) for claims in known.tracks.values() if "title" in claims)
    return [known.label or "", unquote_plus(known.query or ""), *sorted(titles)]


def _plain(known: Task) -> dict[str, Any]:
    return {name: getattr(known, name) for name in _PLAIN} | {
        "poll_rank": known.poll_rank,
        "status": known.state.status.word[:MAX_STATUS_CHARS],
        "outcome": known.settlement.outcome.value,
        "conflict": known.state.conflict,
        "recovered": known.settlement.recovered,
        "lost_callback": known.settlement.lost_callback,
        "problem": known.problem,
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
