"""Tasks listed for people and programs: newest first, filtered, page by page, however many there are.

No combination of filters can make a page slow: the rows of the one index that narrows most are walked, at most
`SCAN_LIMIT` a page, and the other filters are applied to them. Nor can large tasks: a page has at most
`MAX_PAGE_CHARS` of their states. So a page may be short, or empty, and yet go on. A search reads the newest matches
first, and goes on in the same way.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import accumulate
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    false,
    func,
    literal_column,
    select,
    true,
    tuple_,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from receiver.core.cadence import PollRank
from receiver.core.problem import Problem
from receiver.core.settlement import Outcome
from receiver.core.task import Task
from receiver.store.schema import task
from receiver.store.search import find_matches, number_of
from receiver.store.task_rows import task_of

SCAN_LIMIT = 4000
MAX_PAGE_CHARS = 4_000_000  # of states, however many tasks a page may have


class Flag(StrEnum):
    """A property of a task beside its outcome and status."""

    PROBLEM = "problem"
    OVERDUE = "overdue"
    CONFLICT = "conflict"
    UNACKNOWLEDGED_CONFLICT = "unseen_conflict"
    RECOVERED = "recovered"
    LOST_CALLBACK = "lost_callback"
    ORPHAN = "orphan"


TaskPosition = tuple[datetime, str]
"""The last task of a page: when it was first seen (in the list of changes: changed), and its id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskFilter:
    """Which tasks to list: those that match every field that is not None.

    `text` finds ids that begin with it, and tasks in whose label and titles each of its words begins a word.
    `due_before` defines `OVERDUE`: not settled, and the next poll was planned before; None: no task is.
    `label` is the whole label.
    """

    outcome: str | None = None
    status: str | None = None
    label: str | None = None
    settled: bool | None = None
    flag: Flag | None = None
    text: str | None = None
    before: TaskPosition | None = None
    due_before: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Tasks, and the position to go on from; None: nothing can follow."""

    tasks: Sequence[Task]
    next: TaskPosition | None = None


Columns = ReadOnlyColumnCollection[str, Any]
Condition = Callable[[Columns], ColumnElement[bool]]

# Each as in its partial index.
_FLAGS: Mapping[Flag, Condition] = {
    Flag.PROBLEM: lambda of: of.problem.is_not(None),
    Flag.UNACKNOWLEDGED_CONFLICT: lambda of: of.problem.is_not(None) & (of.problem == Problem.CONFLICT),
    Flag.CONFLICT: lambda of: of.conflict.is_(True),
    Flag.RECOVERED: lambda of: of.recovered.is_(True),
    Flag.LOST_CALLBACK: lambda of: of.lost_callback.is_(True),
    Flag.ORPHAN: lambda of: of.registered_at.is_(None),
}
_WALK = tuple(
    task.c[name]
    for name in (
        "number",
        "task_id",
        "label",
        "first_seen_at",
        "registered_at",
        "next_poll_at",
        "poll_rank",
        "status",
        "outcome",
        "conflict",
        "recovered",
        "lost_callback",
        "problem",
    )
)


def overdue(due_before: datetime | None, of: Columns = task.c) -> ColumnElement[bool]:
    """Tasks whose poll was due before; none where nobody polls."""
    if due_before is None:
        return false()
    # Every value of `poll_rank`, so that the index that begins with it can be used.
    return and_(
        of.poll_rank.in_(list(PollRank)),
        of.next_poll_at.is_not(None),
        of.next_poll_at <= due_before,
        of.outcome == literal_column("'in_progress'"),
    )


def find(connection: Connection, filters: TaskFilter, *, limit: int) -> Page:
    """At most `limit` tasks, newest first. Of the overdue ones only the `SCAN_LIMIT` longest due are read."""
    conditions = list(conditions_of(filters))
    if contradicts_itself(filters):
        return Page(tasks=[])
    if filters.text is not None:
        return _find_matches(connection, filters, conditions, limit)
    if filters.flag is Flag.OVERDUE:
        longest_due = select(task.c.number).where(overdue(filters.due_before)).limit(SCAN_LIMIT)
        matching = _among(longest_due, conditions)
        return _page(connection, _newest(matching, task.c, filters.before, limit + 1), limit)
    if not conditions or (len(conditions) == 1 and conditions[0] is not _is_settled):
        query = _newest(select(task), task.c, filters.before, limit + 1)
        return _page(connection, query.where(*(holds(task.c) for holds in conditions)), limit)
    return _walk(connection, filters, conditions, limit)


def conditions_of(filters: TaskFilter) -> Iterator[Condition]:
    """The conditions except being overdue, first the one that most likely narrows most."""
    if filters.flag is not None and filters.flag is not Flag.OVERDUE:
        yield _FLAGS[filters.flag]
    if filters.label is not None:
        yield lambda of: of.label == filters.label
    if filters.status is not None:
        yield lambda of: of.status == filters.status
    if filters.outcome is not None:
        yield lambda of: of.outcome == filters.outcome
    elif filters.settled is not None:
        yield _is_settled if filters.settled else lambda of: of.outcome == Outcome.IN_PROGRESS


def _is_settled(of: Columns) -> ColumnElement[bool]:
    """Without an index: most tasks are settled, so the newest few include enough of them."""
    settled: ColumnElement[bool] = of.outcome != Outcome.IN_PROGRESS
    return settled


def contradicts_itself(filters: TaskFilter) -> bool:
    """Whether no task can have both this outcome and this `settled`."""
    if filters.outcome is None or filters.settled is None:
        return False
    return filters.settled is (filters.outcome == Outcome.IN_PROGRESS)


def _walk(connection: Connection, filters: TaskFilter, conditions: Sequence[Condition], limit: int) -> Page:
    first = true() if conditions[0] is _is_settled else conditions[0](task.c)
    walked = _newest(select(*_WALK), task.c, filters.before, SCAN_LIMIT).where(first).subquery()
    found = select(walked.c.number).where(*(holds(walked.c) for holds in conditions)).limit(limit + 1)
    page = _page(connection, _newest(select(task).where(task.c.number.in_(found)), task.c), limit)
    if page.next is not None:
        return page
    last = _newest(select(task.c.first_seen_at, task.c.task_id), task.c, filters.before, 1)
    return _with_next(connection, page, last.where(first).offset(SCAN_LIMIT - 1))


def _find_matches(
    connection: Connection, filters: TaskFilter, conditions: Sequence[Condition], limit: int
) -> Page:
    """In the order of creation, which is that of the numbers."""
    below = None if filters.before is None else number_of(connection, filters.before[1])
    matches = find_matches(connection, filters.text or "", below=below)
    late = [lambda of: overdue(filters.due_before, of)] if filters.flag is Flag.OVERDUE else []
    query = _among(matches.numbers, [*conditions, *late]).order_by(task.c.number.desc()).limit(limit + 1)
    page = _page(connection, query, limit)
    if page.next is not None or matches.end is None:
        return page
    last = select(task.c.first_seen_at, task.c.task_id).where(task.c.number == matches.end)
    return _with_next(connection, page, last)


def _among(numbers: Select[Any] | frozenset[int], conditions: Sequence[Condition]) -> Select[Any]:
    """Those of these tasks that match. The limit keeps SQLite from walking another index in search of a few."""
    chosen = select(*_WALK).where(task.c.number.in_(numbers)).limit(2 * SCAN_LIMIT).subquery()
    matching = select(chosen.c.number).where(*(holds(chosen.c) for holds in conditions))
    return select(task).where(task.c.number.in_(matching))


def _with_next(connection: Connection, page: Page, last: Select[Any]) -> Page:
    """The page, which goes on after the last task that was read, if there is one."""
    end = connection.execute(last).first()
    return page if end is None else replace(page, next=(end.first_seen_at, end.task_id))


def _newest(
    query: Select[Any], of: Columns, before: TaskPosition | None = None, limit: int | None = None
) -> Select[Any]:
    if before is not None:
        query = query.where(tuple_(of.first_seen_at, of.task_id) < tuple_(*before))
    return query.order_by(of.first_seen_at.desc(), of.task_id.desc()).limit(limit)


def _page(connection: Connection, query: Select[Any], limit: int) -> Page:
    shown, more = load_page(connection, query, limit)
    return Page(tasks=shown, next=(shown[-1].first_seen_at, shown[-1].task_id) if more else None)


def load_page(connection: Connection, query: Select[Any], limit: int) -> tuple[Sequence[Task], bool]:
    """The first `limit` tasks of this query, as many as fit into a page, one at least; and whether more follow.

    First their numbers, so that no state is read that is not shown.
    """
    numbers = connection.scalars(query.with_only_columns(task.c.number)).all()
    shown = _within_size(connection, numbers[:limit]) if numbers else []
    rows = connection.execute(select(task).where(task.c.number.in_(shown))) if shown else ()
    found = {row.number: task_of(row) for row in rows}
    return [found[number] for number in shown], len(shown) < len(numbers)


def _within_size(connection: Connection, numbers: Sequence[int]) -> Sequence[int]:
    length = func.length(task.c.state).label("length")
    rows = connection.execute(select(task.c.number, length).where(task.c.number.in_(numbers)))
    sizes = {row.number: row.length for row in rows}
    taken = list(accumulate(sizes[number] for number in numbers))
    return numbers[: max(1, bisect_right(taken, MAX_PAGE_CHARS))]


def count_problems(connection: Connection, *, most: int) -> int:
    """How many tasks have a problem; counting stops at `most`."""
    rows = select(task.c.number).where(task.c.problem.is_not(None)).limit(most).subquery()
    return connection.scalar(select(func.count()).select_from(rows)) or 0
