"""The quota of record-info calls: a call needs a free slot, and a due task without a call under way.

There are as many slots as calls are allowed in the limit's period. A call keeps its slot until a whole period
after the upstream has surely received it, so no window of that length can hold more calls than the limit,
whatever the network does to their spacing and whoever made them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, insert, or_, select, update

from receiver.core.cadence import TASK_SPACING_S, PollRank
from receiver.store import due_tasks
from receiver.store.due_tasks import ANY, Choice
from receiver.store.schema import poll_slot, task

ARRIVAL_S = 3.0  # connecting takes less (the client sees to it), and then the request is sent at once
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One record-info call that may be made now."""

    task_id: str
    slot: int
    started_at: datetime
    slot_busy_until: datetime
    reserved_until: datetime
    rank: PollRank
    slowed_at: datetime | None = None
    alone: bool = False


def resize_slots(connection: Connection, amount: int) -> None:
    """Have as many slots as the limit allows calls."""
    connection.execute(delete(poll_slot).where(poll_slot.c.number >= amount))
    present = connection.scalar(select(func.count()).select_from(poll_slot)) or 0
    fresh = [{"number": number, "free_at": LONG_AGO} for number in range(present, amount)]
    if fresh:
        connection.execute(insert(poll_slot), fresh)


def reserve(
    connection: Connection,
    *,
    now: datetime,
    most: int,
    period_s: float,
    reservation_s: float,
    choice: Choice = ANY,
) -> Sequence[Call]:
    """At most `most` calls that may start now: requests, then registered tasks, then orphans; the longest due first.

    A reservation that is never released (its process died) expires after `reservation_s`.
    """
    slots = _lock_free_slots(connection, now=now, period_s=period_s, most=most)
    due = due_tasks.choose(connection, now, len(slots), choice) if slots else []
    calls = [
        Call(
            task_id=row.task_id,
            slot=slot,
            started_at=now,
            slot_busy_until=now + timedelta(seconds=ARRIVAL_S + period_s),
            reserved_until=now + timedelta(seconds=reservation_s),
            rank=PollRank(row.poll_rank),
            slowed_at=row.slowed_at,
            alone=len(due) == 1 and row.task_id == choice.failed and not choice.requested,
        )
        for row, slot in zip(due, slots, strict=False)
    ]
    if calls:
        _store_reservations(connection, calls)
    return calls


def _lock_free_slots(connection: Connection, *, now: datetime, period_s: float, most: int) -> Sequence[int]:
    free = select(poll_slot.c.number).where(_free(now=now, period_s=period_s))
    query = free.order_by(poll_slot.c.number).limit(most).with_for_update(skip_locked=True)
    return connection.scalars(query).all()


def _store_reservations(connection: Connection, calls: Sequence[Call]) -> None:
    """All calls of one pass end their reservations at the same time."""
    slots = poll_slot.c.number.in_([call.slot for call in calls])
    connection.execute(update(poll_slot).where(slots).values(free_at=calls[0].slot_busy_until))
    tasks = task.c.task_id.in_([call.task_id for call in calls])
    connection.execute(update(task).where(tasks).values(claimed_until=calls[0].reserved_until))


def release(connection: Connection, calls: Sequence[Call], *, ended_at: datetime, period_s: float) -> None:
    """The calls are over: their slots and tasks become free again, each after its interval; in order of the tasks.

    Unless another call has them by now, because this one took so long.
    """
    if not calls:
        return
    calls, period = sorted(calls, key=lambda call: call.task_id), timedelta(seconds=period_s)
    received = [min(ended_at, call.started_at + timedelta(seconds=ARRIVAL_S)) for call in calls]
    slots = [
        {"slot": call.slot, "busy_until": call.slot_busy_until, "free_from": at + period}
        for call, at in zip(calls, received, strict=True)
    ]
    again = ended_at + timedelta(seconds=TASK_SPACING_S)
    held = [{"key": call.task_id, "reserved_until": call.reserved_until, "again": again} for call in calls]
    connection.execute(_FREE_SLOT, slots)
    connection.execute(_FREE_TASK, held)


# A locked slot is being given to another call. Waiting for it, with other slots held, could be a deadlock.
_MY_SLOT = (
    select(poll_slot.c.number)
    .where(poll_slot.c.number == bindparam("slot"), poll_slot.c.free_at == bindparam("busy_until"))
    .with_for_update(skip_locked=True)
)
_FREE_SLOT = update(poll_slot).where(poll_slot.c.number.in_(_MY_SLOT)).values(free_at=bindparam("free_from"))
_FREE_TASK = (
    update(task)
    .where(task.c.task_id == bindparam("key"), task.c.claimed_until == bindparam("reserved_until"))
    .values(claimed_until=bindparam("again"))
)


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
