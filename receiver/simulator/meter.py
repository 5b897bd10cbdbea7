"""How hard record-info is being called."""

from __future__ import annotations

import threading
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


def busiest(arrivals: Sequence[float], window: float) -> int:
    """The largest number of sorted arrivals less than `window` apart."""
    most = start = 0
    for end, arrived in enumerate(arrivals):
        while arrived - arrivals[start] >= window:
            start += 1
        most = max(most, end - start + 1)
    return most


class CallMeter:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._arrivals: array[float] = array("d")
        self._by_task: dict[str, array[float]] = {}
        self._open: Counter[str] = Counter()
        self._concurrent = 0

    @contextmanager
    def call(self, task_id: str) -> Iterator[None]:
        self._arrive(task_id)
        try:
            yield
        finally:
            with self._lock:
                self._open[task_id] -= 1

    def calls(self) -> int:
        with self._lock:
            return len(self._arrivals)

    def calls_about(self, task_id: str) -> int:
        with self._lock:
            return len(self._by_task.get(task_id, ()))

    def busiest(self, window: float) -> int:
        with self._lock:
            arrivals = self._arrivals[:]
        return busiest(arrivals, window)

    def busiest_task(self, window: float) -> int:
        with self._lock:
            each = [arrivals[:] for arrivals in self._by_task.values()]
        return max((busiest(arrivals, window) for arrivals in each), default=0)

    def concurrent_task(self) -> int:
        with self._lock:
            return self._concurrent

    def _arrive(self, task_id: str) -> None:
        with self._lock:
            now = time.monotonic()
            self._arrivals.append(now)
            self._by_task.setdefault(task_id, array("d")).append(now)
            self._open[task_id] += 1
            self._concurrent = max(self._concurrent, self._open[task_id])
