"""Which contents are stored already: one index lookup for each, however many are stored."""

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy import Connection, literal, select

from receiver.core.observation import Source
from receiver.store.schema import delivery

BodyKey = tuple[str | None, Source, bytes]
"""Task id, source, digest: what makes a delivery the same as another."""


def find_known_bodies(connection: Connection, contents: Collection[BodyKey]) -> set[BodyKey]:
    """Those of these contents that are stored already, by one index lookup for each."""
    named = [content for content in contents if content[0] is not None]
    nameless = [content for content in contents if content[0] is None]
    return _find(connection, named) | _find(connection, nameless)


def _find(connection: Connection, contents: Collection[BodyKey]) -> set[BodyKey]:
    """Of contents that all have a task id, or all have none."""
    rows = sorted(contents, key=repr)
    if not rows:
        return set()
    columns = (
        sa.column("task_id", sa.String),
        sa.column("source", sa.String),
        sa.column("digest", sa.LargeBinary),
    )
    sought = sa.values(*columns, name="given").data(rows).cte("sought")
    of_task = delivery.c.task_id.is_(None) if rows[0][0] is None else delivery.c.task_id == sought.c.task_id
    same = of_task & (delivery.c.source == sought.c.source) & (delivery.c.digest == sought.c.digest)
    first = select(literal(1)).where(same).limit(1).correlate(sought).scalar_subquery()
    found = connection.execute(select(sought, first.label("found")))
    return {(row.task_id, Source(row.source), bytes(row.digest)) for row in found if row.found}
