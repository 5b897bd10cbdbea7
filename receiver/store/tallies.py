"""How often what happened, by the hour: counted in the transaction that did it."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, func, select

from receiver.store.schema import tally
from receiver.store.upsert import insert_into

Tallies = Counter[tuple[str, str]]
"""How often by (subject, name), such as `("callback", "duplicate")`."""


def add(connection: Connection, counts: Tallies, *, now: datetime) -> None:
    hour = now.replace(minute=0, second=0, microsecond=0)
    rows = [
        {"hour": hour, "subject": subject, "name": name, "count": count}
        for (subject, name), count in sorted(counts.items())  # one order for all, so that nobody deadlocks
        if count
    ]
    if rows:
        fresh = insert_into(connection, tally)
        total = {"count": tally.c.count + fresh.excluded.count}
        connection.execute(
            fresh.on_conflict_do_update(index_elements=["hour", "subject", "name"], set_=total), rows
        )


def totals(connection: Connection) -> Mapping[str, Mapping[str, int]]:
    """All counts by subject and name."""
    rows = connection.execute(
        select(tally.c.subject, tally.c.name, func.sum(tally.c.count)).group_by(tally.c.subject, tally.c.name)
    )
    result: dict[str, dict[str, int]] = {}
    for subject, name, count in rows:
        result.setdefault(subject, {})[name] = int(count)
    return result
