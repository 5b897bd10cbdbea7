"""The documented command as a process: the real gunicorn, on a database of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parent.parent.parent
CALLBACK_TOKEN = "callback-token-0001"
API_TOKEN = "api-token-000000001"
ADMIN_PASSWORD = "correct horse"
GUNICORN = [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.conf.py", "wsgi:app"]
SERVE = [sys.executable, "-m", "receiver", "serve"]


def environment(folder: Path, **changes: str) -> dict[str, str]:
    """Valid settings on a SQLite file in `folder`, with changes by their names without prefix."""
    values = {
        "DATABASE_URL": f"sqlite:///{folder}/receiver.db",
        "CALLBACK_TOKENS": CALLBACK_TOKEN,
        "API_TOKENS": API_TOKEN,
        "ADMIN_PASSWORD": ADMIN_PASSWORD,
        "SECRET_KEY": "0123456789abcdef0123456789abcdef",
        "UPSTREAM_API_KEY": "upstream-key",
        "UPSTREAM_URL": "http://127.0.0.1:9",
    }
    return {f"RECEIVER_{name}": value for name, value in (values | changes).items()}


def eventually(holds: Callable[[], object], *, within_s: float = 20, why: str = "") -> None:
    """Wait for a condition; an AssertionError when it does not come in time."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() <= deadline, f"did not happen within {within_s:g} s: {why or holds}"
        time.sleep(0.05)


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
        settings = environment(folder, **{"BIND": f"{address}:{self.port}", **changes})
        clean = {name: value for name, value in os.environ.items() if not name.startswith("RECEIVER_")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=clean | settings, stdout=log, stderr=log, start_new_session=True
            )
        self.session = requests.Session()
        self.session.trust_env = False

    def get(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {API_TOKEN}"}
        with suppress(requests.ConnectionError):  # its worker may have been killed; another one responds
            return self._json(self.session.get(self.url + path, headers=headers, timeout=70))
        return self._json(self.session.get(self.url + path, headers=headers, timeout=70))

    def post(self, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {API_TOKEN}"}
        return self._json(self.session.post(self.url + path, json=body, headers=headers, timeout=20))

    @staticmethod
    def _json(response: requests.Response) -> Any:
        assert response.ok, response.text
        return response.json()

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

    @property
    def worker_pids(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text(encoding="ascii").split()]

    def stop(self, kind: signal.Signals = signal.SIGTERM) -> int:
        self.begin_to_stop(kind)
        return self.process.wait(timeout=60)

    def begin_to_stop(self, kind: signal.Signals = signal.SIGTERM) -> None:
        self.session.close()  # gunicorn would wait two seconds for another request on its connection
        if self.process.poll() is not None:
            return
        if kind is signal.SIGKILL:
            self.kill_group()
        else:
            self.process.send_signal(kind)

    def kill_group(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def deployed(
    folder: Path, groups: int = 1, /, *, command: Sequence[str] = GUNICORN, **changes: str
) -> Iterator[list[Deployment]]:
    """Process groups that share one database, all of them ready."""
    running = [Deployment(folder, number, changes, command=command) for number in range(groups)]
    try:
        for deployment in running:
            wait_until_ready(deployment)
        yield running
    finally:
        for deployment in running:
            deployment.begin_to_stop()
        for deployment in running:
            deployment.process.wait(timeout=60)


def wait_until_ready(deployment: Deployment) -> None:
    eventually(lambda: deployment.ready, within_s=30, why="the receiver starts")
