"""What `bench` compares: the receiver, and what people would write instead. Each is a server with its own database."""

import os
import re
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import click
import requests
from sqlalchemy import NullPool, create_engine, make_url, text

from benchmarks.processes import ADMIN_PASSWORD, ROOT, deployed, eventually, free_port
from receiver.simulator import Simulator, SimulatorServer

PEERS_PYTHON = ROOT / ".venv-bench/bin/python"
PROBES = 5
JSON = {"Content-Type": "application/json"}
TABLE = "CREATE TABLE callback (task_id TEXT PRIMARY KEY, stage TEXT NOT NULL, body TEXT NOT NULL)"


class Kind(StrEnum):
    BARE = "bare"
    FASTAPI = "fastapi"
    FASTIFY = "fastify"
    BY_HAND = "by-hand"
    RECEIVER = "receiver"


SUMMARIES = {
    Kind.BARE: "bare Flask route that stores nothing",
    Kind.FASTAPI: "FastAPI, aiosqlite or asyncpg",
    Kind.FASTIFY: "Fastify, better-sqlite3 or pg",
    Kind.BY_HAND: "by hand: Flask-SQLAlchemy",
    Kind.RECEIVER: "receiver",
}


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """Only the receiver may have another size than the default, which all others have."""

    kind: Kind
    workers: int = 2
    threads: int = 32

    def __str__(self) -> str:
        default = self == Contestant(kind=self.kind)
        return SUMMARIES[self.kind] + ("" if default else f" {self.workers}x{self.threads}")


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where it takes callbacks, the URL of its site, and where its rows are: one a task."""

    callback_url: str
    site: str
    database_url: str | None = None
    table: str = "callback"

    def stored(self) -> int:
        if self.database_url is None:
            return 0
        engine = create_engine(self.database_url, poolclass=NullPool)
        with engine.connect() as connection:
            return int(connection.scalar(text(f"SELECT count(*) FROM {self.table}")) or 0)  # noqa: S608


@contextmanager
def serving(
    contestant: Contestant, new_database: Callable[[], str], folder: Path, *, busy: bool
) -> Iterator[Server]:
    """The server, once it is ready; `busy` is a receiver that polls whatever is called back, too."""
    if contestant.kind is Kind.BARE:
        with _running(_gunicorn(Path(sys.executable), "flask_bare"), {}) as port:
            yield _peer(port)
    elif contestant.kind is Kind.RECEIVER:
        with _receiver(contestant, new_database(), folder, busy=busy) as server:
            yield server
    else:
        url = new_database()
        environment = _prepare(url)
        with _running(_command(contestant.kind, sqlite="PEER_FILE" in environment), environment) as port:
            yield _peer(port, url)


def _peer(port: int, database_url: str | None = None) -> Server:
    site = f"http://127.0.0.1:{port}"
    return Server(callback_url=f"{site}/callbacks", site=site, database_url=database_url)


@contextmanager
def _receiver(contestant: Contestant, url: str, folder: Path, *, busy: bool) -> Iterator[Server]:
    settings = {"WORKERS": str(contestant.workers), "THREADS": str(contestant.threads)}
    settings |= {"DATABASE_URL": url, "POLLER": "off"}
    with ExitStack() as stack:
        if busy:
            upstream = stack.enter_context(SimulatorServer(Simulator(api_key="upstream-key")))
            settings |= {"POLLER": "on", "UPSTREAM_URL": upstream.url, "POLL_LIMIT": "50/second"}
        [deployment] = stack.enter_context(deployed(folder, **settings))
        yield Server(
            callback_url=deployment.callback_url, site=deployment.url, database_url=url, table="task"
        )


def _command(kind: Kind, *, sqlite: bool) -> Sequence[str]:
    if not PEERS_PYTHON.exists():
        raise click.ClickException(
            "the peers are not installed: make bench, or --contestant bare --contestant receiver"
        )
    if kind is Kind.BY_HAND:
        return _gunicorn(PEERS_PYTHON, "flask_by_hand")
    if kind is Kind.FASTIFY:
        return ["node", "benchmarks/peers/fastify.js"]
    module = "fastapi_sqlite" if sqlite else "fastapi_postgresql"
    application = f"benchmarks.peers.{module}:app"
    quiet = ("--log-level", "warning", "--no-access-log")
    return [
        str(PEERS_PYTHON),
        "-m",
        "uvicorn",
        application,
        "--port",
        "{port}",
        "--workers",
        str(Contestant.workers),
        *quiet,
    ]


def _gunicorn(python: Path, module: str) -> Sequence[str]:
    """As the receiver's settings have it, but for what only its own application needs."""
    size = ("--workers", str(Contestant.workers), "--threads", str(Contestant.threads))
    served = (
        "--keep-alive",
        "5",
        "--no-control-socket",
        "--bind",
        "127.0.0.1:{port}",
        "--log-level",
        "warning",
        f"benchmarks.peers.{module}:app",
    )
    return [str(python), "-m", "gunicorn", "--worker-class", "gthread", *size, *served]


