"""Ten minutes of trouble: `python -m tests.trials.endurance --minutes 10`, as root.

Two nodes on PostgreSQL behind nginx take callbacks while each part in turn is restarted, killed or cut off. In the end
every callback that got a 200 must be there, every task settled, every state the simulator's truth, and the
quota respected. Prints what it does, and the figures as one JSON object at last; exits with 1 where anything is wrong.
"""

import itertools
import json
import os
import random
import signal
import ssl
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import requests
from sqlalchemy import select

from receiver.demo import FAULTS, POISONED_CALLS
from receiver.demo.comparison import find_mismatches
from receiver.demo.deployment import Access
from receiver.simulator import Simulator
from receiver.store.database import Database
from receiver.store.schema import delivery
from tests.servers.machines import NODES, Machines, other, several_machines
from tests.servers.processes import ADMIN_PASSWORD, API_TOKEN, CALLBACK_TOKEN, eventually
from tests.servers.proxies import Proxy, nginx_before, request

QUOTA = 20
SENDERS = 4
SPEED = 20
TROUBLE_S = 15.0  # how long a cable is out, or a part is away
SETTLED_WITHIN_S = 240
STAGES = {"text": "TEXT_SUCCESS", "first": "FIRST_SUCCESS", "complete": "SUCCESS"}
SETTINGS = {
    "POLL_LIMIT": f"{QUOTA}/second",
    "POLL_TIMEOUT": "3",
    "POLL_TICK": "0.5",
    "CALLBACK_GRACE": "5",
    "POLL_INTERVAL": "2",
    "POLL_MAX_INTERVAL": "10",
    "GIVE_UP_AFTER": "120",
    "TRUSTED_PROXIES": "1",
}


@dataclass(kw_only=True)
class Sent:
    """What the senders know: which callbacks got a 200, and what the others got."""

    acknowledged: set[tuple[str, str]] = field(default_factory=set)
    statuses: Counter[str] = field(default_factory=Counter)
    took_s: list[float] = field(default_factory=list)
    task_ids: list[str] = field(default_factory=list)
    longest_gap_s: float = 0.0
    last_at: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, task_id: str, stage: str, status: str, took_s: float) -> None:
        with self.lock:
            self.statuses[status] += 1
            self.took_s.append(took_s)
            if status == "200":
                now = time.monotonic()
                self.acknowledged.add((task_id, stage))
                self.longest_gap_s = max(self.longest_gap_s, now - self.last_at)
                self.last_at = now


