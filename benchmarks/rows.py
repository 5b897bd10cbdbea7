"""The rows of one task, filled into its template, and what it counts for."""

import hashlib
import heapq
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from benchmarks.patterns import Own, in_json, new_track_ids
from benchmarks.schedule import Visit
from benchmarks.templates import Told
from benchmarks.titles import draw_label, draw_title
from receiver.core.payloads.envelope import digest
from receiver.core.search_terms import search_terms
from receiver.core.task import Task
from receiver.core.task_counts import count_changes
from receiver.store.hourly_counts import Tallies, hour_of, in_hour

MOMENTS = (
    "registered_at",
    "last_callback_at",
    "last_polled_at",
    "gave_up_at",
    "settled_at",
    "changed_at",
    "next_poll_at",
)
Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Filled:
    """A task that was filled in; `values` fill the bodies of its deliveries."""

    visit: Visit
    task_id: str
    row: Row
    values: Mapping[str, str]


def fill_task(visit: Visit, rng: random.Random) -> Filled:
    template = visit.template
    title = draw_title(rng)
    own = Own(
        task_id=f"{rng.getrandbits(128):032x}",
        track_ids=new_track_ids(rng.getrandbits(256)),
        title=title,
        submitted_at=(visit.first_seen_at - template.submitted_before).replace(microsecond=0),
    )
    values = own.values()
    label = draw_label(visit.number, rng) if template.task.registered_at else None
    row = {
        **template.rows[visit.acknowledged],
        **_moments(visit),
        "task_id": own.task_id,
        "label": label,
        "state": template.state.fill(in_json(values)),
        "words": search_terms(label or "", title if template.titled else ""),
    }
    return Filled(visit=visit, task_id=own.task_id, row=row, values=values)


def _moments(visit: Visit) -> dict[str, datetime | None]:
    task, first = visit.template.task, visit.first_seen_at
    moments: dict[str, datetime | None] = {"first_seen_at": first}
    for name in MOMENTS:
        moment = getattr(task, name)
        moments[name] = moment and first + (moment - task.first_seen_at) * visit.stretch
    return moments


def counted(filled: Filled) -> Tallies:
    """What the task and its deliveries count for, by hour; every poll was a call that was answered."""
    visit = filled.visit
    task = replace(
        visit.template.task, first_seen_at=visit.first_seen_at, settled_at=filled.row["settled_at"]
    )
    pristine = Task(task_id=task.task_id, first_seen_at=task.first_seen_at)
    counts = in_hour(task.first_seen_at, count_changes(pristine, task))
    for one in visit.template.told:
        hour, source = hour_of(_received_at(visit, one)), one.columns["source"]
        counts[hour, source, one.columns["result"]] += 1
        if source == "poll":
            counts[hour, "call", "answered"] += 1
    return counts


@dataclass(kw_only=True, slots=True)
class DeliveryLog:
    """Deliveries of tasks whose lives overlap, given out in the order of their arrival.

    `bodies_since`: retention dropped what came before; `seen_before`: a person has acknowledged those.
    """

    bodies_since: datetime
    seen_before: datetime
    rng: random.Random
    _waiting: list[tuple[datetime, int, Told | Row, Filled | None, dict[int, bytes]]] = field(
        default_factory=list
    )
    _number: int = 0

    def add(self, filled: Filled) -> None:
        digests: dict[int, bytes] = {}
        for one in filled.visit.template.told:
            self._push(_received_at(filled.visit, one), one, filled, digests)

    def add_row(self, row: Row) -> None:
        """One that belongs to no task."""
        self._push(row["received_at"], row, None, {})

    def until(self, moment: datetime) -> Iterator[Row]:
        """The rows of what came before this."""
        while self._waiting and self._waiting[0][0] < moment:
            received_at, _, one, filled, digests = heapq.heappop(self._waiting)
            row = self._row(one, filled, received_at, digests) if isinstance(one, Told) and filled else one
            assert not isinstance(row, Told)
            seen = row["result"] == "quarantined" and received_at < self.seen_before
            at = received_at + timedelta(hours=self.rng.uniform(0.1, 3)) if seen else None
            yield {**row, "acknowledged_at": at}

    def _push(self, at: datetime, one: Told | Row, filled: Filled | None, digests: dict[int, bytes]) -> None:
        self._number += 1
        heapq.heappush(self._waiting, (at, self._number, one, filled, digests))

    def _row(self, one: Told, filled: Filled, received_at: datetime, digests: dict[int, bytes]) -> Row:
        kept = one.body is not None and (received_at >= self.bodies_since or filled.row["settled_at"] is None)
        body = one.body.fill(filled.values).encode(errors="surrogateescape") if one.body and kept else None
        if one.content not in digests:
            digests[one.content] = _digest(one, body) if body else self.rng.randbytes(32)
        return {
            **one.columns,
            "task_id": filled.task_id if one.columns["task_id"] else None,
            "received_at": received_at,
            "digest": digests[one.content],
            "body": body,
        }


def _received_at(visit: Visit, one: Told) -> datetime:
    return visit.first_seen_at + one.after * visit.stretch


def _digest(one: Told, body: bytes) -> bytes:
    return hashlib.sha256(body).digest() if one.exact else digest(json.loads(body))
