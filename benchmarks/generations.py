"""Simulated generations, played through the product's own intake and operations as time goes by."""

import json
import random
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from receiver.core.results import RefusalReason
from receiver.intake import callback_delivery, poll_delivery
from receiver.operations import register_task
from receiver.runtime import Runtime
from receiver.simulator.callbacks import Callback
from receiver.simulator.generation import Generation
from receiver.store import tasks
from receiver.store.audit_log import Actor

LABEL = "Placelabel"
PROMPT = "Warm tape, a slow upright piano, rain on a tin roof far away, and a low cello. " * 6
MODELS = ("V4", "V4_5", "V5")
SOMEBODY = Actor(via="benchmark")
NEVER = datetime(9999, 1, 1, tzinfo=UTC)


def draw_generation(
    at: datetime,
    rng: random.Random,
    *,
    title: str = "Tides",
    faults: Collection[str] | Mapping[str, float] = (),
) -> Generation:
    """A generation that is submitted at that moment, with the simulator's faults for sure or by their probability."""
    request = {
        "prompt": PROMPT,
        "style": "Ambient Folk, Slow",
        "title": title,
        "customMode": True,
        "instrumental": rng.random() < 0.2,
        "model": rng.choice(MODELS),
        "callBackUrl": "https://receiver.example.org/callbacks/[removed]",
    }
    return Generation.draw(
        task_id=f"{rng.getrandbits(128):032x}",
        request=request,
        submitted_at=at.timestamp(),
        rng=rng,
        faults=faults if isinstance(faults, Mapping) else dict.fromkeys(faults, 1.0),
    )


def play(
    runtime: Runtime,
    generation: Generation,
    rng: random.Random,
    *,
    label: str | None = None,
    registered: bool = True,
    silent_from: datetime = NEVER,
    until: datetime = NEVER,
) -> datetime:
    """Take in its callbacks, and record-info's response whenever a poll is due; returns when the last one came.

    From `silent_from` on the upstream calls nobody back, and its record stays as it is.
    """
    task_id, now = generation.task_id, datetime.fromtimestamp(generation.plan.submitted_at, UTC)
    if registered:
        register_task(runtime, task_id, label=label, now=now, actor=SOMEBODY)
    callbacks = deque(each for each in generation.callbacks if each.at < silent_from.timestamp())
    while True:
        callback_at = datetime.fromtimestamp(callbacks[0].at, UTC) if callbacks else NEVER
        poll_at = _poll_due(runtime, task_id) + timedelta(seconds=rng.uniform(0.2, 2.5))
        at = min(callback_at, poll_at)
        if at >= until:
            return now
        now = at
        if callback_at <= poll_at:
            _call_back(runtime, callbacks.popleft(), now=now)
        else:
            _poll(runtime, generation, now=now, as_of=min(now, silent_from))


def _poll_due(runtime: Runtime, task_id: str) -> datetime:
    with runtime.database.read() as connection:
        task = tasks.load(connection, task_id)
    return (task and task.next_poll_at) or NEVER


def _call_back(runtime: Runtime, callback: Callback, *, now: datetime) -> None:
    if callback.forged and callback.stage == "complete":  # the simulator sends it without the token
        runtime.intake.count_refusal(RefusalReason.WRONG_TOKEN, now=now)
    else:
        runtime.intake.accept([callback_delivery(callback.body, now=now, secrets=())])


def _poll(runtime: Runtime, generation: Generation, *, now: datetime, as_of: datetime) -> None:
    record = generation.record_info(as_of.timestamp())
    body = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
    runtime.intake.accept([poll_delivery(body, generation.task_id, now=now, secrets=())])


def callbacks(task_id: str) -> Sequence[bytes]:
    """The bodies of a task's text, first and complete, of 2.8 kB at most."""
    generation = draw_generation(datetime(2026, 1, 1, tzinfo=UTC), random.Random(7))
    bodies = [json.loads(callback.body) for callback in generation.callbacks]
    for row in (row for body in bodies for row in body["data"]["data"]):
        row["prompt"] += f" {row['prompt'][:300]}"
    texts = (json.dumps(body, ensure_ascii=False, separators=(",", ":")) for body in bodies)
    return [text.replace(generation.task_id, task_id).encode() for text in texts]


def record_of_success(task_id: str) -> Mapping[str, object]:
    """Record-info's response about a task that has succeeded, long after."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    generation = draw_generation(at, random.Random(7))
    text = json.dumps(generation.record_info((at + timedelta(hours=1)).timestamp()))
    record: Mapping[str, object] = json.loads(text.replace(generation.task_id, task_id))
    return record


def complete_callback(task_id: str) -> bytes:
    """The body of a `complete` callback with two tracks, as large as the upstream's."""
    return callbacks(task_id)[-1]
