"""Parses a body into an observation, or says why there is none."""

import hashlib
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from marshmallow import ValidationError

from receiver.core.observation import Observation, Source, Status
from receiver.core.payloads import record_info, stages
from receiver.core.payloads.envelope import Envelope, NotJsonError, digest, open_envelope
from receiver.core.payloads.errors import Errors, bounded, flat_errors
from receiver.core.payloads.fields import is_blank
from receiver.core.payloads.products import UnsupportedProduct, find_end, find_product
from receiver.core.payloads.repair import parse_response_json
from receiver.core.payloads.row_locations import find_rows
from receiver.core.payloads.tracks import read_rows
from receiver.core.payloads.upstream_trouble import NOT_KNOWN, refusal_of
from receiver.core.payloads.wrapping import parse_body
from receiver.core.results import DeliveryResult
from receiver.core.validation import TASK_ID_RULE

BROKEN_PARAM = {"data.param": ["Wrongly escaped, so left out."]}


class ParseOutcome(StrEnum):
    PARSED = "parsed"
    UNSUPPORTED = "unsupported"
    UNREADABLE = "unreadable"
    UNKNOWN_TASK = "unknown_task"
    NO_TASK_ID = "no_task_id"
    NOT_JSON = "not_json"
    TOO_MUCH = "too_much"


