"""What an answer of record-info is worth, before anybody reads what it says of the task."""

from collections.abc import Mapping
from enum import StrEnum

from marshmallow import ValidationError

from receiver.core.payloads.envelope import NotJsonError, open_envelope, parse_json
from receiver.core.payloads.fields import Code

CODE = Code(allow_none=True)
REFUSED = {401, 403}
NOT_KNOWN = {404, 422}  # "recordInfo is null", and an id that is too young or not a task's
LIMITED = {405, 429, 430}  # each vendor of the family names another of them its rate limit
MAINTENANCE = {455}


class Trouble(StrEnum):
    """Why a call says nothing about the task: the upstream failed us."""

    NETWORK = "network"
    REFUSED = "refused"
    LIMITED = "limited"
    MAINTENANCE = "maintenance"
    SERVER_ERROR = "server_error"
    NOT_RECORD_INFO = "not_record_info"


def trouble_with(http_status: int, body: bytes) -> Trouble | None:
    """The trouble in an answer, or None when it speaks of the task.

    HTTP status and body `code` are both read: a refused key comes as HTTP 200 with `code` 401, a failed
    generation as HTTP 200 with `code` 200, an outage of the query as HTTP 500.
    """
    code = _code(body)
    for status in (http_status, code):
        if status in REFUSED:
            return Trouble.REFUSED
        if status in LIMITED:
            return Trouble.LIMITED
        if status in MAINTENANCE:
            return Trouble.MAINTENANCE
        if status in NOT_KNOWN:
            return None
    if http_status >= 500 or (code is not None and code >= 500):
        return Trouble.SERVER_ERROR
    return None if 200 <= http_status < 300 and code == 200 else Trouble.NOT_RECORD_INFO


def _code(body: bytes) -> int | None:
    """The body's `code` where the body is a record-info envelope: an object whose `data` is one, or null."""
    try:
        envelope = open_envelope(parse_json(body))
        code = None if envelope is None else CODE.deserialize(envelope.root.get("code"))
    except (NotJsonError, ValidationError):
        return None
    if envelope is None or not (envelope.data is None or isinstance(envelope.data, Mapping)):
        return None
    return code if isinstance(code, int) else None
