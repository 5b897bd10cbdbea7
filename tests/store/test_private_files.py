"""What a SQLite database writes is for its owner alone, whatever the umask."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from receiver.store.backup import back_up, restore
from receiver.store.database import Database
from receiver.store.database_copy import copy_rows
from tests.conftest import T0


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def used(file: Path) -> Database:
    """A database in which something was written."""
    database = Database(f"sqlite:///{file}")
    database.migrate()
    with database.write() as connection:
        connection.execute(text("DELETE FROM task"))
    return database


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


@pytest.mark.parametrize("mask", [0, 0o022, 0o002, 0o077])
def test_all_files_are_made_for_their_owner_alone(tmp_path: Path, mask: int) -> None:
    with umask(mask):
        database = used(tmp_path / "instance" / "receiver.db")
        names = ("receiver.db", "receiver.db-wal", "receiver.db-shm", "receiver.db.lock")
        assert modes(tmp_path / "instance") == dict.fromkeys(names, 0o600)
        assert (tmp_path / "instance").stat().st_mode & 0o777 == 0o700
        database.engine.dispose()


def test_backups_copies_and_what_is_put_back_are_too(tmp_path: Path) -> None:
    with umask(0):
        source = used(tmp_path / "receiver.db")
        back_up(tmp_path / "receiver.db", tmp_path / "backup.db", tell=lambda *_: None)
        target = Database(f"sqlite:///{tmp_path}/copy.db")
        target.migrate()
        copy_rows(source, target, tell=lambda _: None)
        for opened in (source, target):
            opened.engine.dispose()
        restore(tmp_path / "backup.db", tmp_path / "receiver.db", now=T0, tell=lambda *_: None)
        used(tmp_path / "receiver.db").engine.dispose()
    assert len(modes(tmp_path)) >= 6
    assert set(modes(tmp_path).values()) == {0o600}


def test_a_start_takes_from_strangers_what_an_older_version_gave_them_and_leaves_the_group_its_own(
    tmp_path: Path,
) -> None:
    database = used(tmp_path / "receiver.db")
    for path in tmp_path.iterdir():
        path.chmod(0o664)
    again = Database(str(database.url))
    again.migrate()
    again.engine.dispose()
    assert set(modes(tmp_path).values()) == {0o660}
    database.engine.dispose()


def test_a_file_that_is_there_is_not_opened_and_closed_beside_sqlite(tmp_path: Path) -> None:
    """Closing it would give up the locks of this process, and another one could write at the same time."""
    database = used(tmp_path / "receiver.db")
    with database.read() as connection, database.read() as other:
        assert connection.scalar(text("SELECT 1")) == other.scalar(text("SELECT 1")) == 1
        assert connection is not other
        # In WAL mode each open connection holds a shared lock on one byte of the file.
        inode = (tmp_path / "receiver.db").stat().st_ino
        locks = Path("/proc/locks").read_text(encoding="utf-8").splitlines()
        assert [line for line in locks if f":{inode} " in line]
    database.engine.dispose()
