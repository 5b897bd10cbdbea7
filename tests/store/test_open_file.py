"""Nothing is acknowledged that went to a database file which was deleted, moved or replaced while in use."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from receiver.app import build_app
from receiver.runtime import Runtime
from receiver.store import tasks
from receiver.store.backup import back_up
from tests.conftest import json_of
from tests.web.admin.page import BEARER, CALLBACKS


@pytest.fixture
def client(runtime: Runtime) -> FlaskClient:
    return build_app(runtime).test_client()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "receiver.db"


def send(client: FlaskClient, task_id: str) -> int:
    body = {"code": 200, "data": {"callbackType": "text", "task_id": task_id, "data": []}}
    return client.post(CALLBACKS, json=body).status_code


def stored(file: Path, *task_ids: str) -> set[str]:
    """Which of these another process finds in the file."""
    connection = sqlite3.connect(file)
    found = {row[0] for row in connection.execute("SELECT task_id FROM task")}
    connection.close()
    return found & set(task_ids)


def all_files(file: Path) -> list[Path]:
    return [path for path in map(Path, (str(file), f"{file}-wal", f"{file}-shm")) if path.exists()]


def delete(file: Path) -> None:
    file.unlink()


def delete_all(file: Path) -> None:
    for path in all_files(file):
        path.unlink()


def move(file: Path) -> None:
    file.rename(f"{file}.elsewhere")


def move_all(file: Path) -> None:
    for path in all_files(file):
        path.rename(path.with_name(f"elsewhere-{path.name}"))


def move_folder(file: Path) -> None:
    file.parent.rename(f"{file.parent}-elsewhere")


GONE = [delete, delete_all, move, move_all, move_folder]


@pytest.mark.parametrize("lose", GONE)
def test_after_the_file_is_gone_nothing_is_acknowledged_and_no_empty_one_is_made(
    client: FlaskClient, file: Path, lose: Callable[[Path], None]
) -> None:
    assert send(client, "before") == 200
    lose(file)
    for number in range(3):
        assert send(client, f"after-{number}") == 503
    ready = build_app(client.application.extensions["receiver"]).test_client().get("/readyz")
    assert ready.status_code == 503
    assert "deleted or moved away" in json_of(ready)["database"] or lose is move_folder
    assert client.post("/api/tasks", json={"taskId": "t"}, headers=BEARER).status_code == 503
    assert not file.exists()


@pytest.mark.parametrize("lose", [move, move_all, move_folder])
def test_when_the_file_is_put_back_it_goes_on_with_everything(
    client: FlaskClient, file: Path, lose: Callable[[Path], None]
) -> None:
    assert send(client, "before") == 200
    lose(file)
    assert send(client, "meanwhile") == 503
    if lose is move_folder:
        Path(f"{file.parent}-elsewhere").rename(file.parent)
    for path in list(file.parent.iterdir()):
        was = path.name.removeprefix("elsewhere-").removesuffix(".elsewhere")
        path.rename(file.parent / was)
    assert send(client, "after") == 200
    assert stored(file, "before", "meanwhile", "after") == {"before", "after"}


def test_a_file_that_is_lost_within_a_transaction_is_noticed_before_the_answer(runtime: Runtime) -> None:
    file = Path(str(runtime.database.url.database))
    with (
        pytest.raises(Exception, match="deleted or moved away"),
        runtime.database.write() as connection,
    ):
        connection.exec_driver_sql("INSERT INTO probe (id, written_at) VALUES (1, '2026-01-01')")
        file.unlink()


@pytest.mark.parametrize("with_log", [False, True])
def test_a_backup_put_in_its_place_by_hand_is_the_database_from_then_on(
    client: FlaskClient, file: Path, tmp_path: Path, with_log: bool
) -> None:
    assert send(client, "kept") == 200
    copy = tmp_path / "copy.db"
    back_up(file, copy, tell=lambda *_: None)
    assert send(client, "later") == 200
    former = tmp_path / "former.db"
    if with_log:  # which is right: the log belongs to the former file
        Path(f"{file}-wal").rename(f"{former}-wal")
        Path(f"{file}-shm").rename(f"{former}-shm")
    file.rename(former)
    copy.rename(file)
    assert send(client, "after") == 200
    assert send(client, "after-2") == 200
    client.application.extensions["receiver"].database.engine.dispose()
    assert stored(file, "kept", "later", "after", "after-2") == {"kept", "after", "after-2"}
    assert stored(former, "kept", "later", "after") == {"kept", "later"}
    for path in (file, former):
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()


def test_the_log_of_the_former_file_is_never_read_into_the_new_one(
    client: FlaskClient, file: Path, tmp_path: Path
) -> None:
    """Another process, such as another worker, has the former file and its log still open."""
    assert send(client, "kept") == 200
    copy = tmp_path / "copy.db"
    back_up(file, copy, tell=lambda *_: None)
    assert send(client, "later") == 200
    holds = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN'); c.execute('SELECT * FROM task').fetchall(); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holds, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout
        other.stdout.readline()
        copy.replace(file)
        for _ in range(2):
            assert send(client, "refused") == 503
        other.communicate()
    assert send(client, "after") == 200
    client.application.extensions["receiver"].database.engine.dispose()
    assert stored(file, "kept", "later", "refused", "after") == {"kept", "after"}


def test_a_database_without_tables_in_its_place_is_unavailable(client: FlaskClient, file: Path) -> None:
    assert send(client, "before") == 200
    delete_all(file)
    file.touch()
    assert send(client, "after") == 503
    assert client.get("/readyz").status_code == 503


@pytest.mark.parametrize("replacement", [None, b""])
def test_a_deleted_log_loses_nothing_that_was_acknowledged(
    client: FlaskClient, runtime: Runtime, file: Path, tmp_path: Path, replacement: bytes | None
) -> None:
    sent = [f"task-{number}" for number in range(20)]
    assert [send(client, task_id) for task_id in sent] == [200] * 20
    log = Path(f"{file}-wal")
    log.unlink()
    if replacement is None:
        assert send(client, "after") == 200
        killed = tmp_path / "killed"
        killed.mkdir()
        for path in all_files(file):  # as a kill would leave them
            shutil.copy(path, killed)
        assert stored(killed / file.name, *sent, "after") == {*sent, "after"}
    else:
        log.write_bytes(replacement)
        status = send(client, "after")
        with runtime.database.read() as connection:
            found = tasks.load(connection, "after")
        assert (found is not None) == (status == 200)
