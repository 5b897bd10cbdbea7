"""The callbacks of a plan, right ones and spoiled ones."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit, urlunsplit

from .faults import happens
from .plan import Plan
from .tracks import Row, callback_row

MESSAGES = {
    "text": "Text generation completed.",
    "first": "First audio generated successfully.",
    "complete": "All generated successfully.",
}
TOKEN_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
WRONG_TOKEN_LENGTH = 24


@dataclass(frozen=True, kw_only=True)
class Callback:
    """One planned POST; a copy or a forgery is sent once and never retried."""

    at: float
    url: str
    body: bytes
    task_id: str
    stage: str
    retried: bool = True
    forged: bool = False


@dataclass(frozen=True, kw_only=True)
class CallbackPlan:
    callbacks: tuple[Callback, ...]
    faults: tuple[str, ...]


def plan_callbacks(plan: Plan, faults: Mapping[str, float], rng: random.Random) -> CallbackPlan:
    callbacks = stage_callbacks(plan)
    drawn: list[str] = []
    for name, spoil in _SPOILERS:
        spoiled = spoil(callbacks, plan, random.Random(rng.getrandbits(64)))
        if happens(name, faults, rng) and spoiled != callbacks:
            callbacks, drawn = spoiled, [*drawn, name]
    kept = [callback for callback in callbacks if not happens("callback-lost", faults, rng)]
    if len(kept) < len(callbacks):
        drawn.append("callback-lost")
    # Nothing would ever contradict a failure forged for a task that stays pending.
    if happens("callback-forged", faults, rng) and plan.ending != "stuck":
        kept += forgeries(plan, rng)
        drawn.append("callback-forged")
    return CallbackPlan(callbacks=tuple(sorted(kept, key=lambda each: each.at)), faults=tuple(drawn))


def stage_callbacks(plan: Plan) -> list[Callback]:
    """What an upstream without a fault of delivery sends."""
    due = {"text": plan.text_at, "first": plan.first_at, "complete": plan.complete_at}
    if plan.failure is not None:
        text = [_success(plan, "text", plan.text_at)] if plan.text_at < plan.settled_at else []
        return [*text, _error(plan, plan.settled_at, plan.failure.code, plan.failure.message)]
    sent = {"stuck": 0, "callback-exception-empty": 1, "callback-exception": 2}.get(plan.ending or "", 3)
    return [_success(plan, stage, at) for stage, at in list(due.items())[:sent]]


def forgeries(plan: Plan, rng: random.Random) -> list[Callback]:
    """An attacker who knows the task id: once without the token, once with it."""
    until = plan.settled_at - plan.submitted_at
    token = "".join(rng.choice(TOKEN_LETTERS) for _ in range(WRONG_TOKEN_LENGTH))
    rows = [track.row() | {"audioUrl": f"https://attacker.example/{track.id}.mp3"} for track in plan.tracks]
    success = _callback(plan, "complete", 0.0, 200, MESSAGES["complete"], rows)
    failure = _error(plan, 0.0, 501, "Audio generation failed")
    forged = [replace(success, url=with_last_segment(success.url, token)), failure]
    return [
        replace(each, at=plan.submitted_at + until * rng.uniform(0.05, 0.95), retried=False, forged=True)
        for each in forged
    ]


def with_last_segment(url: str, segment: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:  # the upstream takes any text for a callback URL
        return url
    parent = parts.path.rstrip("/").rpartition("/")[0]
    return urlunsplit(parts._replace(path=f"{parent}/{segment}"))


def _success(plan: Plan, stage: str, at: float) -> Callback:
    return _callback(plan, stage, at, 200, MESSAGES[stage], plan.rows(stage))


def _error(plan: Plan, at: float, code: int, message: str) -> Callback:
    return _callback(plan, "error", at, code, message, None)


def _callback(
    plan: Plan, stage: str, at: float, code: int, message: str, rows: Sequence[Row] | None
) -> Callback:
    data = {
        "callbackType": stage,
        "task_id": plan.task_id,
        "data": None if rows is None else [callback_row(row) for row in rows],
    }
    return Callback(
        at=at,
        url=str(plan.request.get("callBackUrl", "")),
        body=_encoded({"code": code, "msg": message, "data": data}),
        task_id=plan.task_id,
        stage=stage,
    )


def _encoded(payload: Mapping[str, object]) -> bytes:
    return json.dumps(payload, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _malformed(callbacks: list[Callback], plan: Plan, rng: random.Random) -> list[Callback]:
    return [replace(each, body=_spoiled_body(each.body, plan.task_id, rng)) for each in callbacks]


def _spoiled_body(body: bytes, task_id: str, rng: random.Random) -> bytes:
    payload = json.loads(body)
    rows = payload["data"]["data"]
    variant = rng.choice(("broken", "text-data", "text-rows", *(["duration"] if rows else [])))
    if variant == "broken":
        return body[: -rng.randint(2, len(body) // 2)]
    if variant == "text-data":
        return _encoded(payload | {"data": "see the record", "task_id": task_id})
    if variant == "text-rows":
        return _encoded(payload | {"data": payload["data"] | {"data": "see the record"}})
    bad_rows = [row | {"duration": "three minutes"} for row in rows]
    return _encoded(payload | {"data": payload["data"] | {"data": bad_rows}})


def _reordered(callbacks: list[Callback], plan: Plan, rng: random.Random) -> list[Callback]:
    if len(callbacks) < 2:
        return callbacks
    order = list(callbacks)
    while order == callbacks:
        rng.shuffle(order)
    at, timed = 0.0, []
    for each in order:
        # A stage cannot be told before it is reached, so the overtaken ones wait for it.
        at = max(each.at, at + rng.uniform(2, 10) / plan.speed)
        timed.append(replace(each, at=at))
    return timed


def _delayed(callbacks: list[Callback], plan: Plan, rng: random.Random) -> list[Callback]:
    late = rng.uniform(60, 300) / plan.speed
    return [replace(each, at=each.at + late) for each in callbacks]


def _doubled(callbacks: list[Callback], plan: Plan, rng: random.Random) -> list[Callback]:
    copies = [
        replace(each, at=each.at + rng.uniform(0, 20) / plan.speed, retried=False) for each in callbacks
    ]
    return [*callbacks, *copies]


def _all_lost(callbacks: list[Callback], plan: Plan, rng: random.Random) -> list[Callback]:
    return []


_Spoiler = Callable[[list[Callback], Plan, random.Random], list[Callback]]
_SPOILERS: tuple[tuple[str, _Spoiler], ...] = (
    ("callback-malformed", _malformed),
    ("callbacks-reordered", _reordered),
    ("callback-delayed", _delayed),
    ("callback-doubled", _doubled),
    ("all-callbacks-lost", _all_lost),
)
