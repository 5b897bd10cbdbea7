"""Secrets are changed while callbacks come, in the steps that README.md tells, and none is refused or lost."""

import os
import re
import signal
import threading
from pathlib import Path

import requests
from sqlalchemy import text

from receiver.store.database import Database
from tests.conftest import API_TOKEN, CALLBACK_TOKEN, eventually
from tests.e2e.deployment import Deployment, deployed

NEW_TOKEN = "callback-token-0002"
NEW_API_TOKEN = "api-token-000000002"


def callback(task_id: str) -> dict[str, object]:
    return {"code": 200, "data": {"callbackType": "text", "task_id": task_id, "data": [{"id": "a"}]}}


class Sender:
    """An upstream that never pauses, and counts what is not taken."""

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
        while not self._stop.is_set():
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


def test_tokens_are_changed_and_not_one_callback_is_refused(tmp_path: Path) -> None:
    secret, bearers = tmp_path / "callback-tokens", tmp_path / "api-tokens"
    secret.write_text(CALLBACK_TOKEN)
    bearers.write_text(API_TOKEN)
    files = {"CALLBACK_TOKENS_FILE": str(secret), "API_TOKENS_FILE": str(bearers)}
    with deployed(tmp_path, CALLBACK_TOKENS="", API_TOKENS="", **files) as (receiver,):
        sender = Sender(receiver.callback_url)
        try:
            eventually(lambda: len(sender.taken) > 50)
            secret.write_text(f"{NEW_TOKEN},{CALLBACK_TOKEN}")
            bearers.write_text(f"{NEW_API_TOKEN},{API_TOKEN}")
            reload(receiver)
            assert (api(receiver, API_TOKEN), api(receiver, NEW_API_TOKEN)) == (200, 200)
            sender.url = f"{receiver.url}/callbacks/{NEW_TOKEN}"
            seen = len(sender.taken)
            eventually(lambda: len(sender.taken) > seen + 50)
            secret.write_text(NEW_TOKEN)
            bearers.write_text(NEW_API_TOKEN)
            reload(receiver)
            seen = len(sender.taken)
            eventually(lambda: len(sender.taken) > seen + 50)
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
