"""The documented command as a process: real gunicorn, real SQLite file."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests

from tests.conftest import API_TOKEN, CALLBACK_TOKEN, environment, eventually

ROOT = Path(__file__).resolve().parent.parent.parent
GUNICORN = (sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.conf.py", "wsgi:app")
SERVE = (sys.executable, "-m", "receiver", "serve")


class Deployment:
    """A running process group of the receiver."""

    def __init__(
        self,
        folder: Path,
        number: int,
        changes: dict[str, str],
        *,
        address: str = "127.0.0.1",
        port: int | None = None,
        command: Sequence[str] = GUNICORN,
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://{address}:{self.port}"
        self.callback_url = f"{self.url}/callbacks/{CALLBACK_TOKEN}"
        self.log = folder / f"receiver-{number}.log"
        given = environment(folder, **{"BIND": f"{address}:{self.port}", **changes})
        clean = {name: value for name, value in os.environ.items() if not name.startswith("RECEIVER_")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=clean | given,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.session = requests.Session()
        self.session.trust_env = False

    def get(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {API_TOKEN}"}
        with suppress(requests.ConnectionError):  # its worker may have been killed; another one answers
            return self._json(self.session.get(self.url + path, headers=headers, timeout=70))
        return self._json(self.session.get(self.url + path, headers=headers, timeout=70))

    def post(self, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {API_TOKEN}"}
        answer = self.session.post(self.url + path, json=body, headers=headers, timeout=20)
        return self._json(answer)

    @staticmethod
    def _json(answer: requests.Response) -> Any:
        assert answer.ok, answer.text
        return answer.json()

    @property
    def ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with suppress(requests.ConnectionError):
            return bool(self.session.get(f"{self.url}/readyz", timeout=10).ok)
        return False

    @property
    def poller(self) -> dict[str, Any]:
        return dict(self.get("/api/stats")["poller"])

    @property
    def holder_pid(self) -> int:
        return int(self.poller["holder"].split(":")[1])

    def stop(self, kind: signal.Signals = signal.SIGTERM) -> int:
        self.begin_to_stop(kind)
        return self.process.wait(timeout=60)

    def begin_to_stop(self, kind: signal.Signals = signal.SIGTERM) -> None:
        self.session.close()  # gunicorn would wait two seconds for another request on its connection
        if self.process.poll() is None:
            self.process.send_signal(kind) if kind is not signal.SIGKILL else self.kill_group()

    def kill_group(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def deployed(
    folder: Path, *, groups: int = 1, command: Sequence[str] = GUNICORN, **changes: str
) -> Iterator[list[Deployment]]:
    """Process groups that share one SQLite file, all of them ready."""
    running = [Deployment(folder, number, changes, command=command) for number in range(groups)]
    try:
        for one in running:
            eventually(lambda one=one: one.ready, within_s=30, why="the receiver starts")  # type: ignore[misc]
        yield running
    finally:
        for one in running:
            one.begin_to_stop()
        for one in running:
            one.process.wait(timeout=60)
