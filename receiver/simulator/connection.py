"""The connection of a caller of record-info, for faults below HTTP."""

import contextlib
import select
import socket
from dataclasses import dataclass


@dataclass(frozen=True)
class Connection:
    """Without a socket the caller is in this process: it never leaves and gets no raw bytes."""

    sock: socket.socket | None = None

    def is_closed(self) -> bool:
        """Whether the caller has closed its end."""
        if self.sock is None:
            return False
        try:
            readable = select.select([self.sock], [], [], 0)[0]
            return bool(readable) and self.sock.recv(1, socket.MSG_PEEK) == b""
        except (OSError, ValueError):
            return True

    def send(self, data: bytes) -> bool:
        """Send raw bytes past HTTP. False when the caller takes no more."""
        if self.sock is not None:
            with contextlib.suppress(OSError):
                self.sock.sendall(data)
                return True
        return False
