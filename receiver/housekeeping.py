"""What the store needs once in a while, whoever does it."""

from datetime import datetime, timedelta

from receiver.store import actions, tallies
from receiver.store.database import Database

BY_THE_HOUR = timedelta(days=8)  # the activity page shows seven days by the hour, the rest by the day
REFUSALS_KEPT = timedelta(days=90)
DAYS_AT_ONCE = 10


def keep_house(database: Database, *, now: datetime) -> int:
    """Forget old refusals and fold the hourly counts of days gone by, a day a transaction; says how many days."""
    with database.write() as connection:
        actions.forget_refusals(connection, before=now - REFUSALS_KEPT)
    before = tallies.day_of(now - BY_THE_HOUR)
    for folded in range(DAYS_AT_ONCE):
        with database.read() as connection:
            day = tallies.oldest_unfolded(connection, before=before)
        if day is None:
            return folded
        with database.write() as connection:
            tallies.fold_day(connection, day)
    return DAYS_AT_ONCE
