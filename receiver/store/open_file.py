"""Whether a connection's SQLite file still is the database.

SQLite goes on writing to a file that was deleted, moved or replaced, and to a log (`-wal`) that was: what is written
there is lost. The operating system tells such files apart by device and inode.
"""

import os
import sqlite3
from collections.abc import MutableMapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

LOG_OF_FORMER = (
    "the database file was replaced, and the write-ahead log (-wal) beside it is the former one's,"
    " which another process still uses"
)

Identity = tuple[int, int]
Info = MutableMapping[str, Any]  # what SQLAlchemy lets us note about a connection


class FileState(Enum):
    """What became of the file that a connection has open, as a sentence for people."""

    SAME = "the database file is the one that was opened"
    MISSING = "the database file was deleted or moved away while in use: put it back, or restore a backup"
    REPLACED = "the database file was replaced while in use"
    LOG_LOST = "the database's write-ahead log (-wal) was deleted or replaced while in use"


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """What a connection opened: the database and its log, which is None outside of WAL mode."""

    file: "Identity | None"
    log: "Identity | None"
    log_path: str


class OpenFile:
    """Compares what connections have opened with what has the database's name now."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._last: Opened | None = None

    def before_connecting(self) -> None:
        """Raise where SQLite would make an empty database, or would read another's log into a new one."""
        if self._last is None:
            return
        file = identity(self._path)
        if file is None:
            raise sqlite3.OperationalError(FileState.MISSING.value)
        log = identity(self._log_path())
        if file != self._last.file and log is not None and log == self._last.log:
            raise sqlite3.OperationalError(LOG_OF_FORMER)

    def connected(self, connection: sqlite3.Connection, info: Info) -> None:
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()  # only a read opens the log
        log_path = self._log_path()
        self._last = Opened(file=identity(self._path), log=identity(log_path), log_path=log_path)
        info["opened"] = self._last

    def state(self, info: Info) -> FileState:
        opened: Opened = info["opened"]
        file = identity(self._path)
        if file is None:
            return FileState.MISSING
        if file != opened.file:
            return FileState.REPLACED
        lost = opened.log is not None and identity(opened.log_path) != opened.log
        return FileState.LOG_LOST if lost else FileState.SAME

    def leave(self, connection: sqlite3.Connection, info: Info) -> None:
        """Bring what is only in the log into the file it belongs to; a log left beside another file is removed.

        SQLite would read that log into the new file, and damage it.
        """
        opened: Opened = info["opened"]
        log = identity(opened.log_path)
        if self.state(info) is FileState.LOG_LOST and log is not None:
            return  # somebody has begun another log, and the old one's pages must not be written over its own
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if self.state(info) is FileState.REPLACED and log is not None and log == opened.log:
            if busy:
                raise sqlite3.OperationalError(LOG_OF_FORMER)
            Path(opened.log_path).unlink()
            Path(opened.log_path.removesuffix("-wal") + "-shm").unlink(missing_ok=True)

    def _log_path(self) -> str:
        return f"{os.path.realpath(self._path)}-wal"


def identity(path: str) -> Identity | None:
    """The identity of this file; None where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116  four times a transaction, and a Path takes five times as long
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
