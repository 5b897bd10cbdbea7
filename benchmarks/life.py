"""Template tasks: lives of simulated generations, folded through the same functions as in the product."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from receiver.core.cadence import Cadence
from receiver.core.observation import Source
from receiver.core.payloads import ParsedPayload, ParseOutcome, parse_callback, parse_poll
from receiver.core.settlement import Policy
from receiver.core.task import Rules, Task
from receiver.core.task_change import find_change
from receiver.core.task_events import on_callback, on_duplicate, on_poll_response, register
from receiver.intake import reported_status, result_of
from receiver.simulator.generation import Generation
from receiver.store.deliveries import DUPLICATE, QUARANTINED, StoredDelivery

RULES = Rules(policy=Policy(), cadence=Cadence())
SUBMITTED_AT = datetime(2025, 1, 1, 12, tzinfo=UTC)
NEVER = timedelta(days=365)


@dataclass(frozen=True, kw_only=True, slots=True)
class Callback:
    at: datetime
    body: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """What the upstream does, until one looks: its callbacks in order, and record-info's answers."""

    task_id: str
    registered: bool
    callbacks: Sequence[Callback]
    record_info: Callable[[datetime], bytes]
    until: datetime = SUBMITTED_AT + NEVER


@dataclass(frozen=True, kw_only=True, slots=True)
class Life:
    """A task, and all that was told of it."""

    task: Task
    told: Sequence[StoredDelivery]


def story_of(
    generation: Generation,
    *,
    registered: bool,
    frozen_at: datetime = SUBMITTED_AT + NEVER,
    until: datetime = SUBMITTED_AT + NEVER,
) -> Story:
    """The story of a generation, of which nothing is heard any more from `frozen_at` on."""
    delivered = [each for each in generation.callbacks if not (each.forged and each.stage == "complete")]
    callbacks = [
        Callback(at=datetime.fromtimestamp(each.at, UTC), body=each.body)
        for each in delivered
        if each.at < frozen_at.timestamp()
    ]
    return Story(
        task_id=generation.task_id,
        registered=registered,
        callbacks=callbacks,
        record_info=lambda now: body_of(generation.record_info(min(now, frozen_at).timestamp())),
        until=until,
    )


def body_of(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def live(story: Story, rng: random.Random) -> Life:
    """Hear, ask whenever it is time, and go on until nothing more is expected."""
    waiting = list(story.callbacks)
    task = Task(task_id=story.task_id, first_seen_at=SUBMITTED_AT if story.registered else waiting[0].at)
    if story.registered:
        task = register(task, label=None, now=SUBMITTED_AT, rules=RULES)
    told: list[StoredDelivery] = []
    while True:
        asked_at = task.next_poll_at and task.next_poll_at + timedelta(seconds=rng.uniform(0.2, 2.5))
        heard_at = waiting[0].at if waiting else None
        now = min((at for at in (asked_at, heard_at) if at is not None), default=story.until)
        if now >= story.until:
            return Life(task=task, told=told)
        if now == heard_at:
            body, source = waiting.pop(0).body, Source.CALLBACK
            reading = parse_callback(body)
        else:
            body, source = story.record_info(now), Source.POLL
            reading = parse_poll(body, story.task_id)
        result = _result(reading, source, told)
        before = task
        if reading.task_id:
            task = _next(task, reading, source, result, now=now, jitter=rng.uniform(-1, 1))
        told.append(_delivery(reading, source, result, before, task, now=now, body=body))


def _result(reading: ParsedPayload, source: Source, told: Sequence[StoredDelivery]) -> str:
    known = {(one.task_id, one.source, one.digest) for one in told if one.task_id}
    return DUPLICATE if (reading.task_id, source.value, reading.digest) in known else result_of(reading)


def _next(
    task: Task, reading: ParsedPayload, source: Source, result: str, *, now: datetime, jitter: float
) -> Task:
    """As `Intake` goes on, which needs a database."""
    if source is Source.POLL:
        return on_poll_response(task, reading.observation, now=now, jitter=jitter, rules=RULES)
    if result == DUPLICATE or reading.kind is ParseOutcome.UNSUPPORTED:
        return on_duplicate(task, now=now)
    return on_callback(task, reading.observation, now=now, rules=RULES, lossy=bool(reading.errors))


def _delivery(
    reading: ParsedPayload,
    source: Source,
    result: str,
    before: Task,
    after: Task,
    *,
    now: datetime,
    body: bytes,
) -> StoredDelivery:
    return StoredDelivery(
        task_id=reading.task_id,
        source=source.value,
        received_at=now,
        result=result,
        status=reported_status(reading.observation),
        product=reading.product,
        errors=reading.errors,
        cause=reading.kind.value if result == QUARANTINED else None,
        change=find_change(before, after),
        digest=reading.digest,
        body=body,
    )
