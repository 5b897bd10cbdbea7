"""The files of a SQLite database, which only their owner may read: they hold lyrics and sessions.

SQLite gives its `-wal` and `-shm` the mode of the database, so that it has to be right before SQLite makes it.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

BESIDE = ("-wal", "-shm", ".lock")
OTHERS = 0o007


def make_private(file: Path) -> None:
    """Create an empty file that only its owner may read, whatever the umask; an existing one stays untouched.

    It must not even be opened: closing it again would end the locks that SQLite holds on it in this process.
    """
    with contextlib.suppress(OSError):  # SQLite says what is wrong with the place
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def open_private(file: Path) -> IO[bytes]:
    """Open a file of ours to lock it, making it where there is none."""
    return open(file, "ab", opener=lambda path, flags: os.open(path, flags, 0o600))


def hide_from_others(file: Path) -> None:
    """Remove the rights of others, which an older version gave. Those of the group may be intended."""
    for path in files_of(file):
        with contextlib.suppress(OSError):  # not ours; `receiver check` reports it
            mode = path.stat().st_mode
            if mode & OTHERS:
                path.chmod(mode & 0o770)


def readable_by_anybody(file: Path) -> Iterator[Path]:
    """Those of the database's files that every user of this machine may read, where they may enter the folder."""
    if file.parent.stat().st_mode & 0o001:
        yield from (path for path in files_of(file) if path.stat().st_mode & 0o004)


def files_of(file: Path) -> list[Path]:
    """The database and the existing files beside it."""
    return [path for path in (file, *(Path(f"{file}{ending}") for ending in BESIDE)) if path.exists()]
