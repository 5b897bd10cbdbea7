"""The record-info shape: `data.status`, `data.response.sunoData`.

Source: the upstream's OpenAPI document, with what is on the wire but not in it (`sourceAudioUrl`, epoch times,
`errorMsg`, rows under `response.data`).
"""

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError

from receiver.core.observation import DETAIL_FIELDS, Observation, Source
from receiver.core.payloads.envelope import Envelope
from receiver.core.payloads.fields import Code, JsonText, LiberalSchema, Text
from receiver.core.payloads.tracks import Rows, losses, tracks_from

ROWS = "data.response.sunoData"


class RecordInfoSchema(LiberalSchema):
    status = Text(allow_none=True, data_key="data.status")
    type = Text(allow_none=True, data_key="data.type")
    operationType = Text(allow_none=True, data_key="data.operationType")
    parentMusicId = Text(allow_none=True, data_key="data.parentMusicId")
    param = JsonText(allow_none=True, data_key="data.param")
    errorCode = Code(words=True, allow_none=True, data_key="data.errorCode")
    errorMessage = Text(allow_none=True, data_key="data.errorMessage")
    rows = Rows(data_key=ROWS)


SCHEMA = RecordInfoSchema()


def is_record_info(envelope: Envelope) -> bool:
    return "status" in envelope.fields or "response" in envelope.fields


def observe(envelope: Envelope, task_id: str, source: Source) -> tuple[Observation, Mapping[str, list[str]]]:
    """The observation, and what a tolerant reading lost by field; raises `ValidationError` on another shape."""
    loaded = SCHEMA.load(_spelled(envelope))
    observation = Observation(
        task_id=task_id,
        source=source,
        status=loaded.get("status") or "",
        tracks=tracks_from(loaded.get("rows")),
        details={name: loaded[name] for name in DETAIL_FIELDS if loaded.get(name) is not None},
    )
    return observation, losses(loaded.get("rows"), ROWS)


def _spelled(envelope: Envelope) -> Mapping[str, Any]:
    known = dict(envelope.fields)
    known.setdefault("errormessage", known.get("errormsg"))
    spelled = {f"data.{name}": known.get(name.lower()) for name in ("status", *DETAIL_FIELDS)}
    response = envelope.response
    if isinstance(response, Mapping):
        return spelled | {ROWS: response.get("sunodata") or response.get("data")}
    if response:
        raise ValidationError({"data.response": ["Not an object."]})
    return spelled
