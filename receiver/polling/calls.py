"""The calls under way, each in a thread of its own. None of them can keep the poller, or the process's end, waiting.

Not a thread pool: the interpreter waits for a pool's threads at its end, and a call that hangs would hold one for good.
"""

import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Thread

from receiver.core.payloads import Trouble
from receiver.polling.call_results import FinishedCall
from receiver.store.poll_queue import Call
from receiver.upstream.client import PollFailure


class CallsUnderWay:
    """Runs `ask` for each call. One that takes longer than `longest_s` is abandoned: it failed, whatever it brings."""

    def __init__(self, ask: Callable[[Call], FinishedCall], *, longest_s: float) -> None:
        self._ask = ask
        self._longest_s = longest_s
        self._ended: SimpleQueue[FinishedCall] = SimpleQueue()
        self._deadlines: dict[Call, float] = {}

    def __len__(self) -> int:
        return len(self._deadlines)

    def start(self, call: Call) -> None:
        self._deadlines[call] = time.monotonic() + self._longest_s
        Thread(target=self._run, args=(call,), name=f"poll {call.task_id}", daemon=True).start()

    def take_ended(self, *, wait_s: float) -> Sequence[FinishedCall]:
        """The replies of those that ended, and failures for those that are abandoned; waits for the first if none."""
        replies = [reply for reply in self._take(wait_s) if self._deadlines.pop(reply.call, None) is not None]
        now = time.monotonic()
        late = [call for call, deadline in self._deadlines.items() if deadline <= now]
        for call in late:
            del self._deadlines[call]
        return [*replies, *(_abandoned(call) for call in late)]

    def _run(self, call: Call) -> None:
        self._ended.put(self._ask(call))

    def _take(self, wait_s: float) -> Sequence[FinishedCall]:
        replies = []
        try:
            replies.append(self._ended.get(timeout=wait_s))
            while True:
                replies.append(self._ended.get_nowait())
        except Empty:
            return replies


def _abandoned(call: Call) -> FinishedCall:
    return FinishedCall(
        call=call, response=PollFailure(trouble=Trouble.NETWORK, detail="no answer in time, abandoned")
    )
