"""What somebody told us, made out of a body."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from receiver.core.claim_bounds import claims_too_much
from receiver.core.observation import Observation, Source
from receiver.core.payloads import Kind, Reading, read_answer, read_callback
from receiver.core.reconciliation import TaskState
from receiver.core.words import prepare_words
from receiver.redaction import without_secrets
from receiver.store.deliveries import QUARANTINED, UNSUPPORTED

TOO_MUCH = "With this the task would have more claims than are kept; record-info is asked instead."


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """What somebody told us, read but not yet believed."""

    source: Source
    body: bytes
    received_at: datetime
    reading: Reading
    query: str = ""


def callback_delivery(body: bytes, *, now: datetime, secrets: Iterable[str], query: str = "") -> Delivery:
    """The delivery in a callback's body; `query` is its URL's, without secrets."""
    body = without_secrets(body, secrets)
    reading = read_callback(body)
    return _prepared(
        Delivery(source=Source.CALLBACK, body=body, received_at=now, reading=reading, query=query)
    )


def poll_delivery(body: bytes, asked: str, *, now: datetime, secrets: Iterable[str]) -> Delivery:
    """The delivery in record-info's answer about the task `asked` for."""
    body = without_secrets(body, secrets)
    return _prepared(
        Delivery(source=Source.POLL, body=body, received_at=now, reading=read_answer(body, asked))
    )


def _prepared(delivery: Delivery) -> Delivery:
    """The delivery, with the work on its texts done before anything is locked."""
    seen = delivery.reading.observation
    prepare_words(str(track.fields.get("title", "")) for track in (seen.tracks if seen else ()))
    return delivery


def result_of(reading: Reading) -> str:
    """What becomes of a delivery that is read so, unless it repeats another."""
    names = {Kind.READ: "accepted", Kind.UNSUPPORTED: UNSUPPORTED, Kind.UNKNOWN_TASK: "unknown"}
    return names.get(reading.kind, QUARANTINED)


def within_bounds(reading: Reading, state: TaskState) -> Reading:
    """The reading, as of a body that could not be read where its claims would take the state past its bound."""
    if reading.observation is None or not claims_too_much(state, reading.observation):
        return reading
    return replace(reading, kind=Kind.TOO_MUCH, observation=None, errors={"": [TOO_MUCH]})


def told_status(seen: Observation | None) -> str:
    if seen is None:
        return ""
    return str(seen.other_job.status if seen.other_job else seen.status)
