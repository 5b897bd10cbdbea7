"""Hosts of one's own: network namespaces on one switch, whose cables can be pulled."""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWNET = 0x40000000
SWITCH = "switch"
ADDRESSES = "10.77.0.{}"


class Network:
    """Named hosts at `address(name)`; who is in one reaches the others over the switch, and nothing else."""

    def __init__(self, *names: str) -> None:
        self._prefix = f"receiver-{os.getpid()}-"
        self._names = names
        for name in (SWITCH, *names):
            _ip("netns", "add", self._prefix + name)
        self._on(SWITCH, "link", "add", "bridge", "type", "bridge")
        self._on(SWITCH, "link", "set", "bridge", "up")
        for name in names:
            self._plug_in(name)

    def address(self, name: str) -> str:
        return ADDRESSES.format(self._names.index(name) + 1)

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """The calling thread, and what it starts meanwhile, is on that host."""
        with Path("/proc/thread-self/ns/net").open() as here, _namespace(self._prefix + name).open() as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(here.fileno())

    def cut(self, name: str) -> None:
        """Nothing that this host sends arrives any more, and no error comes back."""
        self._on(SWITCH, "link", "set", f"to-{name}", "nomaster")

    def mend(self, name: str) -> None:
        self._on(SWITCH, "link", "set", f"to-{name}", "master", "bridge")

    def close(self) -> None:
        for name in (*self._names, SWITCH):
            _ip("netns", "del", self._prefix + name)

    def _plug_in(self, name: str) -> None:
        peer = ["peer", "name", "eth0", "netns", self._prefix + name]
        self._on(SWITCH, "link", "add", f"to-{name}", "type", "veth", *peer)
        self._on(SWITCH, "link", "set", f"to-{name}", "master", "bridge", "up")
        self._on(name, "address", "add", f"{self.address(name)}/24", "dev", "eth0")
        for device in ("eth0", "lo"):
            self._on(name, "link", "set", device, "up")

    def _on(self, name: str, *arguments: str) -> None:
        _ip("-n", self._prefix + name, *arguments)


@contextmanager
def network(*names: str) -> Iterator[Network]:
    """A network of these hosts; only root may make one, and `ip` must be installed."""
    made = Network(*names)
    try:
        yield made
    finally:
        made.close()


def _namespace(name: str) -> Path:
    return Path("/run/netns") / name


def _enter(namespace: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
