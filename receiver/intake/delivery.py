"""What somebody told us, made out of a body."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from receiver.core.claim_bounds import exceeds_claim_limits
from receiver.core.observation import Observation, Source
from receiver.core.payloads import ParsedPayload, ParseOutcome, parse_callback, parse_poll
from receiver.core.reconciliation import TaskState
from receiver.core.search_terms import query_terms
from receiver.redaction import redact
from receiver.store.deliveries import QUARANTINED, UNSUPPORTED

TOO_MUCH = "With this the task would have more claims than are kept; record-info is asked instead."


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """What somebody told us, read but not yet believed."""

    source: Source
    body: bytes
    received_at: datetime
    reading: ParsedPayload
    query: str = ""


def callback_delivery(body: bytes, *, now: datetime, secrets: Iterable[str], query: str = "") -> Delivery:
    """The delivery in a callback's body; `query` is its URL's, without secrets."""
    body = redact(body, secrets)
    reading = parse_callback(body)
    return _prepared(
        Delivery(source=Source.CALLBACK, body=body, received_at=now, reading=reading, query=query)
    )


def poll_delivery(body: bytes, asked: str, *, now: datetime, secrets: Iterable[str]) -> Delivery:
    """The delivery in record-info's answer about the task `asked` for."""
    body = redact(body, secrets)
    return _prepared(
        Delivery(source=Source.POLL, body=body, received_at=now, reading=parse_poll(body, asked))
    )


def _prepared(delivery: Delivery) -> Delivery:
    """The delivery, with the work on its texts done before anything is locked."""
    seen = delivery.reading.observation
    query_terms(str(track.fields.get("title", "")) for track in (seen.tracks if seen else ()))
    return delivery


def result_of(reading: ParsedPayload) -> str:
    """What becomes of a delivery that is read so, unless it repeats another."""
    names = {
        ParseOutcome.READ: "accepted",
        ParseOutcome.UNSUPPORTED: UNSUPPORTED,
        ParseOutcome.UNKNOWN_TASK: "unknown",
    }
    return names.get(reading.kind, QUARANTINED)


def within_bounds(reading: ParsedPayload, state: TaskState) -> ParsedPayload:
    """The reading, as of a body that could not be read where its claims would take the state past its bound."""
    if reading.observation is None or not exceeds_claim_limits(state, reading.observation):
        return reading
    return replace(reading, kind=ParseOutcome.TOO_MUCH, observation=None, errors={"": [TOO_MUCH]})


def reported_status(seen: Observation | None) -> str:
    if seen is None:
        return ""
    return str(seen.other_job.status if seen.other_job else seen.status)
