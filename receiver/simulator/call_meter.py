"""Counts the calls of record-info: in total, in any window of time, at once for one task."""

import threading
import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


def max_in_window(arrivals: Sequence[float], window_s: float) -> int:
    """The largest number of sorted arrivals less than `window_s` apart."""
    most = start = 0
    for end, arrived in enumerate(arrivals):
        while arrived - arrivals[start] >= window_s:
            start += 1
        most = max(most, end - start + 1)
    return most


class CallMeter:
    """Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._arrivals: array[float] = array("d")
        self._arrivals_by_task: defaultdict[str, array[float]] = defaultdict(lambda: array("d"))
        self._open: Counter[str] = Counter()
        self._max_concurrent = 0

    @contextmanager
    def call(self, task_id: str) -> Iterator[None]:
        """Count a call, which lasts as long as the `with` block."""
        self._begin(task_id)
        try:
            yield
        finally:
            with self._lock:
                self._open[task_id] -= 1

    def calls_about(self, task_id: str) -> int:
        """How many calls there were about one task."""
        with self._lock:
            return len(self._arrivals_by_task.get(task_id, ()))

    def stats(self, window_s: float) -> dict[str, object]:
        """The figures as JSON; the busiest "seconds" are windows of `window_s`."""
        with self._lock:
            arrivals = self._arrivals[:]
            by_task = [of_task[:] for of_task in self._arrivals_by_task.values()]
            concurrent = self._max_concurrent
        return {
            "calls": len(arrivals),
            "busiestSecond": max_in_window(arrivals, window_s),
            "busiestTaskSecond": max((max_in_window(of_task, window_s) for of_task in by_task), default=0),
            "concurrentTask": concurrent,
        }

    def _begin(self, task_id: str) -> None:
        with self._lock:
            now = time.monotonic()
            self._arrivals.append(now)
            self._arrivals_by_task[task_id].append(now)
            self._open[task_id] += 1
            self._max_concurrent = max(self._max_concurrent, self._open[task_id])
