"""Sends the callbacks when they are due, and again when they are refused."""

import base64
import hashlib
import heapq
import hmac
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

import requests

from receiver.simulator.callbacks import Callback

RETRY_DELAYS_S = (60.0, 300.0, 900.0)
TIMEOUT_S = 15.0
WORKERS = 16
STOP_TIMEOUT_S = 2.0
NO_RESPONSE = "none"


def signature(key: str, task_id: str, timestamp: str) -> str:
    """The base64 of HMAC-SHA256 over `<task id>.<epoch seconds>`."""
    digest = hmac.new(key.encode(), f"{task_id}.{timestamp}".encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def callback_headers(callback: Callback, signing_key: str, now: float) -> dict[str, str]:
    """The headers of a POST, with a signature unless it is forged or there is no key."""
    # A kept-alive connection that the receiver has just closed would look like a failed delivery.
    headers = {"Content-Type": "application/json", "Connection": "close"}
    if signing_key and not callback.forged:
        timestamp = str(int(now))
        headers["X-Webhook-Timestamp"] = timestamp
        headers["X-Webhook-Signature"] = signature(signing_key, callback.task_id, timestamp)
    return headers


class CallbackSender:
    """Threads that share one queue, so that a slow receiver holds up one of them and not the others.

    `on_gave_up` gets the callback whose last retry failed, and the epoch second.
    """

    def __init__(
        self, *, speed: float, signing_key: str, on_gave_up: Callable[[Callback, float], None]
    ) -> None:
        self._speed = speed
        self._signing_key = signing_key
        self._on_gave_up = on_gave_up
        self._changed = threading.Condition()
        self._queue: list[tuple[float, int, Callback]] = []
        self._enqueued = 0
        self._in_flight = 0
        self._sent = 0
        self._responses: Counter[str] = Counter()
        self._accepted: set[tuple[str, str]] = set()
        self._running = False
        self._workers: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to send."""
        self._running = True
        self._workers = [
            threading.Thread(target=self._work, name=f"simulator-callback-{number}", daemon=True)
            for number in range(WORKERS)
        ]
        for worker in self._workers:
            worker.start()

    def stop(self) -> None:
        """Send no more. A thread whose receiver does not respond is left to its own timeout."""
        with self._changed:
            self._running = False
            self._changed.notify_all()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))
        self._workers = []

    def schedule(self, callbacks: Iterable[Callback]) -> None:
        """Send each callback at its time."""
        with self._changed:
            for callback in callbacks:
                self._enqueue(callback)

    def stats(self) -> dict[str, object]:
        """The figures as JSON; the responses are counted by HTTP status, and by "none"."""
        with self._changed:
            return {
                "callbacksSent": self._sent,
                "callbacksAnswered": dict(self._responses),
                "callbacksPending": len(self._queue) + self._in_flight,
            }

    def _enqueue(self, callback: Callback) -> None:
        self._enqueued += 1
        heapq.heappush(self._queue, (callback.at, self._enqueued, callback))
        self._changed.notify()

    def _work(self) -> None:
        with requests.Session() as session:
            session.trust_env = False
            while (callback := self._wait_for_next()) is not None:
                self._send(session, callback)

    def _wait_for_next(self) -> Callback | None:
        with self._changed:
            while self._running:
                wait_s = self._queue[0][0] - time.time() if self._queue else None
                if wait_s is not None and wait_s <= 0:
                    return self._dequeue()
                self._changed.wait(wait_s)
            return None

    def _dequeue(self) -> Callback:
        self._in_flight += 1
        self._sent += 1
        callback = heapq.heappop(self._queue)[2]
        # One notification may stand for several callbacks; the next one due needs a thread too.
        self._changed.notify()
        return callback

    def _send(self, session: requests.Session, callback: Callback) -> None:
        try:
            status = self._post(session, callback)
            now = time.time()
            if self._retry_or_give_up(callback, status, now):
                self._on_gave_up(callback, now)
        finally:
            with self._changed:
                self._in_flight -= 1

    def _post(self, session: requests.Session, callback: Callback) -> str:
        headers = callback_headers(callback, self._signing_key, time.time())
        try:
            with session.post(
                callback.url,
                data=callback.body,
                headers=headers,
                timeout=TIMEOUT_S,
                allow_redirects=False,
                stream=True,
            ) as response:
                return str(response.status_code)
        except (requests.RequestException, ValueError):
            return NO_RESPONSE

    def _retry_or_give_up(self, callback: Callback, status: str, now: float) -> bool:
        """Schedule the retry that is due; True when the last one has failed and no copy was accepted either."""
        key = (callback.task_id, callback.stage)
        with self._changed:
            self._responses[status] += 1
            if status == "200" and not callback.forged:
                self._accepted.add(key)
            if status == "200" or not callback.retried:
                return False
            if callback.retry >= len(RETRY_DELAYS_S):
                return key not in self._accepted
            at = now + RETRY_DELAYS_S[callback.retry] / self._speed
            self._enqueue(replace(callback, at=at, retry=callback.retry + 1))
            return False