def _prepare(url: str) -> dict[str, str]:
    """Make a peer's table; returns the variables by which it finds the database."""
    engine, parsed = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool), make_url(url)
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.execute(text("PRAGMA journal_mode=WAL"))
        connection.execute(text(TABLE))
    if engine.dialect.name == "sqlite":
        return {"PEER_FILE": parsed.database or ""}
    host = str(parsed.query.get("host") or parsed.host)
    return {"PGHOST": host, "PGUSER": parsed.username or "", "PGDATABASE": parsed.database or ""}


@contextmanager
def _running(command: Sequence[str], environment: dict[str, str]) -> Iterator[int]:
    """The port, once somebody listens on it."""
    port = free_port()
    process = subprocess.Popen(
        [part.format(port=port) for part in command],
        cwd=ROOT,
        env={**os.environ, **environment, "PEER_PORT": str(port)},
        start_new_session=True,
    )
    try:
        eventually(lambda: _listens(process, port), within_s=30, why=f"{command} starts")
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
        with suppress(ProcessLookupError):  # what is left of its group
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _listens(process: "subprocess.Popen[bytes]", port: int) -> bool:
    assert process.poll() is None, f"{process.args!r} has ended"
    with suppress(requests.ConnectionError):
        return requests.get(f"http://127.0.0.1:{port}/", timeout=10).status_code == 404
    return False


def probe(server: Server, body: bytes, marker: str, *, at_least_ms: float) -> None:
    """A few callbacks by themselves; a `ClickException` where some are answered sooner than the disk is synced."""
    for _ in range(PROBES):
        own = body.replace(marker.encode(), secrets.token_hex(16).encode())
        response = requests.post(server.callback_url, own, headers=JSON, timeout=30)
        took_ms = response.elapsed.total_seconds() * 1000
        if not response.ok or (server.database_url and took_ms < at_least_ms):
            what = f"{response.status_code} after {took_ms:.1f} ms: {response.text}"
            raise click.ClickException(f"{server.callback_url} answers {what}")


@contextmanager
def admin_page_read(site: str) -> Iterator[None]:
    """Somebody signs in, and fetches the list of tasks again and again."""
    stopping = threading.Event()
    with requests.Session() as session:
        session.trust_env = False
        form = session.get(f"{site}/admin/sign-in", timeout=30).text
        token = re.findall(r'name="csrf_token" value="([^"]+)"', form)[0]
        values = {"csrf_token": token, "password": ADMIN_PASSWORD}
        session.post(f"{site}/admin/sign-in", values, timeout=30).raise_for_status()

        def read() -> None:
            while not stopping.is_set():
                session.get(f"{site}/admin/", timeout=60).raise_for_status()

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield
        finally:
            stopping.set()
            reader.join()
