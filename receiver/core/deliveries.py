"""What a delivery does to its task, whether it just came or is parsed again. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from receiver.core.claim_bounds import exceeds_claim_limits
from receiver.core.observation import Source
from receiver.core.payloads import ParsedPayload, ParseOutcome
from receiver.core.task import Rules, Task
from receiver.core.task_events import (
    on_callback,
    on_duplicate,
    on_poll_response,
    on_reprocessed,
    with_query,
)

TOO_MUCH = "With this the task would have more claims than are kept; record-info is asked instead."


def find_first_seen(deliveries: Iterable[tuple[ParsedPayload, datetime]]) -> dict[str, datetime]:
    """The earliest arrival about each task; another product's job becomes no task of ours.

    `deliveries` are payloads with the time at which each was received.
    """
    first: dict[str, datetime] = {}
    for parsed, received_at in deliveries:
        if parsed.task_id and parsed.kind is not ParseOutcome.UNSUPPORTED:
            first[parsed.task_id] = min(received_at, first.get(parsed.task_id, received_at))
    return first


def within_claim_limits(task: Task, parsed: ParsedPayload) -> ParsedPayload:
    """The payload; as one that could not be parsed where its claims would take the task past its limits."""
    if parsed.observation is None or not exceeds_claim_limits(task.state, parsed.observation):
        return parsed
    return replace(parsed, kind=ParseOutcome.TOO_MUCH, observation=None, errors={"": [TOO_MUCH]})


def apply_delivery(
    task: Task,
    parsed: ParsedPayload,
    *,
    source: Source,
    query: str,
    duplicate: bool,
    now: datetime,
    jitter: float,
    rules: Rules,
) -> Task:
    """The task after a delivery that came `now`; `query` is that of a callback's URL.

    `duplicate`: the task has had the same content from this source. `jitter` is a random number in -1..1.
    """
    if source is Source.POLL:
        return on_poll_response(task, parsed.to_reconcile, now=now, jitter=jitter, rules=rules)
    # Another product's job matters only where its owner has registered it; else its callback is only counted.
    ignored = parsed.kind is ParseOutcome.UNSUPPORTED and task.registered_at is None
    if duplicate or ignored:
        task = on_duplicate(task, now=now)
    else:
        task = on_callback(task, parsed.to_reconcile, now=now, rules=rules, lossy=parsed.lossy)
    return with_query(task, query)


def apply_reprocessed(
    task: Task,
    parsed: ParsedPayload,
    *,
    counted: bool,
    received_at: datetime,
    query: str,
    now: datetime,
    rules: Rules,
) -> Task:
    """The task after a delivery of `received_at` that is parsed again.

    `counted`: it was known to be about this task when it came. Otherwise it is a first callback to the task.
    """
    observation, lossy = parsed.observation, parsed.lossy
    if not counted:
        latest = max(received_at, task.last_callback_at or received_at)
        task = on_callback(with_query(task, query), observation, now=now, rules=rules, lossy=lossy)
        return replace(task, last_callback_at=latest)
    if observation is None:
        return task
    return on_reprocessed(task, observation, now=now, rules=rules, lossy=lossy)
