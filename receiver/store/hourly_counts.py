"""Hourly counts, each changed in the transaction of what it counts.

`schema.tally` lists what is counted. A step that takes a count back, such as a task that settles and so is no longer
in progress, counts -1.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache

from sqlalchemy import JSON, Connection, Executable, delete, func, select, text, type_coerce

from receiver.store.schema import tally
from receiver.store.upsert import insert_into

Tallies = Counter[tuple[datetime, str, str]]
"""How often by (hour, subject, name), such as `(hour, "callback", "duplicate")`."""

# Subjects of `schema.tally`, and the name of a call that got a response; other calls have the name of their trouble.
CALL, PAUSE, REREAD = "call", "pause", "reread"
ANSWERED = "answered"
MAX_FOLD_AGE = timedelta(days=100)

Hourly = Mapping[datetime, Mapping[str, int]]


def hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def day_of(moment: datetime) -> datetime:
    return hour_of(moment).replace(hour=0)


def in_hour(moment: datetime, counts: Mapping[tuple[str, str], int]) -> Tallies:
    """These counts, put into the hour of the moment."""
    hour = hour_of(moment)
    return Counter({(hour, subject, name): count for (subject, name), count in counts.items()})


def spread(start: datetime, end: datetime, subject: str, name: str) -> Tallies:
    """The seconds from `start` to `end`, each counted in its hour."""
    counts: Tallies = Counter()
    while start < end:
        until = min(hour_of(start) + timedelta(hours=1), end)
        counts[hour_of(start), subject, name] += round((until - start).total_seconds())
        start = until
    return counts


def add(connection: Connection, counts: Tallies) -> None:
    """Once in a transaction and at its end: in one order for all, so that nobody deadlocks."""
    rows = [
        {"hour": hour, "subject": subject, "name": name, "count": count}
        for (hour, subject, name), count in sorted(counts.items())
        if count
    ]
    if rows:
        connection.execute(_add_up(connection.dialect.name), rows)


@cache  # to build it takes longer than to execute it
def _add_up(dialect: str) -> Executable:
    fresh = insert_into(dialect, tally)
    total = {"count": tally.c.count + fresh.excluded.count}
    return fresh.on_conflict_do_update(index_elements=["hour", "subject", "name"], set_=total)


def totals(connection: Connection, *subjects: str) -> Mapping[str, Mapping[str, int]]:
    """All counts of these subjects by subject and name."""
    rows = connection.execute(
        select(tally.c.subject, tally.c.name, func.sum(tally.c.count))
        .where(tally.c.subject.in_(subjects))
        .group_by(tally.c.subject, tally.c.name)
    )
    result: dict[str, dict[str, int]] = {}
    for subject, name, count in rows:
        result.setdefault(subject, {})[name] = int(count)
    return result


def by_hour(connection: Connection, subjects: Collection[str], *, since: datetime) -> Mapping[str, Hourly]:
    """The counts of these subjects by subject, hour and name, from the hour of `since` on."""
    # One row an hour: the names are put together by the database, which is three times as fast.
    together = func.json_group_object if connection.dialect.name == "sqlite" else func.json_object_agg
    counts = type_coerce(together(tally.c.name, tally.c.count), JSON)
    query = (
        select(tally.c.subject, tally.c.hour, counts)
        .where(tally.c.subject.in_(sorted(subjects)), tally.c.hour >= hour_of(since), tally.c.count != 0)
        .group_by(tally.c.subject, tally.c.hour)
    )
    result: dict[str, dict[datetime, dict[str, int]]] = {subject: {} for subject in subjects}
    for subject, hour, counted in connection.execute(query):
        result[subject][hour] = counted
    return result


def oldest_unfolded(connection: Connection, *, before: datetime) -> datetime | None:
    """The start of the oldest day before `before` whose counts still stand by the hour.

    Late changes to a day older than `MAX_FOLD_AGE` stay by the hour, so that no long history is walked.
    """
    found = [_first_unfolded(connection, subject, before) for subject in _subjects(connection)]
    return min((day_of(hour) for hour in found if hour is not None), default=None)


def _first_unfolded(connection: Connection, subject: str, before: datetime) -> datetime | None:
    hourly = (tally.c.subject == subject) & (tally.c.hour >= before - MAX_FOLD_AGE) & (tally.c.hour < before)
    hours = connection.scalars(select(tally.c.hour).where(hourly).order_by(tally.c.hour))
    return next((hour for hour in hours if hour != day_of(hour)), None)


def _subjects(connection: Connection) -> Sequence[str]:
    """All subjects, each found by skipping the rows of the one before."""
    found: list[str] = [""]
    following = select(tally.c.subject).order_by(tally.c.subject).limit(1)
    while subject := connection.scalar(following.where(tally.c.subject > found[-1])):
        found.append(subject)
    return found[1:]


def fold_day(connection: Connection, day: datetime) -> None:
    """Add up the counts of that day's hours at its start; a second process finds none.

    It locks rows in another order than counting does, and gives way before the counting would fail.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT set_config('lock_timeout', '200ms', true)"))
    within = tally.c.subject.in_(_subjects(connection)) & (tally.c.hour > day)
    within &= tally.c.hour < day + timedelta(days=1)
    gone = delete(tally).where(within).returning(tally.c.subject, tally.c.name, tally.c.count)
    counts: Tallies = Counter()
    for subject, name, count in connection.execute(gone):
        counts[day, subject, name] += count
    add(connection, counts)
