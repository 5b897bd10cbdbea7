"""Which errors of a driver are about one statement and its data, and which about the database.

A refused statement is refused again, however often it is sent, and harms nobody else's. A database that cannot be
reached, is locked, full or broken takes nobody's.
"""

import sqlite3

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError

REFUSALS = (DataError, IntegrityError, ProgrammingError)  # what a driver raises of its own, without a code

# PostgreSQL's SQLSTATE classes: data exception, integrity constraint, syntax or access rule, program limit exceeded.
REFUSED_CLASSES = ("22", "23", "42", "54")
# Of those, what an operator has to mend, for every statement: no privilege, no such table or column.
BROKEN_SCHEMA = ("42501", "42P01", "42703")

REFUSED_CODES = (
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_RANGE,
    sqlite3.SQLITE_TOOBIG,
)
MISSING = ("no such table", "no such column", "has no column")


class StatementRefusedError(Exception):
    """The database refused a statement or its data; nothing of the transaction is stored, and the database is well."""


def was_refused(error: DBAPIError) -> bool:
    """Whether the statement is at fault, so that others may well be taken."""
    sqlstate, code = getattr(error.orig, "sqlstate", None), getattr(error.orig, "sqlite_errorcode", None)
    if sqlstate is not None:
        return sqlstate.startswith(REFUSED_CLASSES) and sqlstate not in BROKEN_SCHEMA
    if code is None:
        return isinstance(error, REFUSALS) and not error.connection_invalidated
    primary = code & 0xFF  # the rest of it is the extended code
    if primary == sqlite3.SQLITE_ERROR:
        return not any(missing in str(error.orig) for missing in MISSING)
    return primary in REFUSED_CODES


def message_of(error: BaseException) -> str:
    """What the driver says, without the row that PostgreSQL adds to it, which holds a body."""
    original = getattr(error, "orig", None) or error
    primary = getattr(getattr(original, "diag", None), "message_primary", None)
    return primary or str(original)
