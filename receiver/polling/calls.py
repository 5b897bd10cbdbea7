"""The calls under way, each in a thread of its own. None delays the poller or the end of the process.

Not a thread pool: the interpreter waits for a pool's threads at its end, and a call that hangs would hold one for good.
"""

import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Thread

from receiver.core.payloads import Trouble
from receiver.polling.call_results import FinishedCall
from receiver.store.call_quota import Call
from receiver.upstream.client import PollFailure


class CallsUnderWay:
    """Runs `make_call` for each call. One that takes longer than `timeout_s` counts as failed, whatever it returns."""

    def __init__(self, make_call: Callable[[Call], FinishedCall], *, timeout_s: float) -> None:
        self._make_call = make_call
        self._timeout_s = timeout_s
        self._ended: SimpleQueue[FinishedCall] = SimpleQueue()
        self._deadlines: dict[Call, float] = {}

    def __len__(self) -> int:
        return len(self._deadlines)

    def start(self, call: Call) -> None:
        self._deadlines[call] = time.monotonic() + self._timeout_s
        Thread(target=self._run, args=(call,), name=f"poll {call.task_id}", daemon=True).start()

    def take_finished(self, *, wait_s: float) -> Sequence[FinishedCall]:
        """The calls that have ended or are overdue; waits up to `wait_s` for the first."""
        finished = [
            finished_call
            for finished_call in self._take(wait_s)
            if self._deadlines.pop(finished_call.call, None) is not None
        ]
        now = time.monotonic()
        overdue = [call for call, deadline in self._deadlines.items() if deadline <= now]
        for call in overdue:
            del self._deadlines[call]
        return [*finished, *(_abandoned(call) for call in overdue)]

    def _run(self, call: Call) -> None:
        self._ended.put(self._make_call(call))

    def _take(self, wait_s: float) -> Sequence[FinishedCall]:
        finished = []
        try:
            finished.append(self._ended.get(timeout=wait_s))
            while True:
                finished.append(self._ended.get_nowait())
        except Empty:
            return finished


def _abandoned(call: Call) -> FinishedCall:
    return FinishedCall(
        call=call, response=PollFailure(trouble=Trouble.NETWORK, detail="no answer in time, abandoned")
    )
