"""The callbacks of a plan, with the faults that are drawn for them."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit, urlunsplit

from receiver.simulator.faults import happens
from receiver.simulator.plan import Plan
from receiver.simulator.tracks import Row, callback_row

MESSAGES = {
    "text": "Text generation completed.",
    "first": "First audio generated successfully.",
    "complete": "All generated successfully.",
}
TOKEN_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
WRONG_TOKEN_LENGTH = 24


@dataclass(frozen=True, kw_only=True)
class Callback:
    """One planned POST at epoch second `at`; a copy or a forgery is sent once and never retried."""

    at: float
    url: str
    body: bytes
    task_id: str
    stage: str
    retried: bool = True
    retry: int = 0
    forged: bool = False


def plan_callbacks(
    plan: Plan, faults: Mapping[str, float], rng: random.Random
) -> tuple[tuple[Callback, ...], tuple[str, ...]]:
    """The callbacks in the order of their times, and the faults that changed them."""
    callbacks = stage_callbacks(plan)
    injected: list[str] = []
    for name, inject_fault in _INJECTORS:
        faulty = inject_fault(callbacks, plan, random.Random(rng.getrandbits(64)))
        if happens(name, faults, rng) and faulty != callbacks:
            callbacks, injected = faulty, [*injected, name]
    sent = [callback for callback in callbacks if not happens("callback-lost", faults, rng)]
    if len(sent) < len(callbacks):
        injected.append("callback-lost")
    # Nothing would ever contradict a failure forged for a task that stays pending.
    if happens("callback-forged", faults, rng) and plan.ending != "stuck":
        sent += forgeries(plan, rng)
        injected.append("callback-forged")
    return tuple(sorted(sent, key=lambda callback: callback.at)), tuple(injected)


def stage_callbacks(plan: Plan) -> list[Callback]:
    """The callbacks of an upstream whose deliveries all work."""
    if plan.failure is not None:
        text = [_success(plan, "text", plan.text_at)] if plan.text_at < plan.settled_at else []
        return [*text, _error(plan, plan.settled_at, plan.failure.code, plan.failure.message)]
    times = [("text", plan.text_at), ("first", plan.first_at), ("complete", plan.complete_at)]
    count = {"stuck": 0, "callback-exception-empty": 1, "callback-exception": 2}.get(plan.ending or "", 3)
    return [_success(plan, stage, at) for stage, at in times[:count]]


def forgeries(plan: Plan, rng: random.Random) -> list[Callback]:
    """The POSTs of an attacker who knows the task id: once without the token, once with it."""
    token = "".join(rng.choice(TOKEN_LETTERS) for _ in range(WRONG_TOKEN_LENGTH))
    rows = [track.row() | {"audioUrl": f"https://attacker.example/{track.id}.mp3"} for track in plan.tracks]
    success = _callback(plan, "complete", 0.0, 200, MESSAGES["complete"], rows)
    failure = _error(plan, 0.0, 501, "Audio generation failed")
    duration = plan.settled_at - plan.submitted_at
    return [
        replace(
            callback, at=plan.submitted_at + duration * rng.uniform(0.05, 0.95), retried=False, forged=True
        )
        for callback in (replace(success, url=with_last_segment(success.url, token)), failure)
    ]


def with_last_segment(url: str, segment: str) -> str:
    """The URL with the last segment of its path replaced."""
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
        body=_encode({"code": code, "msg": message, "data": data}),
        task_id=plan.task_id,
        stage=stage,
    )


def _encode(payload: Mapping[str, object]) -> bytes:
    return json.dumps(payload, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _malform(callbacks: list[Callback], plan: Plan, rng: random.Random) -> list[Callback]:
    return [
        replace(callback, body=_malformed_body(callback.body, plan.task_id, rng)) for callback in callbacks
    ]


def _malformed_body(body: bytes, task_id: str, rng: random.Random) -> bytes:
    payload = json.loads(body)
    rows = payload["data"]["data"]
    variant = rng.choice(("broken", "text-data", "text-rows", *(["duration"] if rows else [])))
    if variant == "broken":
        return body[: -rng.randint(2, len(body) // 2)]
    if variant == "text-data":
        return _encode(payload | {"data": "see the record", "task_id": task_id})
    if variant == "text-rows":
        return _encode(payload | {"data": payload["data"] | {"data": "see the record"}})
    bad_rows = [row | {"duration": "three minutes"} for row in rows]
    return _encode(payload | {"data": payload["data"] | {"data": bad_rows}})


def _reorder(callbacks: list[Callback], plan: Plan, rng: random.Random) -> list[Callback]:
    if len(callbacks) < 2:
        return callbacks
    shuffled = list(callbacks)
    while shuffled == callbacks:
        rng.shuffle(shuffled)
    at, reordered = 0.0, []
    for callback in shuffled:
        # A stage cannot be called back before it is reached, so the overtaken ones wait for it.
        at = max(callback.at, at + rng.uniform(2, 10) / plan.speed)
        reordered.append(replace(callback, at=at))
    return reordered


def _delay(callbacks: list[Callback], plan: Plan, rng: random.Random) -> list[Callback]:
    delay = rng.uniform(60, 300) / plan.speed
    return [replace(callback, at=callback.at + delay) for callback in callbacks]


def _double(callbacks: list[Callback], plan: Plan, rng: random.Random) -> list[Callback]:
    copies = [
        replace(callback, at=callback.at + rng.uniform(0, 20) / plan.speed, retried=False)
        for callback in callbacks
    ]
    return [*callbacks, *copies]


def _lose_all(callbacks: list[Callback], plan: Plan, rng: random.Random) -> list[Callback]:
    return []


_InjectFault = Callable[[list[Callback], Plan, random.Random], list[Callback]]
_INJECTORS: tuple[tuple[str, _InjectFault], ...] = (
    ("callback-malformed", _malform),
    ("callbacks-reordered", _reorder),
    ("callback-delayed", _delay),
    ("callback-doubled", _double),
    ("all-callbacks-lost", _lose_all),
)