class Trial:
    """The deployment, its proxy, and who sends."""

    def __init__(self, machines: Machines, proxies: "ProxyInTurn") -> None:
        self.machines, self.proxies = machines, proxies
        self.sent = Sent()
        self.takeovers: dict[str, float] = {}
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(n,)) for n in range(SENDERS)]
        self._threads.append(threading.Thread(target=self._generate))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def take_over(self, name: str, harm: Callable[[str], None]) -> str:
        """Do harm to the machine that polls, and wait until the other one does; the harmed one."""
        harmed = self.poller()
        harm(harmed)
        began = time.monotonic()
        eventually(lambda: self._holder(asked=other(harmed)) == other(harmed), within_s=20, why=name)
        took_s = round(time.monotonic() - began, 1)
        self.takeovers[name] = max(took_s, self.takeovers.get(name, 0.0))
        return harmed

    def poller(self) -> str:
        holder = ""

        def somebody_polls() -> bool:
            nonlocal holder
            holder = self._holder(asked="one")
            return holder in NODES

        eventually(somebody_polls, within_s=30)
        return holder

    def _holder(self, *, asked: str) -> str:
        with suppress(requests.RequestException, AssertionError):
            return self.machines.holder(asked=asked)
        return "nobody"

    def _send(self, number: int) -> None:
        """Tasks of our own by way of nginx: registered until that is taken, called back once for each stage."""
        turn = 0
        while not self._stop.is_set():
            task_id = f"sent-{number}-{turn}"
            turn += 1
            self.machines.simulator.put(task_id, _record_info(task_id))
            self._register(task_id)
            self.sent.task_ids.append(task_id)
            for stage in STAGES:
                status, took_s = self._post(f"/callbacks/{CALLBACK_TOKEN}", _callback(task_id, stage), {})
                self.sent.record(task_id, stage, status, took_s)
                self._stop.wait(0.05)

    def _post(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[str, float]:
        began = time.monotonic()
        try:
            (response,) = self.proxies.now.send(request("POST", path, body, headers))
            status = str(response.status)
        except (OSError, ssl.SSLError, AssertionError, IndexError) as error:
            status = type(error).__name__
        return status, time.monotonic() - began

    def _generate(self) -> None:
        """The simulator's tasks, with every kind of trouble; called back at either machine."""
        turn = 0
        while not self._stop.wait(1.0):
            turn += 1
            node = self.machines.nodes[NODES[turn % 2]]
            task_id = self.machines.simulator.submit({"prompt": f"{turn}", "callBackUrl": node.callback_url})
            self._register(task_id)

    def _register(self, task_id: str) -> None:
        """As often as it takes."""
        body, headers = json.dumps({"taskId": task_id}).encode(), {"Authorization": f"Bearer {API_TOKEN}"}
        while self._post("/api/tasks", body, headers)[0] not in ("200", "201"):
            time.sleep(0.2)


class ProxyInTurn:
    """A real nginx before both nodes, which can be started again; the same address each time."""

    def __init__(self, folder: Path, machines: Machines) -> None:
        self._folder = folder
        self._nodes = [node.url.removeprefix("http://") for node in machines.nodes.values()]
        self._turn = 0
        self._stack = ExitStack()
        self.start()

    def start(self) -> None:
        self._turn += 1
        before = nginx_before(self._folder / f"nginx-{self._turn}", self._nodes[0], second=self._nodes[1])
        self.now: Proxy = self._stack.enter_context(before)

    def stop(self) -> None:
        self._stack.close()


def _record_info(task_id: str) -> dict[str, Any]:
    row = {"id": f"{task_id}-a", "audioUrl": "https://example.org/a.mp3", "title": "A"}
    data = {"taskId": task_id, "status": "SUCCESS", "response": {"sunoData": [row]}}
    return {"code": 200, "msg": "success", "data": data}


def _callback(task_id: str, stage: str) -> bytes:
    row = {
        "id": f"{task_id}-a",
        "audio_url": "https://example.org/a.mp3" if stage != "text" else "",
        "title": "A",
    }
    return json.dumps(
        {"code": 200, "data": {"callbackType": stage, "task_id": task_id, "data": [row]}}
    ).encode()


class Troubles:
    """Each kind of trouble, as a method of its name."""

    def __init__(self, trial: Trial) -> None:
        self._trial, self._machines = trial, trial.machines

    def in_turn(self) -> Iterator[Callable[[], None]]:
        """For as long as anybody asks."""
        return itertools.cycle(
            (
                self.restart_a_node, self.kill_the_polling_machine, self.crash_the_database,
                self.cut_off_the_polling_machine, self.reload_both_nodes, self.restart_the_proxy,
                self.kill_the_polling_worker, self.restart_the_database, self.cut_off_the_database,
                self.let_the_upstream_fail, self.stop_both_nodes,
            )
        )  # fmt: skip

    def restart_a_node(self) -> None:
        self._machines.nodes["one"].stop()
        self._machines.start("one")

    def kill_the_polling_machine(self) -> None:
        self._machines.start(self._trial.take_over("killed", self._machines.kill))

    def kill_the_polling_worker(self) -> None:
        os.kill(self._machines.nodes[self._trial.poller()].holder_pid, signal.SIGKILL)

    def reload_both_nodes(self) -> None:
        for node in self._machines.nodes.values():
            node.process.send_signal(signal.SIGHUP)

    def restart_the_database(self) -> None:
        self._machines.postgres.stop("fast")
        self._machines.start_database()

    def crash_the_database(self) -> None:
        self._machines.postgres.stop("immediate")
        time.sleep(TROUBLE_S / 3)
        self._machines.start_database()

    def cut_off_the_polling_machine(self) -> None:
        cut = self._trial.take_over("cut off", self._machines.wires.cut)
        time.sleep(TROUBLE_S / 3)
        self._machines.wires.mend(cut)

    def cut_off_the_database(self) -> None:
        self._machines.wires.cut("database")
        time.sleep(TROUBLE_S)
        self._machines.wires.mend("database")

    def restart_the_proxy(self) -> None:
        self._trial.proxies.stop()
        self._trial.proxies.start()

    def let_the_upstream_fail(self) -> None:
        self._machines.simulator.set_faults({**FAULTS, "server-error": 1.0})
        time.sleep(TROUBLE_S)
        self._machines.simulator.set_faults(FAULTS)

    def stop_both_nodes(self) -> None:
        for node in self._machines.nodes.values():
            node.stop()
        for name in NODES:
            self._machines.start(name)


def judge(trial: Trial) -> dict[str, Any]:
    """Wait for the last task's end, then compare everything."""
    machines, sent = trial.machines, trial.sent
    node = machines.nodes["one"]
    eventually(lambda: node.get("/api/stats")["tasks"]["in_progress"] == 0, within_s=SETTLED_WITHIN_S)
    stats = node.get("/api/stats")
    access = Access(
        url=node.url, callback_token=CALLBACK_TOKEN, api_token=API_TOKEN, admin_password=ADMIN_PASSWORD
    )
    with requests.Session() as session:
        session.trust_env = False
        simulated = [str(truth["taskId"]) for truth in machines.simulator.truths()]
        wrong = find_mismatches(session, machines.upstream.url, access, simulated)
    database = Database(machines.postgres.url)
    with database.read() as connection:
        rows = connection.execute(
            select(delivery.c.task_id, delivery.c.status).where(delivery.c.source == "callback")
        )
        stored = {(row.task_id, row.status) for row in rows}
    database.engine.dispose()
    unfinished = [key for key in sent.task_ids if node.get(f"/api/tasks/{key}")["outcome"] != "succeeded"]
    took_ms = sorted(1000 * took_s for took_s in sent.took_s)
    quota = machines.simulator.stats()
    return {
        "acknowledged": len(sent.acknowledged),
        "missing": sum((task_id, STAGES[stage]) not in stored for task_id, stage in sent.acknowledged),
        "answers": dict(sent.statuses),
        "tookMs": {"p50": took_ms[len(took_ms) // 2], "p99": took_ms[len(took_ms) * 99 // 100], "most": took_ms[-1]},
        "longestGapS": sent.longest_gap_s,
        "tasks": stats["tasks"],
        "unfinished": len(unfinished),
        "mismatched": {key: list(parts) for key, parts in wrong.items()},
        "recovered": stats["recovered"],
        "lostCallbacks": stats["lostCallbacks"],
        "calls": quota["calls"],
        "busiestSecond": quota["busiestSecond"],
        "quota": QUOTA,
        "takeoversS": trial.takeovers,
    }  # fmt: skip


@contextmanager
def _trial(seed: int) -> Iterator[Trial]:
    simulator = Simulator(
        faults=FAULTS, speed=SPEED, seed=seed, api_key="upstream-key", poisoned_calls=POISONED_CALLS
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with several_machines(folder, simulator, **SETTINGS) as machines:
            proxies = ProxyInTurn(folder, machines)
            try:
                yield Trial(machines, proxies)
            finally:
                proxies.stop()


@click.command()
@click.option("--minutes", type=float, default=10, show_default=True)
@click.option(
    "--every", "every_s", type=float, default=40, show_default=True, help="Seconds from trouble to trouble."
)
@click.option("--seed", type=int, default=None)
def main(minutes: float, every_s: float, seed: int | None) -> None:
    """Make trouble for MINUTES, then judge."""
    seed = random.randrange(1_000_000) if seed is None else seed
    click.echo(f"Seed {seed}", err=True)
    with _trial(seed) as trial:
        began = time.monotonic()
        trial.start()
        try:
            for trouble in Troubles(trial).in_turn():
                time.sleep(every_s / 2)
                if time.monotonic() - began > 60 * minutes:
                    break
                name, stored = trouble.__name__.replace("_", " "), len(trial.sent.acknowledged)
                click.echo(f"{time.monotonic() - began:5.0f} s  {name}; {stored} stored", err=True)
                trouble()
                time.sleep(every_s / 2)
        finally:
            trial.stop()
        figures = judge(trial)
    click.echo(json.dumps(figures, indent=1))
    in_bounds = figures["busiestSecond"] <= QUOTA and max(figures["takeoversS"].values(), default=0) <= 15
    sys.exit(not in_bounds or any(figures[name] for name in ("missing", "unfinished", "mismatched")))


if __name__ == "__main__":
    main()
