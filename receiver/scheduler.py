"""The only APScheduler: one job in each worker process, and what it must never do, which is stop in silence."""

import logging
from collections.abc import Callable
from threading import Event

from apscheduler.schedulers.background import BackgroundScheduler

log = logging.getLogger(__name__)


class Scheduler:
    """Runs `work` every `tick_s` seconds in a background thread, one run at a time.

    APScheduler skips a late run in silence after one second unless `misfire_grace_time` is None, and piles up
    late ones unless `coalesce` is set.
    """

    def __init__(self, work: Callable[[Event], None], *, tick_s: float) -> None:
        self._work = work
        self._stop = Event()
        self._scheduler = BackgroundScheduler(daemon=True, timezone="UTC")
        self._scheduler.add_job(
            self._run,
            "interval",
            seconds=tick_s,
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
        )

    def start(self) -> None:
        # "maximum number of running instances reached" is what a pass of several ticks looks like.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        self._scheduler.start()

    def stop(self) -> None:
        """End the job: a pass under way finishes its calls and starts no more."""
        self._stop.set()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def _run(self) -> None:
        try:
            self._work(self._stop)
        except Exception:
            log.exception("the pass failed; the next one tries again")
