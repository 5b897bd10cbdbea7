"""What a receiver has beside its tasks: stray deliveries, actions, refusals, pauses, a poller."""

import json
import random
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from benchmarks.schedule import DAYS, busy
from receiver.core.payloads import Trouble, parse_callback
from receiver.intake import result_of
from receiver.store import deliveries, lease, poll_queue
from receiver.store.audit_log import ActionKind
from receiver.store.hourly_counts import Tallies, hour_of, spread

ACTIONS = 2000
SLOTS = 2
LEASE_S = 10.0
REFUSALS = (("wrong_token", 0.8), ("too_large", 0.02), ("cut_off", 0.1), ("bad_signature", 0.05))
ACTION_SHARES = {
    ActionKind.SIGNED_IN: 25,
    ActionKind.SIGN_IN_REFUSED: 8,
    ActionKind.SIGNED_OUT: 10,
    ActionKind.POLL_REQUESTED: 20,
    ActionKind.LABELLED: 12,
    ActionKind.ACKNOWLEDGED: 22,
    ActionKind.READ_AGAIN: 3,
}
ABOUT_A_TASK = (ActionKind.POLL_REQUESTED, ActionKind.LABELLED, ActionKind.ACKNOWLEDGED)


def stray_deliveries(
    quarantined: int, unsupported: int, *, since: datetime, now: datetime, rng: random.Random
) -> Iterator[dict[str, Any]]:
    """Rows of deliveries that name no task, and of sister products' callbacks."""
    for number in range(quarantined + unsupported):
        body = _unreadable_body(rng) if number < quarantined else _sister_body(rng)
        reading = parse_callback(body)
        result = result_of(reading)
        told = deliveries.StoredDelivery(
            source="callback",
            received_at=since + (now - since) * rng.random(),
            result=result,
            task_id=reading.task_id,
            product=reading.product,
            errors=reading.errors,
            cause=reading.kind.value if result == deliveries.QUARANTINED else None,
            digest=reading.digest,
            body=body,
        )
        yield deliveries.columns_as_read(told) | {
            "source": told.source,
            "received_at": told.received_at,
            "body": body,
        }


def _unreadable_body(rng: random.Random) -> bytes:
    number = rng.getrandbits(64)
    bodies = (
        f"<html><body><h1>502 Bad Gateway</h1><p>{number}</p></body></html>",
        f'{{"code":200,"msg":"All generated successfully.","data":{{"callbackType":"complete","x":"{number}',
        f"status=ok&id={number}",
        json.dumps(
            {"code": 200, "msg": "ok", "data": {"callbackType": "complete", "data": [{"id": number}]}}
        ),
        json.dumps([{"audio_url": f"https://files.simulator.example/{number}.mp3"}]),
        json.dumps({"code": 501, "msg": f"failed {number}", "data": None}),
    )
    return rng.choice(bodies).encode()


def _sister_body(rng: random.Random) -> bytes:
    data = {"task_id": f"{rng.getrandbits(128):032x}", "audioWavUrl": f"https://x.example/{rng.random()}.wav"}
    return json.dumps({"code": 200, "msg": "success", "data": data}).encode()


def hourly_counts(*, now: datetime, rng: random.Random) -> Tallies:
    """Refused callbacks, calls that failed, and the pauses these led to."""
    counts: Tallies = Counter()
    for number in range(DAYS * 24):
        hour = hour_of(now) - timedelta(hours=number)
        for name, share in REFUSALS:
            counts[hour, "callback", name] += int(rng.expovariate(1) * share * 4)
        if rng.random() < 0.15 * busy(hour):
            trouble = rng.choice(list(Trouble))
            counts[hour, "call", trouble.value] += rng.randrange(1, 30)
            start = hour + timedelta(minutes=rng.uniform(0, 59))
            ends = min(start + timedelta(minutes=rng.expovariate(1 / 6)), now)
            counts.update(spread(start, ends, "pause", trouble.value))
    return counts


def actions(
    about: Sequence[tuple[datetime, str]], *, now: datetime, rng: random.Random
) -> list[dict[str, Any]]:
    """Rows of what people did, in order of time, some with the tasks of `about`."""
    times = sorted(now - timedelta(days=DAYS * rng.random()) for _ in range(ACTIONS))
    tasks = deque(sorted(about))
    kinds = rng.choices(list(ACTION_SHARES), list(ACTION_SHARES.values()), k=len(times))
    rows, task_id = [], None
    for at, kind in zip(times, kinds, strict=True):
        while tasks and tasks[0][0] < at:
            task_id = tasks.popleft()[1]
        rows.append(
            {
                "at": at,
                "via": rng.choice(("admin page", "admin page", "API", "command")),
                "address": f"192.0.2.{rng.randrange(1, 250)}",
                "kind": kind.value,
                "task_id": task_id if kind in ABOUT_A_TASK else None,
                "detail": json.dumps(_detail(kind, rng)),
            }
        )
    return rows


def _detail(kind: ActionKind, rng: random.Random) -> dict[str, Any]:
    if kind is ActionKind.LABELLED:
        return {"label": f"order {rng.randrange(10**6)}"}
    if kind is ActionKind.ACKNOWLEDGED:
        return {"problem": rng.choice(("unresolved", "unresolved", "conflict"))}
    if kind is ActionKind.READ_AGAIN:
        return {"lookedAt": rng.randrange(1, 200), "readable": rng.randrange(3), "changing": rng.randrange(2)}
    return {}


def keep_poller(connection: Connection, *, now: datetime) -> None:
    """A poller that was alive just now."""
    lease.take(connection, holder="benchmark:1:0", now=now, ttl_s=LEASE_S)
    poll_queue.resize_slots(connection, SLOTS)
