"""Whether the database takes callbacks now, and how much room there is."""

import threading
import time

from flask import current_app

from receiver.clock import utc_now
from receiver.core.alarms import Storage, disk_level
from receiver.store.database import Database, StoreUnavailableError
from receiver.store.disks import read_disks
from receiver.store.write_probe import probe_write, probe_write_body

MAX_AGE_S = 1.0
BODY_EVERY_S = 60.0
NO_ROOM = ("disk is full", "No space left", "Disk quota exceeded")


class WriteProbe:
    """Tries a durable write, at most once in `MAX_AGE_S`: the endpoint is open, and the disk not free.

    A write as large as the largest callback is tried once in `BODY_EVERY_S`; each time while a disk is low, or after a
    write or a callback has failed. Where there is much room it would tell no more than a small one, and wear the disk.
    """

    def __init__(self, database: Database, *, body_bytes: int) -> None:
        self._database = database
        self._body_bytes = body_bytes
        self._lock = threading.Lock()
        self._tried_at = -MAX_AGE_S
        self._body_tried_at = -BODY_EVERY_S
        self._storage = Storage()

    def problem(self) -> str | None:
        """Why the database takes no callbacks; None when it does."""
        return self.look().problem

    def callback_failed(self) -> None:
        """Try a whole one next time, whatever the last said."""
        self._body_tried_at = -BODY_EVERY_S

    def look(self) -> Storage:
        if not self._lock.acquire(timeout=MAX_AGE_S):
            return Storage(problem="the last write is still waiting", disks=self._storage.disks)
        try:
            if time.monotonic() - self._tried_at >= MAX_AGE_S:
                self._storage = self._look_again(self._storage.problem)
                self._tried_at = time.monotonic()
            return self._storage
        finally:
            self._lock.release()

    def _look_again(self, last_problem: str | None) -> Storage:
        disks = read_disks(self._database.url.render_as_string(hide_password=False))
        long_ago = time.monotonic() - self._body_tried_at >= BODY_EVERY_S
        whole = bool(last_problem) or long_ago or any(disk_level(disk) for disk in disks)
        problem = self._try(whole=whole)
        if whole and not problem:
            self._body_tried_at = time.monotonic()
        return Storage(problem=problem, disks=disks)

    def _try(self, *, whole: bool) -> str | None:
        try:
            with self._database.write() as connection:
                probe_write(connection, now=utc_now())
                if whole:
                    probe_write_body(connection, size=self._body_bytes)
        except StoreUnavailableError as error:
            return str(error)
        return None


def write_probe() -> WriteProbe:
    probe: WriteProbe = current_app.extensions["write_probe"]
    return probe


def storage_now() -> Storage:
    return write_probe().look()


def short_cause(problem: str) -> str:
    """The problem for a page that anybody may see: it tells nothing of hosts and files."""
    if any(words in problem for words in NO_ROOM):
        return "the disk is full"
    return "the database cannot be reached, or takes no writes"
