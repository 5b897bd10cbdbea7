"""Secrets are changed while callbacks come, in the steps of docs/operations.md, and none is refused or lost."""

import os
import re
import signal
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
import requests
from sqlalchemy import text

from receiver.store.database import Database
from tests.conftest import API_TOKEN, CALLBACK_TOKEN, eventually
from tests.servers.processes import GUNICORN, SERVE, Deployment, deployed

NEW_TOKEN = "callback-token-0002"
NEW_API_TOKEN = "api-token-000000002"


def callback(task_id: str) -> dict[str, object]:
    return {"code": 200, "data": {"callbackType": "text", "task_id": task_id, "data": [{"id": "a"}]}}


class Sender:
    """An upstream that calls back all the time, and counts what is not taken."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.taken: list[str] = []
        self.refused: list[object] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(4)]
        for thread in self._threads:
            thread.start()

    def _send(self, thread: int) -> None:
        number = 0
        while not self._stop.wait(0.02):
            task_id, number = f"t-{thread}-{number}", number + 1
            try:
                answer = requests.post(self.url, json=callback(task_id), timeout=20)
            except requests.RequestException as error:
                self.refused.append(error)
            else:
                (self.taken if answer.ok else self.refused).append(task_id if answer.ok else answer.text)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def reload(receiver: Deployment) -> None:
    """What `systemctl reload receiver` does; over when all workers are new ones."""
    old = workers(receiver)
    os.kill(receiver.process.pid, signal.SIGHUP)
    eventually(lambda: not old & alive(receiver) and workers(receiver) - old, why="the workers are new ones")


def workers(receiver: Deployment) -> set[int]:
    return set(map(int, re.findall(r"Booting worker with pid: (\d+)", receiver.log.read_text())))


def alive(receiver: Deployment) -> set[int]:
    children = Path(f"/proc/{receiver.process.pid}/task/{receiver.process.pid}/children")
    return set(map(int, children.read_text().split()))


def api(receiver: Deployment, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(f"{receiver.url}/api/stats", headers=headers, timeout=20).status_code


class Browser:
    """Somebody at the admin page."""

    def __init__(self, receiver: Deployment) -> None:
        self._url = f"{receiver.url}/admin"
        self._session = requests.Session()
        self._session.trust_env = False

    def sign_in(self, password: str) -> bool:
        page = self._session.get(f"{self._url}/sign-in", timeout=20).text
        found = re.search(r'name="csrf_token" value="([^"]+)"', page)
        assert found, "no form with a token"
        form = {"csrf_token": found[1], "password": password}
        self._session.post(f"{self._url}/sign-in", data=form, timeout=20)
        return self.signed_in

    @property
    def signed_in(self) -> bool:
        answer = self._session.get(f"{self._url}/actions", allow_redirects=False, timeout=20)
        return answer.status_code == 200

    def close(self) -> None:
        self._session.close()


@pytest.mark.slow
@pytest.mark.parametrize("command", [GUNICORN, SERVE], ids=["gunicorn", "serve"])
def test_tokens_and_the_password_are_changed_and_not_one_callback_is_refused(
    tmp_path: Path, command: Sequence[str]
) -> None:
    secret, bearers, password = (tmp_path / name for name in ("callback-tokens", "api-tokens", "password"))
    secret.write_text(CALLBACK_TOKEN)
    bearers.write_text(API_TOKEN)
    password.write_text("an old password")
    plain = {"CALLBACK_TOKENS": "", "API_TOKENS": "", "ADMIN_PASSWORD": ""}
    files = {
        "CALLBACK_TOKENS_FILE": str(secret),
        "API_TOKENS_FILE": str(bearers),
        "ADMIN_PASSWORD_FILE": str(password),
    }
    with (
        deployed(tmp_path, command=command, **plain, **files) as (receiver,),
        closing(Browser(receiver)) as browser,
    ):
        assert browser.sign_in("an old password")
        sender = Sender(receiver.callback_url)
        try:
            eventually(lambda: len(sender.taken) > 50)
            secret.write_text(f"{NEW_TOKEN},{CALLBACK_TOKEN}")
            bearers.write_text(f"{NEW_API_TOKEN},{API_TOKEN}")
            reload(receiver)
            assert browser.signed_in, "new tokens sign nobody out"
            assert (api(receiver, API_TOKEN), api(receiver, NEW_API_TOKEN)) == (200, 200)
            sender.url = f"{receiver.url}/callbacks/{NEW_TOKEN}"
            count = len(sender.taken)
            eventually(lambda: len(sender.taken) > count + 50)
            secret.write_text(NEW_TOKEN)
            bearers.write_text(NEW_API_TOKEN)
            password.write_text("a new password")
            reload(receiver)
            assert not browser.signed_in, "who knew the old password is out"
            assert not browser.sign_in("an old password")
            assert browser.sign_in("a new password")
            count = len(sender.taken)
            eventually(lambda: len(sender.taken) > count + 50)
        finally:
            sender.stop()
        assert sender.refused == []
        assert requests.post(receiver.callback_url, json=callback("late"), timeout=20).status_code == 404
        assert (api(receiver, API_TOKEN), api(receiver, NEW_API_TOKEN)) == (401, 200)
    database = Database(f"sqlite:///{tmp_path}/receiver.db")
    with database.read() as connection:
        stored = set(connection.scalars(text("SELECT task_id FROM delivery")))
    database.engine.dispose()
    assert not set(sender.taken) - stored
