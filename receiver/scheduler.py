"""The only APScheduler: one job in each worker process, which no error may end."""

import logging
from collections.abc import Callable, Sequence
from threading import Event

from apscheduler.events import EVENT_JOB_SUBMITTED
from apscheduler.schedulers.background import BackgroundScheduler

from receiver.store.database import StoreUnavailableError

Work = Callable[[Event], None]
SUBMIT_TIMEOUT_S = 5.0

log = logging.getLogger(__name__)


class Scheduler:
    """Does all of `work`, one after the other, every `tick_s` seconds in a background thread.

    Each is handed an event that is set when it should come to its end. One that fails keeps no other from its turn.

    It is one job that goes on until it is stopped. APScheduler plans by the wall clock: a job of many runs would
    stand still, in silence, for as long as that clock is set back.
    """

    def __init__(self, work: Sequence[Work], *, tick_s: float) -> None:
        self._work = work
        self._tick_s = tick_s
        self._stop = Event()
        self._scheduler = BackgroundScheduler(daemon=True, timezone="UTC")
        self._submitted = Event()
        self._scheduler.add_listener(lambda _: self._submitted.set(), EVENT_JOB_SUBMITTED)
        self._scheduler.add_job(self._run_until_stopped, misfire_grace_time=None)

    def start(self) -> None:
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        self._scheduler.start()

    def stop(self) -> None:
        """End the job: a pass under way finishes its calls and starts no more."""
        self._stop.set()
        if self._scheduler.running:
            self._submitted.wait(SUBMIT_TIMEOUT_S)  # APScheduler fails on a shutdown before
            self._scheduler.shutdown(wait=True)

    def _run_until_stopped(self) -> None:
        while not self._stop.wait(self._tick_s):
            for work in self._work:
                self._run(work)

    def _run(self, work: Work) -> None:
        try:
            work(self._stop)
        except StoreUnavailableError as error:
            log.warning("database unavailable: %s", error)
        except Exception:
            log.exception("a background task failed; it is tried again")