RESULTS = {
    ParseOutcome.PARSED: DeliveryResult.ACCEPTED,
    ParseOutcome.UNSUPPORTED: DeliveryResult.UNSUPPORTED,
    ParseOutcome.UNKNOWN_TASK: DeliveryResult.UNKNOWN,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedPayload:
    """What a body says: an `observation` where `kind` is `PARSED`, a `product` where `UNSUPPORTED`.

    `observation_without_music` is of another product's job, or that record-info does not know the task. `errors`, by
    dotted path, say why it could not be parsed, or which values were lost.
    """

    kind: ParseOutcome
    digest: bytes
    task_id: str | None = None
    observation: Observation | None = None
    observation_without_music: Observation | None = None
    product: str | None = None
    errors: Errors = field(default_factory=dict)

    @property
    def to_reconcile(self) -> Observation | None:
        """The observation for the task's state."""
        return self.observation or self.observation_without_music

    @property
    def result(self) -> DeliveryResult:
        """What becomes of the delivery, unless it repeats another."""
        return RESULTS.get(self.kind, DeliveryResult.QUARANTINED)

    @property
    def status(self) -> str:
        """The status it reports, or `""`."""
        observation = self.to_reconcile
        if observation is None:
            return ""
        return str(observation.unsupported_end.status if observation.unsupported_end else observation.status)

    @property
    def lossy(self) -> bool:
        """Whether some of its values could not be read."""
        return bool(self.errors)


def parse_callback(body: bytes) -> ParsedPayload:
    """Parse the body of a callback, in any of its dialects."""
    try:
        return _parse_callback(parse_body(body))
    except NotJsonError as error:
        return _not_json(body, str(error))
    except RecursionError:  # JSON that could just be parsed may still be too deep to walk
        return _not_json(body, "nested too deeply")


def _not_json(body: bytes, why: str) -> ParsedPayload:
    raw = hashlib.sha256(body).digest()
    return ParsedPayload(kind=ParseOutcome.NOT_JSON, digest=raw, errors={"": [f"Not JSON: {why}."]})


def _parse_callback(value: Any) -> ParsedPayload:
    envelope = open_envelope(value)
    if envelope is None:
        return ParsedPayload(
            kind=ParseOutcome.NO_TASK_ID, digest=digest(value), errors={"": ["Not a JSON object."]}
        )
    task_id = envelope.task_id
    if task_id is None:
        errors = {"data.taskId": [f"Missing, or not a task id: {TASK_ID_RULE}."]}
        return ParsedPayload(kind=ParseOutcome.NO_TASK_ID, digest=envelope.digest, errors=errors)
    return _parse(envelope, task_id, Source.CALLBACK)


def parse_poll(body: bytes, task_id: str) -> ParsedPayload:
    """Parse record-info's response about the task; `classify_response` has found no trouble in it."""
    raw = hashlib.sha256(body).digest()
    try:
        repaired = parse_response_json(body)
        parsed = _parse_poll(open_envelope(repaired.value), task_id, raw)
    except NotJsonError:
        return ParsedPayload(kind=ParseOutcome.UNKNOWN_TASK, digest=raw, task_id=task_id)
    except RecursionError:
        errors = {"": ["Nested too deeply."]}
        return ParsedPayload(kind=ParseOutcome.UNREADABLE, digest=raw, task_id=task_id, errors=errors)
    return replace(parsed, errors={**parsed.errors, **BROKEN_PARAM}) if repaired.cut else parsed


def parse_stored(body: bytes, *, source: Source, task_id: str | None) -> ParsedPayload:
    """Parse a stored body by the present schemas; `task_id` is that of a poll."""
    if source is Source.POLL:
        return parse_poll(body, task_id or "")
    return parse_callback(body)


def _parse_poll(envelope: Envelope | None, task_id: str, raw: bytes) -> ParsedPayload:
    if envelope is None:
        return ParsedPayload(kind=ParseOutcome.UNKNOWN_TASK, digest=raw, task_id=task_id)
    refusal = refusal_of(envelope)
    if refusal or not envelope.fields:
        unknown = Observation(task_id=task_id, source=Source.POLL, known=False)
        return ParsedPayload(
            kind=ParseOutcome.UNKNOWN_TASK,
            digest=raw,
            task_id=task_id,
            observation_without_music=unknown if _says_unknown(envelope) else None,
            errors={"code": [refusal]} if refusal else {},
        )
    if any(named != task_id for named in envelope.task_ids):
        return _unreadable(envelope, task_id, {"data.taskId": ["An answer about another task."]})
    if not record_info.is_record_info(envelope, Source.POLL) and not find_product(
        envelope, find_rows(envelope)
    ):
        return _unreadable(envelope, task_id, {"data.status": ["Missing: not a record-info answer."]})
    return _parse(envelope, task_id, Source.POLL)


def _says_unknown(envelope: Envelope) -> bool:
    """Whether record-info itself says that it has no such task, in either of its two ways."""
    if "data" not in envelope.root or not is_blank(envelope.data):
        return False
    return envelope.root.get("code") in (0, 200, "200", *NOT_KNOWN)


def _parse(envelope: Envelope, task_id: str, source: Source) -> ParsedPayload:
    place = find_rows(envelope)
    product = find_product(envelope, place)
    if product:
        return _unsupported(envelope, task_id, source, product)
    try:
        rows = read_rows(place.rows, place.folded, place.path)
        if record_info.is_record_info(envelope, source) and not stages.has_stage(envelope, source):
            observation, lost = record_info.observe(envelope, task_id, source, place, rows)
        else:
            observation, lost = stages.observe(envelope, task_id, rows)
    except ValidationError as error:
        return _unreadable(envelope, task_id, flat_errors(error.messages))
    lost = {**lost, **rows.lost}
    if observation.known_status is Status.SUCCESS and not observation.tracks:
        lost.setdefault(place.path, ["SUCCESS came without a row that could be read."])
    return ParsedPayload(
        kind=ParseOutcome.PARSED,
        digest=envelope.digest,
        task_id=task_id,
        observation=observation,
        errors=bounded(lost),
    )


def _unsupported(
    envelope: Envelope, task_id: str, source: Source, product: UnsupportedProduct
) -> ParsedPayload:
    """Another product's body: a callback claims how its job ended; a poll was not about that."""
    claim = None
    if source is Source.CALLBACK:
        claim = Observation(task_id=task_id, source=source, unsupported_end=find_end(envelope, product))
    return ParsedPayload(
        kind=ParseOutcome.UNSUPPORTED,
        digest=envelope.digest,
        task_id=task_id,
        observation_without_music=claim,
        product=product.name,
    )


def _unreadable(envelope: Envelope, task_id: str, errors: Errors) -> ParsedPayload:
    return ParsedPayload(
        kind=ParseOutcome.UNREADABLE, digest=envelope.digest, task_id=task_id, errors=bounded(errors)
    )
