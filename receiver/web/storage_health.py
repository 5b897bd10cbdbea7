"""Whether callbacks can be stored now, and how much room there is."""

import threading
import time

from flask import current_app

from receiver.clock import utc_now
from receiver.core.alarms import disk_level
from receiver.core.system_state import Storage
from receiver.store.database import Database, StoreUnavailableError
from receiver.store.disks import read_disks
from receiver.store.write_probe import probe_write, probe_write_body

MAX_AGE_S = 1.0
BODY_EVERY_S = 60.0
NO_ROOM = ("disk is full", "No space left", "Disk quota exceeded")


class WriteProbe:
    """Tries a durable write, at most once in `MAX_AGE_S`, as anybody may call the endpoint.

    A write as large as the largest callback is tried once in `BODY_EVERY_S`, and each time while a disk is low, or
    after a write or a callback has failed. With much room it shows no more than a small write, and wears the disk.
    """

    def __init__(self, database: Database, *, body_bytes: int) -> None:
        self._database = database
        self._body_bytes = body_bytes
        self._lock = threading.Lock()
        self._tried_at = -MAX_AGE_S
        self._body_tried_at = -BODY_EVERY_S
        self._storage = Storage()

    def problem(self) -> str | None:
        """Why callbacks cannot be stored; None when they can."""
        return self.check().problem

    def callback_failed(self) -> None:
        """Try a large write next time, whatever the result of the last."""
        self._body_tried_at = -BODY_EVERY_S

    def check(self) -> Storage:
        if not self._lock.acquire(timeout=MAX_AGE_S):
            return Storage(problem="the last write is still waiting", disks=self._storage.disks)
        try:
            if time.monotonic() - self._tried_at >= MAX_AGE_S:
                self._storage = self._check_now(self._storage.problem)
                self._tried_at = time.monotonic()
            return self._storage
        finally:
            self._lock.release()

    def _check_now(self, last_problem: str | None) -> Storage:
        disks = read_disks(self._database.url.render_as_string(hide_password=False))
        long_ago = time.monotonic() - self._body_tried_at >= BODY_EVERY_S
        large = bool(last_problem) or long_ago or any(disk_level(disk) for disk in disks)
        problem = self._try_write(large=large)
        if large and not problem:
            self._body_tried_at = time.monotonic()
        return Storage(problem=problem, disks=disks)

    def _try_write(self, *, large: bool) -> str | None:
        try:
            with self._database.write() as connection:
                probe_write(connection, now=utc_now())
                if large:
                    probe_write_body(connection, size=self._body_bytes)
        except StoreUnavailableError as error:
            return str(error)
        return None


def write_probe() -> WriteProbe:
    probe: WriteProbe = current_app.extensions["write_probe"]
    return probe


def storage_now() -> Storage:
    return write_probe().check()


def short_cause(problem: str) -> str:
    """The problem in words for a page that anybody may see, without hosts and files."""
    if any(words in problem for words in NO_ROOM):
        return "the disk is full"
    return "the database cannot be reached, or takes no writes"
