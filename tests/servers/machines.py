"""A deployment on several machines: two nodes and a database server, each on its own host; the upstream at home."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from receiver.simulator import Simulator, SimulatorServer
from tests.servers.network import Network, network
from tests.servers.postgres import PostgresServer, postgres_folder
from tests.servers.processes import Deployment, wait_until_ready

HOSTS = ("home", "database", "one", "two")
NODES = ("one", "two")


class Machines:
    """The upstream and we are at home; the receiver runs on `one` and `two`."""

    def __init__(
        self,
        folder: Path,
        wires: Network,
        postgres: PostgresServer,
        simulator: Simulator,
        settings: Mapping[str, str],
    ) -> None:
        self.wires, self.simulator, self.postgres = wires, simulator, postgres
        self._folder, self._settings = folder, settings
        self.start_database()
        self.upstream = SimulatorServer(simulator, host=wires.address("home"))
        self.upstream.__enter__()
        self.nodes: dict[str, Deployment] = {}
        for name in NODES:
            self.start(name)

    def start(self, name: str) -> None:
        """Start the receiver on that machine, in the place of one that has ended."""
        before = self.nodes.get(name)
        settings = {"DATABASE_URL": self.postgres.url, "UPSTREAM_URL": self.upstream.url, **self._settings}
        with self.wires.inside(name):
            self.nodes[name] = Deployment(
                self._folder,
                HOSTS.index(name),
                settings,
                address=self.wires.address(name),
                port=before.port if before else None,
            )

    def start_database(self) -> None:
        with self.wires.inside("database"):
            self.postgres.start()

    def holder(self, *, asked: str) -> str:
        """On which machine the poller runs, as that one knows it."""
        poller = self.nodes[asked].poller["holder"] or "::"
        running = {name: node.process.pid for name, node in self.nodes.items()}
        parent = _parent(poller.split(":")[1])
        return next((name for name, pid in running.items() if pid == parent), "gone")

    def kill(self, name: str) -> None:
        os.killpg(self.nodes[name].process.pid, signal.SIGKILL)
        self.nodes[name].process.wait()

    def close(self) -> None:
        for node in self.nodes.values():
            node.stop(signal.SIGKILL)
        self.upstream.__exit__(None, None, None)
        self.postgres.stop("immediate")


def other(name: str) -> str:
    return {"one": "two", "two": "one"}[name]


@contextmanager
def several_machines(folder: Path, simulator: Simulator, **settings: str) -> Iterator[Machines]:
    """All of them running, and the caller at home."""
    with network(*HOSTS) as wires, wires.inside("home"), postgres_folder() as data:
        postgres = PostgresServer(data, wires.address("database"))
        running = Machines(folder, wires, postgres, simulator, settings)
        try:
            for node in running.nodes.values():
                wait_until_ready(node)
            yield running
        finally:
            running.close()


def _parent(pid: str) -> int | None:
    status = Path(f"/proc/{pid}/status")
    if not pid or not status.exists():
        return None
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("PPid:"))
