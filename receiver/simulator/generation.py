"""One simulated task: its record, its callbacks and its true end."""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from receiver.simulator.callbacks import Callback, plan_callbacks
from receiver.simulator.faults import POISONS, draw_one
from receiver.simulator.media import EXAMPLE_FILES_URL
from receiver.simulator.plan import Plan, draw_plan
from receiver.simulator.tracks import Row, model_slug


@dataclass(frozen=True, kw_only=True)
class Generation:
    plan: Plan
    callbacks: tuple[Callback, ...]
    faults: tuple[str, ...]
    poison: str | None = None
    delivery_failed_at: float | None = None

    @classmethod
    def draw(
        cls,
        *,
        task_id: str,
        request: Mapping[str, object],
        submitted_at: float,
        rng: random.Random,
        faults: Mapping[str, float],
        speed: float = 1.0,
        files_url: str = EXAMPLE_FILES_URL,
    ) -> Self:
        """Draw a task with these probabilities of faults; `submitted_at` is in epoch seconds."""
        plan = draw_plan(
            task_id=task_id,
            request=request,
            submitted_at=submitted_at,
            rng=rng,
            faults=faults,
            speed=speed,
            files_url=files_url,
        )
        callbacks, callback_faults = plan_callbacks(plan, faults, rng)
        poison = draw_one(tuple(POISONS), faults, rng)  # last, so that it shifts no other draw
        drawn = (*_plan_faults(plan), *callback_faults, *([poison] if poison else []))
        return cls(plan=plan, callbacks=callbacks, faults=drawn, poison=poison)

    @property
    def task_id(self) -> str:
        """32 hexadecimal digits."""
        return self.plan.task_id

    @property
    def ends_at(self) -> float:
        """From here on the record stays the same, unless the delivery of `complete` fails."""
        return self.plan.ends_at

    def with_failed_delivery(self, now: float) -> Self:
        """The same task after no retry of `complete` was accepted."""
        return replace(self, delivery_failed_at=now)

    def record_info(self, now: float) -> dict[str, object]:
        """The JSON of record-info at this epoch second."""
        if now < self.plan.known_at:
            return {"code": 200, "msg": "success", "data": None}
        status, rows = self._state(now)
        return {"code": 200, "msg": "success", "data": self._data(status, rows)}

    def truth(self) -> dict[str, object]:
        """What a receiver should know in the end, and the faults that were drawn."""
        failure = self.plan.failure
        outcome, status, rows = "succeeded", "SUCCESS", self.plan.rows("final")
        if failure is not None:
            outcome, status, rows = "failed", failure.status, []
        elif self.plan.ending == "stuck":
            outcome, status, rows = "unresolved", "PENDING", []
        return {
            "taskId": self.task_id,
            "outcome": outcome,
            "status": status,
            "tracks": rows,
            "errorCode": failure.code if failure else None,
            "errorMessage": failure.message if failure else None,
            "faults": list(self.faults),
        }

    def _state(self, now: float) -> tuple[str, list[Row] | None]:
        plan = self.plan
        if plan.failure is not None and now >= plan.settled_at:
            return plan.failure.status, None
        if plan.ending == "stuck" or now < plan.text_at:
            return "PENDING", None
        if now < plan.first_at:
            return "TEXT_SUCCESS", plan.rows("text")
        if plan.ending == "callback-exception-empty":
            return "CALLBACK_EXCEPTION", plan.rows("final") if now >= plan.settled_at else None
        if now < plan.complete_at:
            return "FIRST_SUCCESS", plan.rows("first")
        rows = plan.rows("final" if now >= plan.settled_at else "complete")
        return "CALLBACK_EXCEPTION" if self._undelivered(now) else "SUCCESS", rows

    def _undelivered(self, now: float) -> bool:
        failed_at = self.delivery_failed_at
        return self.plan.ending == "callback-exception" or (failed_at is not None and now >= failed_at)

    def _data(self, status: str, rows: list[Row] | None) -> dict[str, object]:
        plan = self.plan
        failure = plan.failure if plan.failure and plan.failure.status == status else None
        return {
            "taskId": plan.task_id,
            "parentMusicId": "",
            "param": json.dumps(
                dict(plan.request), ensure_ascii=False, sort_keys=True, separators=(",", ":")
            ),
            "response": None if rows is None else {"taskId": plan.task_id, "sunoData": rows},
            "status": status,
            "type": model_slug(plan.request),
            "operationType": "generate",
            "errorCode": failure.code if failure else None,
            "errorMessage": failure.message if failure else None,
            "createTime": int(plan.submitted_at) * 1000,
        }


def _plan_faults(plan: Plan) -> tuple[str, ...]:
    ending = (plan.ending,) if plan.ending else ()
    return (*ending, "not-yet") if plan.known_at > plan.submitted_at else ending
