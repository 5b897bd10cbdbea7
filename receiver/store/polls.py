"""Who is due, under the quota: a call needs a free slot, and a task nobody else is asking about.

There are as many slots as calls are allowed in the limit's period. A call keeps its slot until a whole period
after the upstream has surely received it, so no window of that length can hold more calls than the limit,
whatever the network does to their spacing and whoever made them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, delete, func, insert, or_, select, update

from receiver.core.cadence import TASK_SPACING_S
from receiver.core.task import PollRank
from receiver.store.schema import poll_slot, task, upstream

ARRIVAL_S = 3.0  # connecting takes less (the client sees to it), and then the request is sent at once
LONGEST_CLAIM = timedelta(hours=1)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One record-info call that may be made now."""

    task_id: str
    slot: int
    started_at: datetime
    slot_busy_until: datetime
    claimed_until: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class UpstreamHealth:
    """How the upstream is doing: `failures` in a row, the last `trouble`, and when to try again."""

    failures: int = 0
    trouble: str | None = None
    detail: str | None = None
    failed_at: datetime | None = None
    paused_until: datetime | None = None

    def paused(self, now: datetime) -> bool:
        return self.paused_until is not None and now < self.paused_until


def lay_out_slots(connection: Connection, amount: int) -> None:
    """Make the slots as many as the limit's amount."""
    connection.execute(delete(poll_slot).where(poll_slot.c.number >= amount))
    present = connection.scalar(select(func.count()).select_from(poll_slot)) or 0
    fresh = [{"number": number, "free_at": LONG_AGO} for number in range(present, amount)]
    if fresh:
        connection.execute(insert(poll_slot), fresh)


def claim(
    connection: Connection, *, now: datetime, most: int, period_s: float, claim_s: float
) -> Sequence[Call]:
    """At most `most` calls that may start now, a person's requests first, then the longest due.

    A claim nobody releases (its process died) ends by itself after `claim_s`.
    """
    busy = now + timedelta(seconds=ARRIVAL_S + period_s)
    until = now + timedelta(seconds=claim_s)
    free = _free(now=now, period_s=period_s)
    open_slots = select(poll_slot.c.number).where(free).order_by(poll_slot.c.number).limit(most)
    slots = connection.scalars(open_slots.with_for_update(skip_locked=True)).all()
    due = _due(connection, now, len(slots), lock=True) if slots else []
    calls = [
        Call(task_id=key, slot=slot, started_at=now, slot_busy_until=busy, claimed_until=until)
        for key, slot in zip(due, slots, strict=False)
    ]
    if calls:
        taken = poll_slot.c.number.in_([call.slot for call in calls])
        connection.execute(update(poll_slot).where(taken).values(free_at=busy))
        connection.execute(update(task).where(task.c.task_id.in_(due)).values(claimed_until=until))
    return calls


def release(connection: Connection, call: Call, *, ended_at: datetime, period_s: float) -> None:
    """The call is over: its slot and its task become free again, each in its time.

    Unless another call has them by now, because this one took so long: then they are that one's.
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


def set_aside(connection: Connection, task_id: str, *, until: datetime) -> None:
    """Do not ask about this task before `until`."""
    connection.execute(update(task).where(task.c.task_id == task_id).values(claimed_until=until))


def slot_free(connection: Connection, *, now: datetime, period_s: float) -> bool:
    free = _free(now=now, period_s=period_s)
    return connection.execute(select(poll_slot.c.number).where(free).limit(1)).first() is not None


def _free(*, now: datetime, period_s: float) -> ColumnElement[bool]:
    """What is taken for longer than anybody takes it was taken by a clock that has since been set back."""
    longest = now + timedelta(seconds=ARRIVAL_S + period_s)
    return or_(poll_slot.c.free_at <= now, poll_slot.c.free_at > longest)


def any_due(connection: Connection, *, now: datetime) -> bool:
    return bool(_due(connection, now, 1))


def _due(connection: Connection, now: datetime, most: int, *, lock: bool = False) -> list[str]:
    due: list[str] = []
    for rank in PollRank:
        query = select(task.c.task_id).where(
            task.c.poll_rank == rank,
            task.c.next_poll_at <= now,
            or_(
                task.c.claimed_until.is_(None),
                task.c.claimed_until <= now,
                task.c.claimed_until > now + LONGEST_CLAIM,  # by a clock that has since been set back
            ),
        )
        left = most - len(due)
        query = query.order_by(task.c.next_poll_at).limit(left)
        # A task that somebody writes at this moment is not waited for: what is told may well settle it.
        query = query.with_for_update(skip_locked=True, key_share=True) if lock else query
        due += connection.scalars(query).all() if left else []
    return due


def health(connection: Connection) -> UpstreamHealth:
    row = connection.execute(select(upstream).where(upstream.c.id == 1)).one_or_none()
    if row is None:
        return UpstreamHealth()
    return UpstreamHealth(
        failures=row.failures,
        trouble=row.trouble,
        detail=row.detail,
        failed_at=row.failed_at,
        paused_until=row.paused_until,
    )


def save_health(connection: Connection, now_known: UpstreamHealth) -> None:
    values = {
        "failures": now_known.failures,
        "trouble": now_known.trouble,
        "detail": now_known.detail,
        "failed_at": now_known.failed_at,
        "paused_until": now_known.paused_until,
    }
    changed = connection.execute(update(upstream).where(upstream.c.id == 1).values(**values))
    if changed.rowcount == 0:
        connection.execute(insert(upstream).values(id=1, **values))
