"""The simulated upstream without its HTTP: tasks, faults, pinned answers and figures."""

from __future__ import annotations

import hmac
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from .answers import CALL_FAULT_ANSWERS, NO_ACCESS, NO_TASK_ID, UNKNOWN_TASK, Answer, json_answer
from .callbacks import Callback
from .delivery import Delivery
from .faults import CALL_FAULTS, checked_faults, draw_one
from .generation import Generation
from .media import media_answer
from .meter import CallMeter
from .poison import ANSWERS as POISONED_ANSWERS
from .poison import BROKEN_PARAM, HANG, TRICKLES, Trickle, with_broken_param

NOTHING: Mapping[str, float] = MappingProxyType({})
HOLD_STEP_S = 0.02
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
AFTER_TRICKLE = replace(UNKNOWN_TASK, headers={"Connection": "close"})


class Simulator:
    def __init__(
        self,
        *,
        faults: Mapping[str, float] = NOTHING,
        speed: float = 1.0,
        seed: int = 0,
        api_key: str = "",
        signing_key: str = "",
        hang_s: float = 15.0,
        poisoned_calls: int | None = None,
    ) -> None:
        """`poisoned_calls` is how many calls about a poisoned task are answered wrongly; None: all."""
        if speed <= 0:
            raise ValueError(f"the speed must be greater than 0: {speed!r}")
        self._faults = checked_faults(faults)
        self._speed = speed
        self._seed = seed
        self._api_key = api_key
        self._hang_s = hang_s
        self._poisoned_calls = poisoned_calls
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._call_rng = random.Random(f"{seed}:calls")
        self._generations: dict[str, Generation] = {}
        self._track_ids: set[str] = set()
        self._pinned: dict[str, Answer] = {}
        self._poisoned: Counter[str] = Counter()
        self._meter = CallMeter()
        self._delivery = Delivery(speed=speed, signing_key=signing_key, on_given_up=self._given_up)

    def start(self) -> None:
        self._stopping.clear()
        self._delivery.start()

    def stop(self) -> None:
        self._stopping.set()
        self._delivery.stop()

    def set_faults(self, faults: Mapping[str, float]) -> None:
        """Replace all probabilities, for the tasks and calls that come from now on."""
        checked = checked_faults(faults)
        with self._lock:
            self._faults = checked

    def submit(self, request: Mapping[str, object], files_url: str = "") -> str:
        """Start a generation; its rows point to files below `files_url`, or to an example's if there is none."""
        with self._lock:
            rng = random.Random(f"{self._seed}:{len(self._generations)}")
            generation = Generation.draw(
                task_id=f"{rng.getrandbits(128):032x}",
                request=request,
                submitted_at=time.time(),
                rng=rng,
                faults=self._faults,
                speed=self._speed,
                files_url=files_url,
            )
            self._generations[generation.task_id] = generation
            self._track_ids |= {track.id for track in generation.plan.tracks}
        self._delivery.schedule(generation.callbacks())
        return generation.task_id

    def record_info(
        self,
        task_id: str,
        authorization: str = "",
        caller_left: Callable[[], bool] = lambda: False,
        send: Callable[[bytes], bool] = lambda _: True,
    ) -> Answer:
        """What is answered; `send` is for raw bytes before it, and says whether the caller still takes them."""
        with self._meter.call(task_id):
            if not self._allowed(authorization):
                return NO_ACCESS
            with self._lock:
                pinned = self._pinned.get(task_id)
                poison = self._poison(task_id)
            if pinned is None and poison:
                if poison in TRICKLES:
                    self._trickle(TRICKLES[poison], send)
                return self._poisoned_answer(task_id, poison, caller_left)
            return pinned or self._faulty_answer(caller_left) or self._true_answer(task_id)

    def put(
        self, task_id: str, body: object, http_status: int = 200, headers: Mapping[str, str] = NO_HEADERS
    ) -> None:
        """Pin record-info's answer for an id, which no fault then touches."""
        self._pin(task_id, json_answer(body, http_status=http_status, headers=headers))

    def put_bytes(self, task_id: str, body: bytes, http_status: int = 200) -> None:
        """Pin the very bytes of it."""
        self._pin(task_id, Answer(body=body, http_status=http_status))

    def _pin(self, task_id: str, answer: Answer) -> None:
        with self._lock:
            self._pinned[task_id] = answer

    def unpin(self, task_id: str) -> bool:
        with self._lock:
            return self._pinned.pop(task_id, None) is not None

    def generation(self, task_id: str) -> Generation | None:
        with self._lock:
            return self._generations.get(task_id)

    def media(self, track_id: str, name: str) -> Answer | None:
        with self._lock:
            known = track_id in self._track_ids
        return media_answer(track_id, name) if known else None

    def truth(self, task_id: str) -> dict[str, object] | None:
        generation = self.generation(task_id)
        return generation.truth() if generation else None

    def truths(self) -> list[dict[str, object]]:
        with self._lock:
            generations = list(self._generations.values())
        return [generation.truth() for generation in generations]

    def calls_about(self, task_id: str) -> int:
        return self._meter.calls_about(task_id)

    def stats(self, window: float = 1.0) -> dict[str, object]:
        delivery = self._delivery.stats()
        with self._lock:
            tasks = len(self._generations)
        return {
            "tasks": tasks,
            "calls": self._meter.calls(),
            "busiestSecond": self._meter.busiest(window),
            "busiestTaskSecond": self._meter.busiest_task(window),
            "concurrentTask": self._meter.concurrent_task(),
            "callbacksSent": delivery.sent,
            "callbacksAnswered": dict(delivery.answered),
            "callbacksPending": delivery.pending,
        }

    def _allowed(self, authorization: str) -> bool:
        expected = f"Bearer {self._api_key}"
        return not self._api_key or hmac.compare_digest(authorization.encode(), expected.encode())

    def _faulty_answer(self, caller_left: Callable[[], bool]) -> Answer | None:
        with self._lock:
            fault = draw_one(tuple(CALL_FAULTS), self._faults, self._call_rng)
        if fault == "timeout":
            self._hold(caller_left)
        return CALL_FAULT_ANSWERS.get(fault or "")

    def _poison(self, task_id: str) -> str | None:
        """The poison of a task that still works; every call about it uses some of it up."""
        generation = self._generations.get(task_id)
        if generation is None or generation.poison is None:
            return None
        self._poisoned[task_id] += 1
        most = self._poisoned_calls
        return generation.poison if most is None or self._poisoned[task_id] <= most else None

    def _poisoned_answer(self, task_id: str, poison: str, caller_left: Callable[[], bool]) -> Answer:
        if poison in POISONED_ANSWERS:
            return POISONED_ANSWERS[poison](task_id)
        if poison in TRICKLES:
            return AFTER_TRICKLE
        if poison == HANG:
            self._hold(caller_left)
        answer = self._true_answer(task_id)
        return with_broken_param(answer) if poison == BROKEN_PARAM else answer

    def _trickle(self, trickle: Trickle, send: Callable[[bytes], bool]) -> None:
        if send(trickle.start):
            self._hold(lambda: not send(trickle.again))

    def _hold(self, caller_left: Callable[[], bool]) -> None:
        # A caller that gave up has no call here any more: its next one is not a simultaneous one.
        for _ in range(math.ceil(self._hang_s / HOLD_STEP_S)):
            if self._stopping.wait(HOLD_STEP_S) or caller_left():
                return

    def _true_answer(self, task_id: str) -> Answer:
        if not task_id:
            return NO_TASK_ID
        generation = self.generation(task_id)
        return json_answer(generation.record_info(time.time())) if generation else UNKNOWN_TASK

    def _given_up(self, callback: Callback, now: float) -> None:
        if callback.stage != "complete":
            return
        with self._lock:
            generation = self._generations[callback.task_id]
            self._generations[callback.task_id] = generation.with_failed_delivery(now)
