"""Which of the due tasks are polled next: requested ones, then registered ones and orphans in fair turns."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, bindparam, or_, select, true

from receiver.core.cadence import PollRank, share_turns
from receiver.store.schema import task

MAX_RESERVATION = timedelta(hours=1)
MAX_PROBE_CANDIDATES = 100
EVERY = true()


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """Which of the due tasks may be called.

    `requested`: only tasks that somebody asked to poll; set during a pause.
    `failed`: the task whose call failed last. It is chosen only if no other is due and none is `in_flight`.
    `since_orphan`: how many calls about other tasks were made since the last one about an orphan.
    `probe`: a random number from 0 to 1 that draws the probe of an upstream in trouble among the due tasks. So a few
    failing tasks at the head of the queue do not prolong the pause.
    """

    requested: bool = False
    failed: str | None = None
    in_flight: int = 0
    since_orphan: int = 0
    probe: float | None = None


ANY = Choice()


def any_due(connection: Connection, *, now: datetime, requested: bool = False) -> bool:
    """Whether any task is due, or with `requested` any that somebody requested."""
    ranks = (PollRank.REQUESTED,) if requested else tuple(PollRank)
    return any(_due(connection, now, rank, 1) for rank in ranks)


def choose(connection: Connection, now: datetime, most: int, choice: Choice) -> list[Row[Any]]:
    """After a failure another task than the one that failed, if possible one without "slow down"."""
    if choice.requested:
        return _due(connection, now, PollRank.REQUESTED, most, lock=True)
    if choice.failed is None:
        return _in_turn(connection, now, most, choice, EVERY)
    another = task.c.task_id != choice.failed
    unslowed = another & task.c.slowed_at.is_(None)
    drawn = EVERY if choice.probe is None else _draw(connection, now, unslowed, choice.probe)
    chosen = _in_turn(connection, now, most, choice, unslowed & drawn)
    chosen = chosen or _in_turn(connection, now, most, choice, another)
    return chosen or ([] if choice.in_flight else _in_turn(connection, now, 1, choice, EVERY))


def _draw(
    connection: Connection, now: datetime, which: ColumnElement[bool], draw: float
) -> ColumnElement[bool]:
    """One of the due tasks: a registered one if any."""
    due: list[Row[Any]] = []
    for rank in (PollRank.REGISTERED, PollRank.ORPHAN):
        due = due or _due(connection, now, rank, MAX_PROBE_CANDIDATES, which)
    return task.c.task_id == due[min(int(draw * len(due)), len(due) - 1)].task_id if due else EVERY


def _in_turn(
    connection: Connection, now: datetime, most: int, choice: Choice, which: ColumnElement[bool]
) -> list[Row[Any]]:
    """In fair order: while others wait, an orphan only after two calls about others."""
    others = _due(connection, now, PollRank.REQUESTED, most, lock=True)
    others += _due(connection, now, PollRank.REGISTERED, most - len(others), which, lock=True)
    orphans = _due(connection, now, PollRank.ORPHAN, most, which, lock=True)
    turns = share_turns(
        others=len(others), orphans=len(orphans), turns=most, since_orphan=choice.since_orphan
    )
    left = {True: iter(orphans), False: iter(others)}
    return [next(left[is_orphan]) for is_orphan in turns]


def _due(
    connection: Connection,
    now: datetime,
    rank: PollRank,
    most: int,
    which: ColumnElement[bool] = EVERY,
    *,
    lock: bool = False,
) -> list[Row[Any]]:
    if most <= 0:
        return []
    query = _DUE if which is EVERY else _DUE.where(which)
    # A locked task is skipped: the delivery that is being stored may settle it.
    query = query.with_for_update(skip_locked=True, key_share=True) if lock else query
    longest = now + MAX_RESERVATION
    return list(connection.execute(query, {"rank": rank, "now": now, "longest": longest, "most": most}))


_DUE = (
    select(task.c.task_id, task.c.poll_rank, task.c.slowed_at)
    .where(
        task.c.poll_rank == bindparam("rank"),
        task.c.next_poll_at <= bindparam("now"),
        or_(
            task.c.claimed_until.is_(None),
            task.c.claimed_until <= bindparam("now"),
            task.c.claimed_until > bindparam("longest"),  # before the clock was set back
        ),
    )
    .order_by(task.c.next_poll_at)
    .limit(bindparam("most"))
)
