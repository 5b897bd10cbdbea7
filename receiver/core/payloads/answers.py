"""What an answer of record-info is worth, before anybody reads what it says of the task."""

from collections.abc import Mapping
from enum import StrEnum

from marshmallow import ValidationError

from receiver.core.payloads.envelope import NotJsonError, open_envelope, parse_json
from receiver.core.payloads.fields import Code

CODE = Code()
NOT_KNOWN = {404, 422}  # "recordInfo is null", and an id that is too young or not a task's


class Trouble(StrEnum):
    """Why a call says nothing about the task: the upstream failed us."""

    NETWORK = "network"
    REFUSED = "refused"
    LIMITED = "limited"
    MAINTENANCE = "maintenance"
    SERVER_ERROR = "server_error"
    NOT_RECORD_INFO = "not_record_info"


# What goes before the rest goes first, wherever it stands: in the HTTP status or in the body's `code`.
NAMED: Mapping[frozenset[int], Trouble] = {
    frozenset({401, 403}): Trouble.REFUSED,
    frozenset({405, 429, 430}): Trouble.LIMITED,  # each vendor of the family names another its rate limit
    frozenset({455}): Trouble.MAINTENANCE,
}


def trouble_with(http_status: int, body: bytes) -> Trouble | None:
    """The trouble in an answer, or None when it speaks of the task.

    HTTP status and body `code` are both read: a refused key comes as HTTP 200 with `code` 401, a failed
    generation as HTTP 200 with `code` 200, an outage of the query as HTTP 500.
    """
    code, is_envelope = _code(body)
    statuses = {http_status, code}
    for named, trouble in NAMED.items():
        if statuses & named:
            return trouble
    if any(status is not None and status >= 500 for status in statuses):
        return Trouble.SERVER_ERROR
    if statuses & NOT_KNOWN:
        return None
    return None if is_envelope and 200 <= http_status < 300 and code == 200 else Trouble.NOT_RECORD_INFO


def _code(body: bytes) -> tuple[int | None, bool]:
    """The body's `code`, and whether it is a record-info envelope: an object whose `data` is one, or null."""
    try:
        envelope = open_envelope(parse_json(body))
        code = None if envelope is None else CODE.deserialize(envelope.root.get("code"))
    except (NotJsonError, ValidationError, RecursionError):
        return None, False
    is_envelope = envelope is not None and (envelope.data is None or isinstance(envelope.data, Mapping))
    return code if isinstance(code, int) else None, is_envelope
