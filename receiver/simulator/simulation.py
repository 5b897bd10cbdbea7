"""The simulated upstream without its HTTP: tasks, faults, pinned responses and figures."""

import hmac
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from receiver.simulator.call_meter import CallMeter
from receiver.simulator.callback_sender import CallbackSender
from receiver.simulator.callbacks import Callback
from receiver.simulator.connection import Connection
from receiver.simulator.faults import CALL_FAULTS, draw_one, validate_faults
from receiver.simulator.generation import Generation
from receiver.simulator.media import EXAMPLE_FILES_URL, media_response
from receiver.simulator.poison import BROKEN_PARAM, HANG, TRICKLES, Trickle, with_broken_param
from receiver.simulator.poison import RESPONSES as POISONED_RESPONSES
from receiver.simulator.responses import (
    CALL_FAULT_RESPONSES,
    NO_ACCESS,
    NO_TASK_ID,
    UNKNOWN_TASK,
    HttpResponse,
    json_response,
)

NO_FAULTS: Mapping[str, float] = MappingProxyType({})
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
IN_PROCESS = Connection()
HANG_STEP_S = 0.02
AFTER_TRICKLE = replace(UNKNOWN_TASK, headers={"Connection": "close"})


class Simulator:
    """Tasks whose course depends on `seed` and on the order of the submits.

    `faults` has the probability of each fault, `speed` divides every duration, a hanging call takes `hang_s` seconds.
    `poisoned_calls` is how many calls about a poisoned task get a wrong response; None: all.
    Raises ValueError for an unknown fault, an impossible probability or speed.
    """

    def __init__(
        self,
        *,
        faults: Mapping[str, float] = NO_FAULTS,
        speed: float = 1.0,
        seed: int = 0,
        api_key: str = "",
        signing_key: str = "",
        hang_s: float = 15.0,
        poisoned_calls: int | None = None,
    ) -> None:
        if speed <= 0:
            raise ValueError(f"the speed must be greater than 0: {speed!r}")
        self._faults = validate_faults(faults)
        self._speed = speed
        self._seed = seed
        self._api_key = api_key
        self._hang_s = hang_s
        self._poisoned_calls = math.inf if poisoned_calls is None else poisoned_calls
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._call_rng = random.Random(f"{seed}:calls")
        self._generations: dict[str, Generation] = {}
        self._track_ids: set[str] = set()
        self._pinned: dict[str, HttpResponse] = {}
        self._calls_about_poisoned: Counter[str] = Counter()
        self._meter = CallMeter()
        self._sender = CallbackSender(speed=speed, signing_key=signing_key, on_gave_up=self._on_gave_up)

    def start(self) -> None:
        """Begin to send callbacks."""
        self._stopping.clear()
        self._sender.start()

    def stop(self) -> None:
        """Send no more callbacks and end the calls that hang."""
        self._stopping.set()
        self._sender.stop()

    def set_faults(self, faults: Mapping[str, float]) -> None:
        """Replace all probabilities, for the tasks and calls that come from now on."""
        validated = validate_faults(faults)
        with self._lock:
            self._faults = validated

    def submit(self, request: Mapping[str, object], files_url: str = EXAMPLE_FILES_URL) -> str:
        """Start a generation whose files are below `files_url`, and return its task id."""
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
        self._sender.schedule(generation.callbacks)
        return generation.task_id

    def record_info(
        self, task_id: str, authorization: str = "", connection: Connection = IN_PROCESS
    ) -> HttpResponse:
        """The response to a call of record-info; it may hang, or send raw bytes over `connection` first."""
        with self._meter.call(task_id):
            if not self._is_authorized(authorization):
                return NO_ACCESS
            with self._lock:
                pinned = self._pinned.get(task_id)
                poison = self._active_poison(task_id)
            if pinned is None and poison:
                return self._poisoned_response(task_id, poison, connection)
            return pinned or self._faulty_response(connection) or self._true_response(task_id)

    def put(
        self, task_id: str, body: object, http_status: int = 200, headers: Mapping[str, str] = NO_HEADERS
    ) -> None:
        """Pin record-info's response about an id, with `body` as JSON; no fault touches it."""
        self._pin(task_id, json_response(body, http_status=http_status, headers=headers))

    def put_bytes(self, task_id: str, body: bytes, http_status: int = 200) -> None:
        """Pin these very bytes as record-info's response about an id."""
        self._pin(task_id, HttpResponse(body=body, http_status=http_status))

    def unpin(self, task_id: str) -> bool:
        """Give the id its own response again. False if none was pinned."""
        with self._lock:
            return self._pinned.pop(task_id, None) is not None

    def generation(self, task_id: str) -> Generation | None:
        """The task of this id."""
        with self._lock:
            return self._generations.get(task_id)

    def media(self, track_id: str, name: str) -> HttpResponse | None:
        """The file of a track, None where there is none."""
        with self._lock:
            exists = track_id in self._track_ids
        return media_response(track_id, name) if exists else None

    def truth(self, task_id: str) -> dict[str, object] | None:
        """What a receiver should know of a task in the end."""
        generation = self.generation(task_id)
        return generation.truth() if generation else None

    def truths(self) -> list[dict[str, object]]:
        """The truth of every task, in the order of the submits."""
        with self._lock:
            generations = list(self._generations.values())
        return [generation.truth() for generation in generations]

    def calls_about(self, task_id: str) -> int:
        """How many calls of record-info there were about one task."""
        return self._meter.calls_about(task_id)

    def stats(self, window: float = 1.0) -> dict[str, Any]:
        """The figures as JSON; the busiest times are counted over `window` seconds."""
        with self._lock:
            tasks = len(self._generations)
        return {"tasks": tasks, **self._meter.stats(window), **self._sender.stats()}

    def _is_authorized(self, authorization: str) -> bool:
        expected = f"Bearer {self._api_key}"
        return not self._api_key or hmac.compare_digest(authorization.encode(), expected.encode())

    def _active_poison(self, task_id: str) -> str | None:
        """The poison of a task while it lasts; every call uses some of it up."""
        generation = self._generations.get(task_id)
        if generation is None or generation.poison is None:
            return None
        self._calls_about_poisoned[task_id] += 1
        return generation.poison if self._calls_about_poisoned[task_id] <= self._poisoned_calls else None

    def _poisoned_response(self, task_id: str, poison: str, connection: Connection) -> HttpResponse:
        if poison in POISONED_RESPONSES:
            return POISONED_RESPONSES[poison](task_id)
        if poison in TRICKLES:
            self._trickle(TRICKLES[poison], connection)
            return AFTER_TRICKLE
        if poison == HANG:
            self._hang(connection.is_closed)
        response = self._true_response(task_id)
        return with_broken_param(response) if poison == BROKEN_PARAM else response

    def _faulty_response(self, connection: Connection) -> HttpResponse | None:
        with self._lock:
            fault = draw_one(tuple(CALL_FAULTS), self._faults, self._call_rng)
        if fault == "timeout":
            self._hang(connection.is_closed)
        return CALL_FAULT_RESPONSES.get(fault or "")

    def _true_response(self, task_id: str) -> HttpResponse:
        if not task_id:
            return NO_TASK_ID
        generation = self.generation(task_id)
        return json_response(generation.record_info(time.time())) if generation else UNKNOWN_TASK

    def _trickle(self, trickle: Trickle, connection: Connection) -> None:
        if connection.send(trickle.start):
            self._hang(lambda: not connection.send(trickle.again))

    def _hang(self, caller_left: Callable[[], bool]) -> None:
        # A caller that gave up has no open call any more: its next one does not count as simultaneous.
        for _ in range(math.ceil(self._hang_s / HANG_STEP_S)):
            if self._stopping.wait(HANG_STEP_S) or caller_left():
                return

    def _pin(self, task_id: str, response: HttpResponse) -> None:
        with self._lock:
            self._pinned[task_id] = response

    def _on_gave_up(self, callback: Callback, now: float) -> None:
        if callback.stage != "complete":
            return
        with self._lock:
            generation = self._generations[callback.task_id]
            self._generations[callback.task_id] = generation.with_failed_delivery(now)
