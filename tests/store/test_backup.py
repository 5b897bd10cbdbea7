"""A copy of the database holds everything, and put back it is the database again."""

import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from receiver.intake import callback_delivery
from receiver.runtime import Runtime
from receiver.store import deliveries, login_attempts
from receiver.store.backup import BackupError, back_up, inspect, restore
from receiver.store.database import Database
from receiver.store.schema_version import NewerTablesError
from tests.conftest import T0, need


def tell(runtime: Runtime, *numbers: int) -> None:
    runtime.intake.accept(
        [
            callback_delivery(f'{{"code": 200, "data": {{"task_id": "t-{n}"}}}}'.encode(), now=T0, secrets=())
            for n in numbers
        ]
    )


def silent(done: int, total: int) -> None:
    assert done <= total


def everything(file: Path) -> list[str]:
    with sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True) as connection:
        lines = list(connection.iterdump())
    connection.close()
    return lines


@contextmanager
def used_by_another(file: Path) -> Iterator[None]:
    """A process reads in it, in a transaction that it does not end."""
    holds = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN'); c.execute('SELECT * FROM task').fetchall(); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holds, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout
        other.stdout.readline()
        yield
        other.communicate()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "receiver.db"


def test_a_backup_holds_what_is_only_in_the_log_too_and_belongs_to_its_owner(
    runtime: Runtime, place: Path, tmp_path: Path
) -> None:
    tell(runtime, *range(50))
    copy = tmp_path / "copy.db"
    contents = back_up(place, copy, tell=silent)
    assert (contents.tasks, contents.deliveries, contents.newest) == (50, 50, T0)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("*copy*")] == ["copy.db"], "one file, and nothing else"
    assert everything(copy) == everything(place)


