"""Gives up tasks that cannot be polled and about which nothing more will come."""

import time
from collections.abc import Sequence
from datetime import datetime

from receiver.core.task import Rules
from receiver.core.task_events import give_up
from receiver.store import tasks
from receiver.store.database import Database

FIND_BATCH_SIZE = 256
GIVE_UP_BATCH_SIZE = 8  # a transaction of some milliseconds, though each may be as large as a task can be
MAX_GIVE_UP_S = 0.5  # between two passes of the poller
PAUSE_S = 0.01  # in which waiting writers get the database


def give_up_late_tasks(
    database: Database, rules: Rules, *, first_seen_before: datetime, now: datetime
) -> int:
    """Settle tasks first seen before then, for about `MAX_GIVE_UP_S`; returns how many.

    A few in a transaction, so that no callback is held up; what is left is for the next call.
    """
    with database.read() as connection:
        ids = tasks.ids_to_give_up(connection, first_seen_before=first_seen_before, limit=FIND_BATCH_SIZE)
    given_up, ends = 0, time.monotonic() + MAX_GIVE_UP_S
    for first in range(0, len(ids), GIVE_UP_BATCH_SIZE):
        if first and time.monotonic() >= ends:
            break
        given_up += _give_up(database, rules, ids[first : first + GIVE_UP_BATCH_SIZE], now)
        time.sleep(PAUSE_S)
    return given_up


def _give_up(database: Database, rules: Rules, ids: Sequence[str], now: datetime) -> int:
    with database.write() as connection:
        steps = [
            (task, give_up(task, now=now, rules=rules))
            for task in tasks.load_many(connection, ids).values()
            if not task.settlement.settled
        ]
        tasks.save(connection, steps)
    return len(steps)
