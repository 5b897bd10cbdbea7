"""The demo's receiver: `receiver serve` on SQLite, in a process of its own."""

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

SPEED = 40.0  # how many times faster than real: a generation of 160 seconds takes 4


class DemoError(Exception):
    """The demo could not run; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """Where the demo's receiver listens, and its secrets."""

    url: str
    callback_token: str
    api_token: str
    admin_password: str

    @property
    def callback_url(self) -> str:
        """With the token in it."""
        return f"{self.url}/callbacks/{self.callback_token}"

    def get(self, session: requests.Session, path: str) -> Any:
        """The JSON of an API path. Raises requests.HTTPError when it is refused."""
        response = session.get(f"{self.url}{path}", headers=self.bearer, timeout=30)
        response.raise_for_status()
        return response.json()

    @property
    def bearer(self) -> Mapping[str, str]:
        """The header that authorizes API calls."""
        return {"Authorization": f"Bearer {self.api_token}"}


@contextlib.contextmanager
def serve_receiver(folder: Path, upstream_url: str) -> Iterator[Access]:
    """Run it in `folder` until the block ends. Raises DemoError if it does not start."""
    port = _free_port()
    access = Access(
        url=f"http://127.0.0.1:{port}",
        callback_token=secrets.token_urlsafe(24),
        api_token=secrets.token_urlsafe(24),
        admin_password=secrets.token_urlsafe(9),
    )
    log_path = folder / "receiver.log"
    command = [sys.executable, "-m", "receiver", "serve"]
    with log_path.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603  a fixed command
            command, cwd=folder, env=_environment(folder, upstream_url, port, access), stdout=log, stderr=log
        )
        try:
            _wait_until_ready(access, process, log_path)
            yield access
        finally:
            process.terminate()
            process.wait(timeout=60)


def _environment(folder: Path, upstream_url: str, port: int, access: Access) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RECEIVER_")}
    return inherited | {
        "RECEIVER_BIND": f"127.0.0.1:{port}",
        "RECEIVER_DATABASE_URL": f"sqlite:///{folder}/receiver.db",
        "RECEIVER_UPSTREAM_URL": upstream_url,
        "RECEIVER_UPSTREAM_API_KEY": "demo-key",
        "RECEIVER_CALLBACK_TOKENS": access.callback_token,
        "RECEIVER_API_TOKENS": access.api_token,
        "RECEIVER_ADMIN_PASSWORD": access.admin_password,
        "RECEIVER_SECRET_KEY": secrets.token_urlsafe(32),
        # Divided by SPEED, like the simulator's generations, as far as whole seconds go.
        "RECEIVER_CALLBACK_GRACE": str(90 / SPEED),
        "RECEIVER_POLL_INTERVAL": "1",
        "RECEIVER_POLL_MAX_INTERVAL": "8",
        "RECEIVER_POLL_TICK": "0.25",
        "RECEIVER_POLL_TIMEOUT": "1",
        "RECEIVER_POLL_LIMIT": "20/second",
        "RECEIVER_GIVE_UP_AFTER": "30",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(access: Access, process: subprocess.Popen[bytes], log_path: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(requests.ConnectionError):
            if requests.get(f"{access.url}/readyz", timeout=5).ok:
                return
        time.sleep(0.1)
    raise DemoError(f"The receiver did not start:\n{log_path.read_text(errors='replace')[-2000:]}")
