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

from receiver.simulator import Simulator, SimulatorServer
from tests.servers.processes import ADMIN_PASSWORD, ROOT, deployed, eventually, free_port
from tests.servers.processes import GUNICORN as SERVER

PEERS_PYTHON = ROOT / ".venv-bench/bin/python"
PEERS = "benchmarks.peers"
SIZE = "--workers 2 --log-level warning"
GUNICORN = f"-m gunicorn --bind 127.0.0.1:{{}} {SIZE} --worker-class gthread --threads 32 --keep-alive 5"
GUNICORN += " --no-control-socket"
UVICORN = f"-m uvicorn --port {{}} {SIZE} --no-access-log"
PROBES = 5
JSON = {"Content-Type": "application/json"}
TABLE = "CREATE TABLE callback (task_id TEXT PRIMARY KEY, stage TEXT NOT NULL, body TEXT NOT NULL)"


class Kind(StrEnum):
    """Bare is a Flask route that stores nothing; the next three store what people would write.

    The last four are the receiver with a view that answers after a part of the work: see `peers/cut_short.py`.
    """

    BARE = "bare"
    FASTAPI = "fastapi"
    FASTIFY = "fastify"
    BY_HAND = "by-hand"
    RECEIVER = "receiver"
    READS = "reads"
    PARSES = "parses"
    GROUPS = "groups"
    PREPARES = "prepares"


CUT_SHORT = (Kind.READS, Kind.PARSES, Kind.GROUPS, Kind.PREPARES)
WHOLE = tuple(kind for kind in Kind if kind not in CUT_SHORT)


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """Only the receiver may have another size than the default, which all others have."""

    kind: Kind
    workers: int = 2
    threads: int = 32

    def __str__(self) -> str:
        default = self == Contestant(kind=self.kind)
        return self.kind if default else f"{self.kind} {self.workers}x{self.threads}"


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
            return int(connection.scalar(text(f"SELECT count(*) FROM {self.table}")) or 0)


@contextmanager
def serving(
    contestant: Contestant, new_database: Callable[[], str], folder: Path, *, busy: bool
) -> Iterator[Server]:
    """The server, once it is ready; `busy` is a receiver that polls whatever is called back, too."""
    if contestant.kind in (Kind.RECEIVER, *CUT_SHORT):
        with _receiver(contestant, new_database(), folder, busy=busy) as server:
            yield server
        return
    url = None if contestant.kind is Kind.BARE else new_database()
    environment = _prepare(url) if url else {}
    port = free_port()
    with _running(_command(contestant.kind, port, sqlite="PEER_FILE" in environment), port, environment):
        site = f"http://127.0.0.1:{port}"
        yield Server(callback_url=f"{site}/callbacks", site=site, database_url=url)


@contextmanager
def _receiver(contestant: Contestant, url: str, folder: Path, *, busy: bool) -> Iterator[Server]:
    settings = {"WORKERS": str(contestant.workers), "THREADS": str(contestant.threads)}
    settings |= {"DATABASE_URL": url, "POLLER": "off"}
    with ExitStack() as stack:
        if busy:
            upstream = stack.enter_context(SimulatorServer(Simulator(api_key="upstream-key")))
            settings |= {"POLLER": "on", "UPSTREAM_URL": upstream.url, "POLL_LIMIT": "50/second"}
        whole = contestant.kind is Kind.RECEIVER
        command = SERVER if whole else [*SERVER[:-1], f"{PEERS}.cut_short:app('{contestant.kind}')"]
        [deployment] = stack.enter_context(deployed(folder, command=command, **settings))
        yield Server(
            callback_url=deployment.callback_url,
            site=deployment.url,
            database_url=url if whole else None,
            table="task",
        )


def _command(kind: Kind, port: int, *, sqlite: bool) -> Sequence[str]:
    """The Flask applications have the receiver's gunicorn, but for what only its own application needs."""
    if kind is Kind.BARE:  # with the very packages that the receiver has
        return [sys.executable, *GUNICORN.format(port).split(), f"{PEERS}.flask_bare:app"]
    if not PEERS_PYTHON.exists():
        raise click.ClickException("make bench installs the peers; --contestant bare and receiver need none")
    if kind is Kind.FASTIFY:
        return ["node", "benchmarks/peers/fastify.js"]
    if kind is Kind.BY_HAND:
        return [str(PEERS_PYTHON), *GUNICORN.format(port).split(), f"{PEERS}.flask_by_hand:app"]
    module = "fastapi_sqlite" if sqlite else "fastapi_postgresql"
    return [str(PEERS_PYTHON), *UVICORN.format(port).split(), f"{PEERS}.{module}:app"]


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
def _running(command: Sequence[str], port: int, environment: dict[str, str]) -> Iterator[None]:
    """Until the block ends; it begins once somebody listens on the port."""
    variables = {**os.environ, **environment, "PEER_PORT": str(port)}
    process = subprocess.Popen(command, cwd=ROOT, env=variables, start_new_session=True)
    try:
        eventually(lambda: _listens(process, port), within_s=30, why=f"{command} starts")
        yield
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
