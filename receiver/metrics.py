"""Histograms that each process measures itself. Counts are in the database, the same for all."""

import os
import shutil
import tempfile
from collections.abc import Iterable
from functools import cache

from prometheus_client import CollectorRegistry, Histogram, values
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # the name by which prometheus_client finds it
# The upstream waits 15 seconds for an answer to its callback.
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15)


class Metrics:
    """The histograms of this process, and with `WorkerFiles` those of all workers of this gunicorn."""

    def __init__(self) -> None:
        self._own = CollectorRegistry()
        self.requests = Histogram(
            "receiver_http_request_duration_seconds",
            "Time to answer a request, by route (never by path: the callback token is in it).",
            ["route", "method", "status"],
            buckets=BUCKETS_S,
            registry=self._own,
        )
        self.commits = Histogram(
            "receiver_commit_duration_seconds",
            "Time of a transaction that stores deliveries, the wait for its lock and a failed try included.",
            buckets=BUCKETS_S,
            registry=self._own,
        )

    def collect(self) -> Iterable[Metric]:
        collector = MultiProcessCollector(None) if FOLDER in os.environ else self._own  # type: ignore[no-untyped-call]
        collected: Iterable[Metric] = collector.collect()
        return collected


class WorkerFiles:
    """The files in which the workers of one gunicorn count, so that each can report for all.

    A file belongs to a worker's place, not to its pid: whoever is born for a worker that ended goes on counting
    where that one stopped. So no count is lost or falls, and there are never more files than workers at once.
    """

    def __init__(self) -> None:
        self._place = "master"  # of --preload, which makes the histograms before the fork
        self._folder = tempfile.mkdtemp(prefix="receiver-metrics-")
        os.environ[FOLDER] = self._folder
        values.ValueClass = values.MultiProcessValue(lambda: self._place)  # type: ignore[no-untyped-call]

    def take(self, place: int) -> None:
        """Count in the files of this place from now on."""
        self._place = str(place)

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


@cache
def worker_files() -> WorkerFiles:
    """The files of this gunicorn, also when it reads its configuration again."""
    return WorkerFiles()


def free_place(taken: Iterable[int]) -> int:
    """The first place that no living worker has."""
    places = set(taken)
    return min(set(range(len(places) + 1)) - places)
