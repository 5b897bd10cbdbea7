"""Tasks and deliveries as JSON: the names and the order of `api_output`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from receiver.core.claims import Claims
from receiver.core.observation import DETAIL_FIELDS, TRACK_FIELDS, URL_FIELDS, is_audio_file
from receiver.core.payloads.fields import iso as iso_text
from receiver.core.product import Product
from receiver.core.task import Task
from receiver.store.deliveries import StoredDelivery


def iso(moment: datetime | None) -> str | None:
    return None if moment is None else iso_text(moment)


def serialize_task(task: Task) -> dict[str, Any]:
    state, settlement = task.state, task.settlement
    status = state.status
    return {
        "taskId": task.task_id,
        "label": task.display_label,
        "status": status.word or None,
        "outcome": settlement.outcome.value,
        "settled": settlement.settled,
        "confirmed": state.confirmed,
        "recovered": settlement.recovered,
        "conflict": state.conflict,
        "registered": task.registered_at is not None,
        **_values(DETAIL_FIELDS, state.visible_details),
        "product": Product.MUSIC.value,
        "results": [],
        "tracks": [_serialize_track(claims) for _, claims in sorted(task.tracks.items())],
        "registeredAt": iso(task.registered_at),
        "firstSeenAt": iso(task.first_seen_at),
        "changedAt": iso(task.changed_at),
        "lastCallbackAt": iso(task.last_callback_at),
        "lastPolledAt": iso(task.last_polled_at),
        "nextPollAt": iso(task.next_poll_at),
        "settledAt": iso(task.settled_at),
        "callbacks": task.callbacks,
        "polls": task.polls,
        "version": task.version,
    }


def serialize_delivery(delivery: StoredDelivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "taskId": delivery.task_id,
        "source": delivery.source,
        "receivedAt": iso(delivery.received_at),
        "result": delivery.result,
        "status": delivery.status or None,
        "product": delivery.product,
        "query": delivery.query,
        "errors": delivery.errors or {},
        "repeats": delivery.repeats,
        "body": None if delivery.body is None else delivery.body.decode(errors="replace"),
    }


def _serialize_track(claims: Claims) -> dict[str, Any]:
    values = _values(TRACK_FIELDS, claims)
    return {
        "id": values["id"],
        "confirmed": is_confirmed(claims),
        "playable": values["audioUrl"] is not None or is_audio_file(values["sourceAudioUrl"]),
        **values,
    }


def is_confirmed(claims: Claims) -> bool:
    """Whether record-info reported the track, and each of its URLs."""
    urls = [claim for name, claim in claims.items() if name in URL_FIELDS]
    return any(claim.confirmed for claim in claims.values()) and all(claim.confirmed for claim in urls)


def _values(names: tuple[str, ...], claims: Claims) -> Mapping[str, Any]:
    return {name: claims[name].value if name in claims else None for name in names}