def test_a_backup_is_overwritten_only_on_demand_and_never_half(
    runtime: Runtime, place: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    back_up(place, copy, tell=silent)
    tell(runtime, 1)
    with pytest.raises(BackupError, match="exists already"):
        back_up(place, copy, tell=silent)
    with pytest.raises(BackupError, match=r"cannot be read|No such file|unable to open"):
        back_up(tmp_path / "missing.db", copy, overwrite=True, tell=silent)
    assert inspect(copy).tasks == 0
    assert back_up(place, copy, overwrite=True, tell=silent).tasks == 1
    with pytest.raises(BackupError, match=r"/nowhere/copy\.db: No such file"):
        back_up(place, tmp_path / "nowhere" / "copy.db", tell=silent)


def test_a_restored_database_is_the_backup_and_the_other_is_kept(
    runtime: Runtime, place: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    tell(runtime, 1)
    with runtime.database.write() as connection:
        login_attempts.open_session(connection, "key", expires_at=T0 + timedelta(days=99), now=T0)
    back_up(place, copy, tell=silent)
    tell(runtime, 2)
    runtime.database.engine.dispose()
    contents, previous = restore(copy, place, now=T0, tell=silent)
    assert (contents.tasks, previous) == (1, Path(f"{place}.before-restore-20260101T120000Z"))
    with runtime.database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert [row.task_id for row in deliveries.of_task(connection, "t-1")] == ["t-1"]
        assert not deliveries.of_task(connection, "t-2")
        assert not login_attempts.session_open(connection, "key", now=T0), (
            "who signed out must stay signed out"
        )
    tell(runtime, 3)
    runtime.database.engine.dispose()
    assert previous is not None
    assert inspect(previous).tasks == 2
    restore(previous, place, now=T0 + timedelta(seconds=1), tell=silent)
    assert inspect(place).tasks == 2


def test_a_backup_is_restored_where_there_is_no_database_yet(
    runtime: Runtime, place: Path, tmp_path: Path
) -> None:
    tell(runtime, 1)
    back_up(place, tmp_path / "copy.db", tell=silent)
    elsewhere = tmp_path / "new machine" / "receiver #1?.db"
    assert restore(tmp_path / "copy.db", elsewhere, now=T0, tell=silent)[1] is None
    assert inspect(elsewhere).tasks == 1


def test_nothing_is_restored_over_a_database_that_somebody_uses(
    runtime: Runtime, place: Path, tmp_path: Path
) -> None:
    back_up(place, tmp_path / "copy.db", tell=silent)
    runtime.database.engine.dispose()
    with used_by_another(place), pytest.raises(BackupError, match="is in use: stop the receiver"):
        restore(tmp_path / "copy.db", place, now=T0, tell=silent)
    restore(tmp_path / "copy.db", place, now=T0, tell=silent)


def test_what_a_killed_server_left_is_kept_with_its_log_and_never_mixed_in(
    runtime: Runtime, place: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    back_up(place, copy, tell=silent)
    writes = "import sqlite3, sys, os; c = sqlite3.connect(sys.argv[1]); c.execute(\"INSERT INTO probe VALUES (7, '2026-01-01')\"); c.commit(); os._exit(0)"
    runtime.database.engine.dispose()
    subprocess.run([sys.executable, "-c", writes, str(place)], check=True)
    assert Path(f"{place}-wal").stat().st_size
    _, previous = restore(copy, place, now=T0, tell=silent)
    assert previous
    for file, rows in ((place, 0), (previous, 1)):
        connection = sqlite3.connect(file)
        assert connection.execute("SELECT count(*) FROM probe").fetchone() == (rows,)
        connection.close()


def test_a_damaged_database_can_be_restored_over(runtime: Runtime, place: Path, tmp_path: Path) -> None:
    tell(runtime, 1)
    back_up(place, tmp_path / "copy.db", tell=silent)
    runtime.database.engine.dispose()
    place.write_bytes(b"not a database any more" * 1000)
    restore(tmp_path / "copy.db", place, now=T0, tell=silent)
    assert inspect(place).tasks == 1


def test_what_is_no_sound_backup_of_a_version_we_know_is_refused_and_nothing_is_touched(
    runtime: Runtime, place: Path, tmp_path: Path
) -> None:
    tell(runtime, *range(300))
    copy, broken, other, newer = (tmp_path / f"{name}.db" for name in ("copy", "broken", "other", "newer"))
    back_up(place, copy, tell=silent)
    runtime.database.engine.dispose()
    before = everything(place)
    whole = bytearray(copy.read_bytes())
    whole[40 * 4096 : 60 * 4096] = bytes(20 * 4096)
    broken.write_bytes(whole)
    for file, statement in (
        (other, "CREATE TABLE a (b)"),
        (newer, "UPDATE alembic_version SET version_num = '9999'"),
    ):
        if file is newer:
            newer.write_bytes(copy.read_bytes())
        with sqlite3.connect(file) as connection:
            connection.execute(statement)
        connection.close()
    for file, error, words in (
        (broken, BackupError, "damaged|malformed"),
        (other, BackupError, "no such table"),
        (newer, NewerTablesError, "version 9999"),
        (tmp_path / "missing.db", BackupError, "unable to open"),
        (Path(__file__), BackupError, "not a database"),
    ):
        with pytest.raises(error, match=words):
            restore(file, place, now=T0, tell=silent)
    assert everything(place) == before
    assert not list(tmp_path.glob("*before-restore*"))
    assert not list(tmp_path.glob(".*"))


def test_a_database_of_a_newer_program_is_named_as_such(runtime: Runtime) -> None:
    from receiver.store.schema_version import read_schema_versions

    with runtime.database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with runtime.database.read() as connection, pytest.raises(NewerTablesError, match="Install that one"):
        read_schema_versions(connection)


def test_a_backup_never_goes_over_a_database_in_use_nor_over_the_one_it_is_of(
    runtime: Runtime, new_runtime: Callable[..., Runtime], place: Path, tmp_path: Path
) -> None:
    tell(runtime, 1)
    before = everything(place)
    link, other = tmp_path / "link.db", tmp_path / "other.db"
    link.symlink_to(place)
    for target in (place, link):
        with pytest.raises(BackupError, match="is the database itself"):
            back_up(place, target, overwrite=True, tell=silent)
    used = new_runtime(DATABASE_URL=f"sqlite:///{other}")
    tell(used, 2)
    with pytest.raises(BackupError, match="in use"):
        back_up(place, other, overwrite=True, tell=silent)
    used.database.engine.dispose()
    back_up(place, other, overwrite=True, tell=silent)
    with used_by_another(other), pytest.raises(BackupError, match="in use"):
        back_up(place, other, overwrite=True, tell=silent)
    assert everything(place) == everything(other) == before
    assert not list(tmp_path.glob(".*"))


def test_a_backup_can_be_read_by_who_may_not_write_beside_it(
    runtime: Runtime, place: Path, tmp_path: Path
) -> None:
    tell(runtime, 1)
    copy, old = tmp_path / "copy.db", tmp_path / "old.db"
    back_up(place, copy, tell=silent)
    assert copy.read_bytes()[18:20] == bytes((1, 1)), "not WAL"
    marked = bytearray(copy.read_bytes())
    marked[18:20] = bytes((2, 2))  # as those of earlier versions are
    old.write_bytes(marked)
    files_beside: list[str] = []

    def list_files_beside(done: int, total: int) -> None:
        files_beside.extend(path.name for path in tmp_path.glob("old.db-*"))

    assert restore(old, tmp_path / "new.db", now=T0, tell=list_files_beside)[0].tasks == 1
    assert not files_beside, "nothing is made beside a backup"


def test_a_linked_database_is_restored_where_it_is(runtime: Runtime, place: Path, tmp_path: Path) -> None:
    tell(runtime, 1)
    back_up(place, tmp_path / "copy.db", tell=silent)
    runtime.database.engine.dispose()
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(place)
    _, previous = restore(tmp_path / "copy.db", link, now=T0, tell=silent)
    assert link.is_symlink()
    assert inspect(place).tasks == 1
    assert previous == Path(f"{place}.before-restore-20260101T120000Z")


def test_a_full_disk_is_named_as_such(runtime: Runtime, place: Path, tmp_path: Path) -> None:
    tell(runtime, *range(300))
    small = tmp_path / "small"
    small.mkdir()
    script = (
        f"mount -t tmpfs -o size=64k none {small} && exec {sys.executable} -c 'import sys; from pathlib import Path;"
        " from receiver.store.backup import back_up;"
        " back_up(Path(sys.argv[1]), Path(sys.argv[2]), tell=lambda *_: None)'"
        f" {place} {small}/copy.db"
    )
    unshare = need("unshare", shutil.which("unshare"))
    done = subprocess.run([unshare, "-rm", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert f"BackupError: There is not enough room in {small}." in done.stderr


@pytest.mark.slow
def test_the_copy_is_of_one_moment_while_others_write(runtime: Runtime, place: Path, tmp_path: Path) -> None:
    tell(runtime, *range(3000))

    def write(done: int, total: int) -> None:
        if done < total:
            tell(runtime, 10_000 + done)

    contents = back_up(place, tmp_path / "copy.db", tell=write)
    assert contents.tasks == contents.deliveries == 3000
    other = Database(f"sqlite:///{tmp_path}/copy.db")
    with other.read() as connection:
        connection.exec_driver_sql("INSERT INTO task_words(task_words, rank) VALUES ('integrity-check', 1)")
    other.engine.dispose()
