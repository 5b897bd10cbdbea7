"""Backs up a SQLite database while it is in use, and restores a backup."""

import contextlib
import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import make_url

from receiver.store.schema_version import check_known

PAGES_PER_STEP = 4000  # 16 MB
SQLITES_LOCKS = (512, 0x40000000)  # the bytes that it locks: "The Lock-Byte Page" of its file format


class BackupError(Exception):
    """Why a backup cannot be made or restored, in a sentence; nothing was changed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """What a copy holds: its tables' version, how many rows, and when the newest delivery came."""

    bytes: int
    version: str
    tasks: int
    deliveries: int
    newest: datetime | None


def database_file(url: str) -> Path | None:
    """The file of a SQLite database; None where it is not SQLite."""
    parsed = make_url(url)
    return Path(parsed.database or "") if parsed.get_backend_name() == "sqlite" else None


def back_up(
    source: Path, target: Path, *, overwrite: bool = False, tell: Callable[[int, int], None]
) -> Contents:
    """Write everything that is committed by now into one file, which appears under its name when it is whole.

    Callbacks go on meanwhile: the copy is that of one read transaction. `tell` gets the pages done and in all.
    """
    with _translate_errors(source, target):
        if target.exists() and target.samefile(source):
            raise BackupError(f"{target} is the database itself: give another file.")
        if target.exists() and not overwrite:
            raise BackupError(f"{target} exists already.")
    with _translate_errors(source, target), _replaceable(target), _made_beside(target) as fresh:
        _copy_pages(f"{source.resolve().as_uri()}?mode=rw", fresh, tell)
        _leave_wal(fresh)
        contents = inspect(fresh)
        _put(fresh, target)
    return contents


def restore(
    backup: Path, place: Path, *, now: datetime, tell: Callable[[int, int], None]
) -> tuple[Contents, Path | None]:
    """Replace the database by a backup; returns its contents, and the new path of the present database.

    Refused while any process has the database open. All sessions of the admin page end: a session that was closed
    since the backup must not come back.
    """
    place = place.resolve()  # a link stays one
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _translate_errors(backup, place), _made_beside(place) as fresh:
        _copy_pages(_only_reading(backup), fresh, tell)
        contents = inspect(fresh)
        check_known(contents.version)
        _prepare(fresh)
        previous = _set_aside(place, now) if place.exists() else None
        _put(fresh, place)
    return contents, previous


def inspect(file: Path) -> Contents:
    """Check the whole copy; raises `BackupError` where it is damaged."""
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?immutable=1", uri=True)) as connection:
        (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if found != "ok":
            raise BackupError(f"The copy is damaged: {found}")
        (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        (tasks,) = connection.execute("SELECT count(*) FROM task").fetchone()
        (deliveries,) = connection.execute("SELECT count(*) FROM delivery").fetchone()
        last = connection.execute("SELECT received_at FROM delivery ORDER BY id DESC LIMIT 1").fetchone()
    return Contents(
        bytes=file.stat().st_size,
        version=version,
        tasks=tasks,
        deliveries=deliveries,
        newest=last and datetime.fromisoformat(last[0]).replace(tzinfo=UTC),
    )


@contextmanager
def nobody_uses(file: Path) -> Iterator[None]:
    """Raises `BackupError` while any process has the database open: in WAL mode each holds a lock on the file."""
    with file.open("r+b") as held:
        try:
            fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB, *SQLITES_LOCKS)
        except OSError:
            raise BackupError(f"{file} is in use: stop the receiver first.") from None
        yield


@contextmanager
def _replaceable(target: Path) -> Iterator[None]:
    """Refuse to overwrite a database in use, or one whose write-ahead log is still there."""
    if Path(f"{target}-wal").exists():
        raise BackupError(
            f"{target} is or was a database in use, {target.name}-wal is there: give another file."
        )
    with nobody_uses(target) if target.exists() else contextlib.nullcontext():
        yield


def _only_reading(backup: Path) -> str:
    """SQLite's URL of a backup, which may be in a read-only folder: without a log nothing need be written."""
    backup = backup.resolve()
    whole = not any(Path(f"{backup}{ending}").exists() for ending in ("-wal", "-journal"))
    return f"{backup.as_uri()}?{'mode=ro&immutable=1' if whole else 'mode=rw'}"


def _copy_pages(source: str, fresh: Path, tell: Callable[[int, int], None]) -> None:
    reader = sqlite3.connect(source, uri=True, isolation_level=None)
    writer = sqlite3.connect(fresh, isolation_level=None)
    with closing(reader), closing(writer), fresh.open("r+b") as file:

        def _after(_: int, left: int, total: int) -> None:
            # Bit by bit: one great write at the end would hold up everybody else's small ones for a second.
            os.fdatasync(file.fileno())
            tell(total - left, total)

        writer.execute("PRAGMA synchronous=OFF")  # that is done here
        # In a transaction of our own, or each write of others would make it begin again.
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
        reader.backup(writer, pages=PAGES_PER_STEP, progress=_after)


def _leave_wal(fresh: Path) -> None:
    """A copy that is marked WAL could be read only by those who may write beside it."""
    with closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")


def _prepare(fresh: Path) -> None:
    with closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'admin_session'").fetchone():
            connection.execute("DELETE FROM admin_session")


def _set_aside(place: Path, now: datetime) -> Path:
    """Give the present database another name in the same folder."""
    previous = Path(f"{place}.before-restore-{now:%Y%m%dT%H%M%SZ}")
    with nobody_uses(place):
        os.link(place, previous)  # a second name, so that there always is a database
        for ending in ("-wal", "-shm"):  # of a server that was killed: they belong to the old file only
            with contextlib.suppress(FileNotFoundError):
                Path(f"{place}{ending}").rename(f"{previous}{ending}")
    return previous


@contextmanager
def _made_beside(target: Path) -> Iterator[Path]:
    """A private file in the target's folder, deleted at the end unless it was renamed."""
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        fresh.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        raise  # left by a killed process; the error names it
    except OSError as error:
        raise BackupError(f"{target}: {error.strerror}.") from error
    try:
        yield fresh
    finally:
        fresh.unlink(missing_ok=True)


def _put(fresh: Path, target: Path) -> None:
    """Give the file its name, durably, with the owner of the file it replaces."""
    if target.exists() and os.geteuid() == 0:
        owner = target.stat()
        os.chown(fresh, owner.st_uid, owner.st_gid)
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    fresh.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _translate_errors(source: Path, target: Path) -> Iterator[None]:
    no_room = f"There is not enough room in {target.parent}."
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise BackupError(no_room) from error
        raise BackupError(f"{source} cannot be read as a receiver's database: {error}.") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BackupError(no_room) from error
        raise BackupError(f"{error.filename2 or error.filename or source}: {error.strerror}.") from error
