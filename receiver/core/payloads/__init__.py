"""Upstream bodies: tolerant schemas, and what they are parsed into."""

from receiver.core.payloads.parse import ParsedPayload, ParseOutcome, parse_callback, parse_poll, parse_stored
from receiver.core.payloads.upstream_trouble import Trouble, classify_response

__all__ = [
    "ParseOutcome",
    "ParsedPayload",
    "Trouble",
    "classify_response",
    "parse_callback",
    "parse_poll",
    "parse_stored",
]
