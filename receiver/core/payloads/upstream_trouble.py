"""Whether a response of record-info is about the task at all, before its content is parsed."""

from collections.abc import Mapping
from enum import StrEnum

from marshmallow import ValidationError

from receiver.core.payloads.envelope import Envelope, NotJsonError, open_envelope
from receiver.core.payloads.fields import Code
from receiver.core.payloads.repair import parse_response_json

CODE = Code()
WORKED = frozenset({200, 0})  # 0 stands for 200 beside a record
NOT_KNOWN = frozenset({404, 422})  # "recordInfo is null", and an id that is too young or not a task's
SLOW_DOWN = frozenset({405, 429, 430})  # each vendor of the family names another its rate limit
CLOSED = 455
MAX_MESSAGE_CHARS = 200


class Trouble(StrEnum):
    """Why a call brought no response about the task."""

    NETWORK = "network"
    REFUSED = "refused"
    DENIED = "denied"
    LIMITED = "limited"
    MAINTENANCE = "maintenance"
    SERVER_ERROR = "server_error"
    NOT_RECORD_INFO = "not_record_info"

    @property
    def asks_to_slow_down(self) -> bool:
        """Whether the upstream itself asks not to be called, which is never one task's fault at first."""
        return self in (Trouble.LIMITED, Trouble.MAINTENANCE)

    @property
    def meaning(self) -> str:
        """For people, in a few words."""
        return MEANINGS[self]


MEANINGS: Mapping[Trouble, str] = {
    Trouble.NETWORK: "it cannot be reached, or does not answer in time",
    Trouble.REFUSED: "it refuses the API key",
    Trouble.DENIED: "something before it denies our calls",
    Trouble.LIMITED: "it asks us to slow down",
    Trouble.MAINTENANCE: "it is closed for maintenance",
    Trouble.SERVER_ERROR: "it answers with server errors",
    Trouble.NOT_RECORD_INFO: "its answers are not record-info: is RECEIVER_UPSTREAM_URL right?",
}


def classify_response(http_status: int, body: bytes) -> Trouble | None:
    """The trouble in a response, or None when it is about the task.

    HTTP status and body `code` both count: a refused key comes as HTTP 200 with `code` 401, a failed
    generation as HTTP 200 with `code` 200, an outage of the query as HTTP 500. Any other code in the upstream's own
    envelope, such as 451 or 500, is about this one task.
    """
    envelope = _envelope(body)
    code = None if envelope is None else code_of(envelope)
    is_envelope = envelope is not None and code is not None and bool({"msg", "data"} & envelope.root.keys())
    statuses = {http_status, code}
    # In order of precedence.
    named = (
        (code == 401 or (http_status == 401 and is_envelope), Trouble.REFUSED),
        (bool(statuses & SLOW_DOWN), Trouble.LIMITED),
        (CLOSED in statuses, Trouble.MAINTENANCE),
        (http_status >= 500, Trouble.SERVER_ERROR),
        (http_status in (401, 403), Trouble.DENIED),
        (not (is_envelope and _is_about_a_task(http_status, code, envelope)), Trouble.NOT_RECORD_INFO),
    )
    return next((trouble for holds, trouble in named if holds), None)


def _is_about_a_task(http_status: int, code: int | None, envelope: Envelope | None) -> bool:
    """Whether an envelope is about a task: not in a redirect, nor a record with an HTTP error."""
    if envelope is None:
        return False
    record = envelope.root.get("data")
    if not 200 <= http_status < 300:
        return 400 <= http_status < 500 and not (record and isinstance(record, dict))
    promised = {"data", "taskid", "status"} & envelope.root.keys()
    return code not in WORKED or (bool(promised) and isinstance(record, dict | None))


def code_of(envelope: Envelope) -> int | None:
    """The body's `code`, where it is a whole number."""
    try:
        code = CODE.deserialize(envelope.root.get("code"))
    except ValidationError:
        return None
    return code if isinstance(code, int) else None


def code_in(body: bytes) -> int | None:
    """The `code` of a body, where it has one."""
    envelope = _envelope(body)
    return None if envelope is None else code_of(envelope)


def refusal_of(envelope: Envelope) -> str | None:
    """Code and message of a response without a record; None where its code promises a record."""
    code = code_of(envelope)
    if code is None or code in WORKED:
        return None
    message = envelope.root.get("msg")
    text = " ".join(message.split()) if isinstance(message, str) else ""
    return f"{code}: {text}"[:MAX_MESSAGE_CHARS] if text else str(code)


def _envelope(body: bytes) -> Envelope | None:
    try:
        return open_envelope(parse_response_json(body).value)
    except (NotJsonError, RecursionError):
        return None
