"""Which tasks to poll under the quota: a call needs a free slot, and a due task without a call under way.

There are as many slots as calls are allowed in the limit's period. A call keeps its slot until a whole period
after the upstream has surely received it, so no window of that length can hold more calls than the limit,
whatever the network does to their spacing and whoever made them.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, or_, select, true, update

from receiver.core.cadence import TASK_SPACING_S, PollRank, share_turns
from receiver.core.upstream_health import UpstreamHealth
from receiver.store.schema import poll_slot, task, upstream

ARRIVAL_S = 3.0  # connecting takes less (the client sees to it), and then the request is sent at once
MAX_CLAIM = timedelta(hours=1)
MAX_PROBE_CANDIDATES = 100
EVERY = true()
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One record-info call that may be made now."""

    task_id: str
    slot: int
    started_at: datetime
    slot_busy_until: datetime
    claimed_until: datetime
    rank: PollRank
    slowed_at: datetime | None = None
    alone: bool = False


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
HEALTH = tuple(field.name for field in fields(UpstreamHealth))


def resize_slots(connection: Connection, amount: int) -> None:
    """Have as many slots as the limit allows calls."""
    connection.execute(delete(poll_slot).where(poll_slot.c.number >= amount))
    present = connection.scalar(select(func.count()).select_from(poll_slot)) or 0
    fresh = [{"number": number, "free_at": LONG_AGO} for number in range(present, amount)]
    if fresh:
        connection.execute(insert(poll_slot), fresh)


def claim(
    connection: Connection,
    *,
    now: datetime,
    most: int,
    period_s: float,
    claim_s: float,
    choice: Choice = ANY,
) -> Sequence[Call]:
    """At most `most` calls that may start now: requests, then registered tasks, then orphans; the longest due first.

    A claim that is never released (its process died) expires after `claim_s`.
    """
    busy = now + timedelta(seconds=ARRIVAL_S + period_s)
    until = now + timedelta(seconds=claim_s)
    free = _free(now=now, period_s=period_s)
    open_slots = select(poll_slot.c.number).where(free).order_by(poll_slot.c.number).limit(most)
    slots = connection.scalars(open_slots.with_for_update(skip_locked=True)).all()
    due = _choose(connection, now, len(slots), choice) if slots else []
    calls = [
        Call(
            task_id=row.task_id,
            slot=slot,
            started_at=now,
            slot_busy_until=busy,
            claimed_until=until,
            rank=PollRank(row.poll_rank),
            slowed_at=row.slowed_at,
            alone=len(due) == 1 and row.task_id == choice.failed and not choice.requested,
        )
        for row, slot in zip(due, slots, strict=False)
    ]
    if calls:
        taken = poll_slot.c.number.in_([call.slot for call in calls])
        connection.execute(update(poll_slot).where(taken).values(free_at=busy))
        claimed = task.c.task_id.in_([call.task_id for call in calls])
        connection.execute(update(task).where(claimed).values(claimed_until=until))
    return calls


def release(connection: Connection, call: Call, *, ended_at: datetime, period_s: float) -> None:
    """The call is over: its slot and its task become free again, each after its interval.

    Unless another call has them by now, because this one took so long.
    """
    received = min(ended_at, call.started_at + timedelta(seconds=ARRIVAL_S))
    my_slot = (poll_slot.c.number == call.slot) & (poll_slot.c.free_at == call.slot_busy_until)
    free_at = received + timedelta(seconds=period_s)
    # A locked slot is being given to another call. Waiting for it, with other slots held, could be a deadlock.
    mine = select(poll_slot.c.number).where(my_slot).with_for_update(skip_locked=True)
    connection.execute(update(poll_slot).where(poll_slot.c.number.in_(mine)).values(free_at=free_at))
    my_task = (task.c.task_id == call.task_id) & (task.c.claimed_until == call.claimed_until)
    again = ended_at + timedelta(seconds=TASK_SPACING_S)
    connection.execute(update(task).where(my_task).values(claimed_until=again))


def record_slow_down(connection: Connection, call: Call, *, at: datetime | None) -> None:
    """Note when the upstream asked to slow down instead of answering about the task; None: it has answered."""
    if call.slowed_at != at:
        connection.execute(update(task).where(task.c.task_id == call.task_id).values(slowed_at=at))


def slot_free(connection: Connection, *, now: datetime, period_s: float) -> bool:
    free = _free(now=now, period_s=period_s)
    return connection.execute(select(poll_slot.c.number).where(free).limit(1)).first() is not None


def _free(*, now: datetime, period_s: float) -> ColumnElement[bool]:
    """Free slots; one that is taken for longer than a call can last was taken before the clock was set back."""
    longest = now + timedelta(seconds=ARRIVAL_S + period_s)
    return or_(poll_slot.c.free_at <= now, poll_slot.c.free_at > longest)


def any_due(connection: Connection, *, now: datetime, requested: bool = False) -> bool:
    """Whether any task is due, or with `requested` any that somebody requested."""
    ranks = (PollRank.REQUESTED,) if requested else tuple(PollRank)
    return any(_due(connection, now, rank, 1) for rank in ranks)


def _choose(connection: Connection, now: datetime, most: int, choice: Choice) -> list[Row[Any]]:
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
    query = select(task.c.task_id, task.c.poll_rank, task.c.slowed_at).where(
        task.c.poll_rank == rank,
        task.c.next_poll_at <= now,
        or_(
            task.c.claimed_until.is_(None),
            task.c.claimed_until <= now,
            task.c.claimed_until > now + MAX_CLAIM,  # before the clock was set back
        ),
    )
    query = query.where(which).order_by(task.c.next_poll_at).limit(most)
    # A locked task is skipped: the delivery that is being stored may settle it.
    query = query.with_for_update(skip_locked=True, key_share=True) if lock else query
    return list(connection.execute(query))


def health(connection: Connection) -> UpstreamHealth:
    row = connection.execute(select(upstream).where(upstream.c.id == 1)).mappings().one_or_none()
    return UpstreamHealth(**{name: row[name] for name in HEALTH}) if row else UpstreamHealth()


def save_health(connection: Connection, upstream_health: UpstreamHealth) -> None:
    values = asdict(upstream_health)
    changed = connection.execute(update(upstream).where(upstream.c.id == 1).values(**values))
    if changed.rowcount == 0:
        connection.execute(insert(upstream).values(id=1, **values))
