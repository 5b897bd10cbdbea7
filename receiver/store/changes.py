"""Tasks listed in order of change, so that a program can go on where it stopped and misses nothing.

As in `task_list` no filter makes a page slow: at most `SCAN_LIMIT` of the changes are read for one page. So a page may
be short, or empty, and yet go on.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Select, and_, false, func, literal, or_, select, tuple_

from receiver.core.search_terms import search_terms
from receiver.store.schema import task
from receiver.store.task_list import (
    SCAN_LIMIT,
    Columns,
    Condition,
    Page,
    TaskFilter,
    TaskPosition,
    conditions_of,
    contradicts_itself,
    load_page,
)

_SCANNED = (
    "number", "task_id", "changed_at", "label", "registered_at", "status", "outcome", "conflict", "recovered",
    "lost_callback", "problem", "words",
)  # fmt: skip


def find_changes(
    connection: Connection, filters: TaskFilter, *, since: datetime, after: TaskPosition | None, limit: int
) -> Page:
    """At most `limit` tasks that changed at `since` or later, or after the position `after`; oldest change first."""
    if contradicts_itself(filters):
        return Page(tasks=[])
    conditions = [*conditions_of(filters), *_text_conditions(connection, filters.text)]
    place = task.c.changed_at >= since
    if after is not None:
        place = tuple_(task.c.changed_at, task.c.task_id) > tuple_(*after)
    if not conditions:
        return _page(connection, _in_order(select(task).where(place)).limit(limit + 1), limit)
    walked = _in_order(select(*(task.c[name] for name in _SCANNED)).where(place)).limit(SCAN_LIMIT).subquery()
    found = select(walked.c.number).where(*(holds(walked.c) for holds in conditions)).limit(limit + 1)
    page = _page(connection, _in_order(select(task).where(task.c.number.in_(found))), limit)
    if page.next is not None:
        return page
    last = _in_order(select(task.c.changed_at, task.c.task_id).where(place)).offset(SCAN_LIMIT - 1).limit(1)
    end = connection.execute(last).first()
    return page if end is None else Page(tasks=page.tasks, next=(end.changed_at, end.task_id))


def _text_conditions(connection: Connection, text: str | None) -> Sequence[Condition]:
    """The condition of a search, checked on each row instead of in the index of words."""
    if text is None:
        return ()
    position = func.instr if connection.dialect.name == "sqlite" else func.strpos

    def matches(of: Columns) -> ColumnElement[bool]:
        begins = [position(" " + of.words, literal(f" {word}")) > 0 for word in search_terms(text).split()]
        has_id = func.substr(of.task_id, 1, len(text)) == text if text else false()
        return or_(has_id, and_(*begins)) if begins else has_id

    return (matches,)


def _in_order(query: Select[tuple[object, ...]]) -> Select[tuple[object, ...]]:
    return query.order_by(task.c.changed_at, task.c.task_id)


def _page(connection: Connection, query: Select[tuple[object, ...]], limit: int) -> Page:
    shown, more = load_page(connection, query, limit)
    last = shown[-1] if more else None
    return Page(tasks=shown, next=(last.changed_at, last.task_id) if last and last.changed_at else None)
