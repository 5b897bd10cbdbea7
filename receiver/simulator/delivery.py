"""Sends the callbacks when they are due, and again when they are refused."""

from __future__ import annotations

import base64
import hashlib
import heapq
import hmac
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import requests

from .callbacks import Callback

RETRY_AFTER_S = (60.0, 300.0, 900.0)
TIMEOUT_S = 15.0
WORKERS = 16
STOP_GRACE_S = 2.0
NO_ANSWER = "none"


@dataclass(frozen=True, kw_only=True)
class DeliveryStats:
    sent: int
    answered: Mapping[str, int]
    pending: int


@dataclass(frozen=True, kw_only=True)
class Attempt:
    callback: Callback
    number: int = 0


def signature(key: str, task_id: str, timestamp: str) -> str:
    digest = hmac.new(key.encode(), f"{task_id}.{timestamp}".encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def callback_headers(callback: Callback, signing_key: str, now: float) -> dict[str, str]:
    # A kept-alive connection that the receiver has just closed would look like a failed delivery.
    headers = {"Content-Type": "application/json", "Connection": "close"}
    if signing_key and not callback.forged:
        timestamp = str(int(now))
        headers["X-Webhook-Timestamp"] = timestamp
        headers["X-Webhook-Signature"] = signature(signing_key, callback.task_id, timestamp)
    return headers


class Delivery:
    """Workers that share one heap, so that a slow receiver holds up one worker and not the others."""

    def __init__(
        self, *, speed: float, signing_key: str, on_given_up: Callable[[Callback, float], None]
    ) -> None:
        self._speed = speed
        self._signing_key = signing_key
        self._on_given_up = on_given_up
        self._changed = threading.Condition()
        self._heap: list[tuple[float, int, Attempt]] = []
        self._pushed = 0
        self._in_flight = 0
        self._sent = 0
        self._answered: Counter[str] = Counter()
        self._taken: set[tuple[str, str]] = set()
        self._running = False
        self._workers: list[threading.Thread] = []

    def start(self) -> None:
        self._running = True
        self._workers = [
            threading.Thread(target=self._work, name=f"simulator-callback-{number}", daemon=True)
            for number in range(WORKERS)
        ]
        for worker in self._workers:
            worker.start()

    def stop(self) -> None:
        with self._changed:
            self._running = False
            self._changed.notify_all()
        # A worker whose receiver does not answer is left behind: its own timeout ends it.
        deadline = time.monotonic() + STOP_GRACE_S
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))
        self._workers = []

    def schedule(self, callbacks: Iterable[Callback]) -> None:
        with self._changed:
            for callback in callbacks:
                self._push(callback.at, Attempt(callback=callback))

    def stats(self) -> DeliveryStats:
        with self._changed:
            pending = len(self._heap) + self._in_flight
            return DeliveryStats(sent=self._sent, answered=dict(self._answered), pending=pending)

    def _push(self, at: float, attempt: Attempt) -> None:
        self._pushed += 1
        heapq.heappush(self._heap, (at, self._pushed, attempt))
        self._changed.notify()

    def _work(self) -> None:
        with requests.Session() as session:
            session.trust_env = False
            while (attempt := self._next()) is not None:
                self._deliver(session, attempt)

    def _next(self) -> Attempt | None:
        with self._changed:
            while self._running:
                wait = self._heap[0][0] - time.time() if self._heap else None
                if wait is not None and wait <= 0:
                    return self._take()
                self._changed.wait(wait)
            return None

    def _take(self) -> Attempt:
        self._in_flight += 1
        self._sent += 1
        attempt = heapq.heappop(self._heap)[2]
        # One wake-up may stand for several pushes; the next one due needs a worker too.
        self._changed.notify()
        return attempt

    def _deliver(self, session: requests.Session, attempt: Attempt) -> None:
        try:
            answer = self._post(session, attempt.callback)
            now = time.time()
            if self._settle(attempt, answer, now):
                self._on_given_up(attempt.callback, now)
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
            return NO_ANSWER

    def _settle(self, attempt: Attempt, answer: str, now: float) -> bool:
        """Plan the retry if one is due; True when the last one has failed and no copy was taken either."""
        key = (attempt.callback.task_id, attempt.callback.stage)
        with self._changed:
            self._answered[answer] += 1
            if answer == "200" and not attempt.callback.forged:
                self._taken.add(key)
            if answer == "200" or not attempt.callback.retried:
                return False
            if attempt.number >= len(RETRY_AFTER_S):
                return key not in self._taken
            at = now + RETRY_AFTER_S[attempt.number] / self._speed
            self._push(at, Attempt(callback=attempt.callback, number=attempt.number + 1))
            return False
