"""A delivery as it came: its body without secrets, and what that says."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from receiver.core.observation import Source
from receiver.core.payloads import ParsedPayload, parse_callback, parse_poll
from receiver.core.search_terms import fold_early
from receiver.redaction import redact


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One callback or one answer to a poll, parsed and not yet stored."""

    source: Source
    body: bytes
    received_at: datetime
    parsed: ParsedPayload
    query: str = ""


def callback_delivery(body: bytes, *, now: datetime, secrets: Iterable[str], query: str = "") -> Delivery:
    """The delivery in a callback's body; `query` is its URL's, without secrets."""
    body = redact(body, secrets)
    parsed = parse_callback(body)
    _fold_titles(parsed)
    return Delivery(source=Source.CALLBACK, body=body, received_at=now, parsed=parsed, query=query)


def poll_delivery(body: bytes, task_id: str, *, now: datetime, secrets: Iterable[str]) -> Delivery:
    """The delivery in record-info's answer to a poll about the task."""
    body = redact(body, secrets)
    parsed = parse_poll(body, task_id)
    _fold_titles(parsed)
    return Delivery(source=Source.POLL, body=body, received_at=now, parsed=parsed)


def _fold_titles(parsed: ParsedPayload) -> None:
    """Does the work on the titles before anything is locked."""
    tracks = parsed.observation.tracks if parsed.observation else ()
    fold_early(str(track.fields.get("title", "")) for track in tracks)
