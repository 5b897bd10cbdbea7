"""The database: reading, writing one transaction at a time, and its migrations."""

import fcntl
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from receiver.store.engines import driver_connection, postgresql_engine, sqlite_engine
from receiver.store.open_file import FileState, OpenFile
from receiver.store.private_files import hide_from_others, open_private
from receiver.store.schema_version import (
    MIGRATIONS,
    OutdatedTablesError,
    SchemaVersions,
    read_schema_versions,
)
from receiver.store.statement_errors import StatementRefusedError, message_of, was_refused

log = logging.getLogger(__name__)

# Together well under the 15 seconds that the upstream waits for an answer.
LOCK_TIMEOUT_S = 4.0
LOCK_POLL_S = 0.001  # a transaction takes a few of these
LOCKED = "another process holds the database's lock"
MIGRATION_LOCK = 7_310_563  # any number, the same in every process: PostgreSQL's advisory lock

# Set for each transaction, not for the session: that is pgbouncer's, too. The idle limit takes its locks from a node
# that is gone in the middle of a transaction, before others have waited too long for them. What is answered 2xx is on
# disk, whatever the server's default is.
TRANSACTION_LIMITS = text(
    "SELECT set_config('lock_timeout', '4s', true), set_config('statement_timeout', '8s', true),"
    " set_config('idle_in_transaction_session_timeout', '3s', true),"
    " set_config('synchronous_commit',"
    " coalesce(nullif(current_setting('synchronous_commit'), 'off'), 'on'), true)"
)


class StoreUnavailableError(Exception):
    """The database cannot be read or written now; nothing of the transaction is stored."""


class Database:
    """An engine for `url`. SQLite's writers in all processes take turns by a file lock.

    SQLite's own busy handler waits longer after each try, so that a writer may starve for a second. This lock is
    tried every millisecond before `BEGIN IMMEDIATE`, and ends with its process. The threads of one process queue for
    it. PostgreSQL needs no lock: a transaction waits only for those that write the same tasks.
    """

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._queue = threading.Lock()
        self._lock_path = _lock_path(self.url) if self.is_sqlite else None
        self._file = OpenFile(self.url.database or "")
        self.engine = sqlite_engine(self.url, self._file) if self.is_sqlite else postgresql_engine(self.url)
        snapshot = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._reading = self.engine if self.is_sqlite else self.engine.execution_options(**snapshot)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection to read with; everything read is of one moment."""
        with _translate_errors(), self._reading.connect() as connection:
            yield connection

    @contextmanager
    def write(self, *, meanwhile: Callable[[], bool] = lambda: False) -> Iterator[Connection]:
        """One durable transaction: committed and on disk when the block is left without an error.

        While another process writes, `meanwhile` is called again and again; it returns whether there was work to do.
        """
        with self._exclusive(meanwhile), _translate_errors(), self._connect() as connection:
            connection.execution_options(immediate=True)
            with connection.begin():
                if not self.is_sqlite:
                    connection.execute(TRANSACTION_LIMITS)
                yield connection
            self._refuse_lost(connection)

    def _connect(self) -> Connection:
        """A connection to what is the database now: where SQLite's file was replaced, all are opened anew."""
        connection = self.engine.connect()
        state = self._file.state(connection.info) if self.is_sqlite else FileState.SAME
        if state is FileState.SAME:
            return connection
        with connection:
            if state is FileState.MISSING:  # kept open: it may be put back
                raise StoreUnavailableError(state.value)
            log.error("%s; it is opened again", state.value)
            self._file.leave(driver_connection(connection), connection.info)
        self.engine.dispose()
        return self.engine.connect()

    def _refuse_lost(self, connection: Connection) -> None:
        """After the commit, so that nothing is acknowledged which went to a file that nobody will find again."""
        state = self._file.state(connection.info) if self.is_sqlite else FileState.SAME
        if state is not FileState.SAME:
            raise StoreUnavailableError(state.value)

    def migrate(self) -> None:
        """Bring the tables to the present version; safe when many processes start at once.

        Where nothing is to be done nothing is locked: a worker may be born while a backup holds the database.
        """
        if self.is_sqlite:
            hide_from_others(Path(self.url.database or ""))
        if not self.schema_versions().pending:
            self.engine.dispose()
            return
        with self._exclusive(), _translate_errors(), self.engine.connect() as connection:
            if self.is_sqlite:  # past SQLAlchemy, which would open a transaction first
                connection.connection.cursor().execute("PRAGMA journal_mode=WAL")
            connection.execution_options(immediate=True)
            with connection.begin():
                if not self.is_sqlite:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
                versions = read_schema_versions(connection)
                if versions.tables is None:
                    log.info("creating the tables")
                elif versions.pending:  # another process may have been first
                    log.warning("bringing the tables up to date; with many rows this takes minutes")
                command.upgrade(_alembic(connection), "head")
        self.engine.dispose()  # nothing of the parent's is left for a worker that is forked later

    def schema_versions(self) -> SchemaVersions:
        """The version of the tables and of this program; `NewerTablesError` where the tables are newer."""
        with self.read() as connection:
            return read_schema_versions(connection)

    def require_current_tables(self) -> None:
        """`OutdatedTablesError` where the tables are older than this program, `NewerTablesError` where newer."""
        versions = self.schema_versions()
        if versions.pending:
            raise OutdatedTablesError(versions)

    @contextmanager
    def _exclusive(self, meanwhile: Callable[[], bool] = lambda: False) -> Iterator[None]:
        if self._lock_path is None:
            yield
            return
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        if not self._queue.acquire(timeout=LOCK_TIMEOUT_S):
            raise StoreUnavailableError(LOCKED)
        try:
            with _translate_errors(), open_private(self._lock_path) as lock:
                _lock_until(deadline, lock, meanwhile)
                yield  # closing the file gives the lock back
        finally:
            self._queue.release()


def database_now(connection: Connection) -> datetime:
    """The time by the clock that all who share the database share: PostgreSQL's own, or this one machine's."""
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)
    now: datetime = connection.scalar(text("SELECT clock_timestamp()"))
    return now.astimezone(UTC)


def _lock_until(deadline: float, lock: IO[bytes], meanwhile: Callable[[], bool]) -> None:
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StoreUnavailableError(LOCKED) from None
            if not meanwhile():
                time.sleep(LOCK_POLL_S)
        else:
            return


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, PoolTimeoutError, OSError, sqlite3.OperationalError) as error:
        if isinstance(error, DBAPIError) and was_refused(error):
            # Without its cause, which would be logged with it: PostgreSQL tells the whole row, and that holds a body.
            raise StatementRefusedError(message_of(error)) from None
        raise StoreUnavailableError(message_of(error)) from error


def _alembic(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def _lock_path(url: URL) -> Path:
    assert url.database
    return Path(f"{url.database}.lock")
