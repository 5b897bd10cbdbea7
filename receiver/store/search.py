"""Tasks found by a text: by the beginning of their ids, and by the words of their labels and titles."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select, text

from receiver.core.search_terms import search_terms
from receiver.store.schema import MAX_ID, task

MAX_MATCHES = 500
LAST_CHARACTER = "\U0010ffff"


@dataclass(frozen=True, kw_only=True, slots=True)
class Matches:
    """The numbers of tasks that match; `end` is the last one read, None where all were."""

    numbers: frozenset[int]
    end: int | None


def find_matches(connection: Connection, searched: str, *, below: int | None) -> Matches:
    """The newest matches among the tasks numbered below, at most `MAX_MATCHES` of each kind."""
    limit = MAX_ID if below is None else below
    kinds = _with_id(connection, searched, limit), _with_words(connection, searched, limit)
    end = max((found[-1] for found in kinds if len(found) == MAX_MATCHES), default=None)
    return Matches(
        numbers=frozenset(number for found in kinds for number in found if end is None or number >= end),
        end=end,
    )


def number_of(connection: Connection, task_id: str) -> int:
    """The number of a task; 0, which none has, for an unknown one."""
    return connection.scalar(select(task.c.number).where(task.c.task_id == task_id)) or 0


def _with_id(connection: Connection, beginning: str, below: int) -> Sequence[int]:
    if not beginning:
        return ()
    number = task.c.number + 0  # not the bare column, or SQLite would walk the numbers instead of the ids
    alike = task.c.task_id.between(beginning, beginning + LAST_CHARACTER)
    query = select(task.c.number).where(alike, number < below).order_by(number.desc()).limit(MAX_MATCHES)
    return connection.scalars(query).all()


def _with_words(connection: Connection, searched: str, below: int) -> Sequence[int]:
    words = search_terms(searched).split()
    if not words:
        return ()
    if connection.dialect.name == "sqlite":
        query = text(
            "SELECT rowid FROM task_words WHERE task_words MATCH :sought AND rowid < :below"
            " ORDER BY rowid DESC LIMIT :most"
        )
        query_text = " ".join(f'"{word}"*' for word in words)
    else:
        query = text(
            "SELECT number FROM task WHERE array_to_tsvector(string_to_array(words, ' ')) @@"
            " CAST(:sought AS tsquery) AND number < :below ORDER BY number DESC LIMIT :most"
        )
        query_text = " & ".join(f"'{word}':*" for word in words)
    return connection.scalars(query, {"sought": query_text, "below": below, "most": MAX_MATCHES}).all()
