"""Tasks listed for people and programs: newest first, filtered, page by page, however many there are.

No combination of filters can make a page slow: the rows of the one index that narrows most are walked, at most
`WALKED` a page, and the other filters are applied to them. A page may so be short, or empty, and yet go on.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, literal_column, select, text, tuple_
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from receiver.core.task import Task
from receiver.core.words import words_of
from receiver.store.schema import task
from receiver.store.tasks import task_of

WALKED = 4000
MATCHES = 500
LAST_CHARACTER = "\U0010ffff"


class Flag(StrEnum):
    """What a task can be beside its outcome and status."""

    PROBLEM = "problem"
    OVERDUE = "overdue"
    CONFLICT = "conflict"
    RECOVERED = "recovered"
    LOST_CALLBACK = "lost_callback"
    ORPHAN = "orphan"


Place = tuple[datetime, str]
"""Where a list is: first seen, and the task id where that is the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """Which tasks to list; every part that is given must hold.

    `text` finds ids that begin with it, and tasks in whose label and titles each of its words begins a word.
    `due_before` is what `OVERDUE` means: not settled, and the next look was planned before.
    """

    outcome: str | None = None
    status: str | None = None
    flag: Flag | None = None
    text: str | None = None
    before: Place | None = None
    due_before: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Tasks, and where to go on (None: nothing can follow). `cut`: only the newest matches of a text were looked at."""

    tasks: Sequence[Task]
    next: Place | None = None
    cut: bool = False


Columns = ReadOnlyColumnCollection[str, Any]
Condition = Callable[[Columns], ColumnElement[bool]]

# Each as its partial index says it.
_FLAGS: Mapping[Flag, Condition] = {
    Flag.PROBLEM: lambda of: of.problem.is_not(None),
    Flag.OVERDUE: lambda of: of.outcome == literal_column("'in_progress'"),
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
        "first_seen_at",
        "registered_at",
        "next_poll_at",
        "status",
        "outcome",
        "conflict",
        "recovered",
        "lost_callback",
        "problem",
    )
)


def find(connection: Connection, wanted: Filter, *, limit: int) -> Page:
    """At most `limit` tasks, newest first."""
    conditions = list(_conditions(wanted))
    if wanted.text is not None:
        return _find_matches(connection, wanted, conditions, limit)
    if len(conditions) <= 1:
        query = _newest(select(task), task.c, wanted.before, limit + 1)
        return _page(connection, query.where(*(holds(task.c) for holds in conditions)), limit)
    return _walk(connection, wanted, conditions, limit)


def _conditions(wanted: Filter) -> Iterator[Condition]:
    """What must hold, first what most likely narrows most."""
    if wanted.flag is not None:
        yield _FLAGS[wanted.flag]
    if wanted.flag is Flag.OVERDUE:
        yield lambda of: of.next_poll_at <= wanted.due_before
    if wanted.status is not None:
        yield lambda of: of.status == wanted.status
    if wanted.outcome is not None:
        yield lambda of: of.outcome == wanted.outcome


def _walk(connection: Connection, wanted: Filter, conditions: Sequence[Condition], limit: int) -> Page:
    first, *others = conditions
    walked = _newest(select(*_WALK), task.c, wanted.before, WALKED).where(first(task.c)).subquery()
    found = select(walked.c.number).where(*(holds(walked.c) for holds in others)).limit(limit + 1)
    page = _page(connection, _newest(select(task).where(task.c.number.in_(found)), task.c), limit)
    if page.next is not None:
        return page
    last = _newest(select(task.c.first_seen_at, task.c.task_id), task.c, wanted.before, 1)
    end = connection.execute(last.where(first(task.c)).offset(WALKED - 1)).first()
    return page if end is None else replace(page, next=(end.first_seen_at, end.task_id))


def _find_matches(
    connection: Connection, wanted: Filter, conditions: Sequence[Condition], limit: int
) -> Page:
    by_id, by_word = _with_id(connection, wanted.text or ""), _with_words(connection, wanted.text or "")
    # The limit keeps SQLite from taking this apart and walking another index in search of a few numbers.
    matches = select(*_WALK).where(task.c.number.in_({*by_id, *by_word})).limit(2 * MATCHES).subquery()
    fitting = select(matches.c.number).where(*(holds(matches.c) for holds in conditions))
    found = _newest(fitting, matches.c, wanted.before, limit + 1).subquery()
    query = select(task).where(task.c.number.in_(select(found.c.number)))
    page = _page(connection, _newest(query, task.c), limit)
    return replace(page, cut=MATCHES in (len(by_id), len(by_word)))


def _with_id(connection: Connection, beginning: str) -> Sequence[int]:
    if not beginning:
        return ()
    alike = task.c.task_id.between(beginning, beginning + LAST_CHARACTER)
    return connection.scalars(select(task.c.number).where(alike).limit(MATCHES)).all()


def _with_words(connection: Connection, sought: str) -> Sequence[int]:
    words = words_of(sought).split()
    if not words:
        return ()
    if connection.dialect.name == "sqlite":
        query = text(
            "SELECT rowid FROM task_words WHERE task_words MATCH :sought ORDER BY rowid DESC LIMIT :most"
        )
        given = {"sought": " ".join(f'"{word}"*' for word in words), "most": MATCHES}
    else:
        query = text(
            "SELECT number FROM task WHERE array_to_tsvector(string_to_array(words, ' ')) @@"
            " CAST(:sought AS tsquery) ORDER BY number DESC LIMIT :most"
        )
        given = {"sought": " & ".join(f"'{word}':*" for word in words), "most": MATCHES}
    return connection.scalars(query, given).all()


def _newest(
    query: Select[Any], of: Columns, before: Place | None = None, limit: int | None = None
) -> Select[Any]:
    if before is not None:
        query = query.where(tuple_(of.first_seen_at, of.task_id) < tuple_(*before))
    return query.order_by(of.first_seen_at.desc(), of.task_id.desc()).limit(limit)


def _page(connection: Connection, query: Select[Any], limit: int) -> Page:
    found = [task_of(row) for row in connection.execute(query)]
    shown = found[:limit]
    more = len(found) > limit
    return Page(tasks=shown, next=(shown[-1].first_seen_at, shown[-1].task_id) if more else None)


def count_problems(connection: Connection, *, most: int) -> int:
    """How many tasks a person should look at; counting stops at `most`."""
    rows = select(task.c.number).where(task.c.problem.is_not(None)).limit(most).subquery()
    return connection.scalar(select(func.count()).select_from(rows)) or 0
