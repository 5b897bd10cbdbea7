"""The record-info shape: `data.status`, `data.response.sunoData`.

Source: the upstream's OpenAPI document, with what is on the wire but not in it (`sourceAudioUrl`, epoch times,
`errorMsg`, rows under `response.data`).
"""

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError

from receiver.core.observation import DETAIL_FIELDS, Observation, Source
from receiver.core.payloads.envelope import Envelope
from receiver.core.payloads.errors import Errors
from receiver.core.payloads.fields import Code, Identifier, JsonText, Text, Word, is_blank
from receiver.core.payloads.row_locations import RowLocation
from receiver.core.payloads.schema import LiberalSchema
from receiver.core.payloads.tracks import Rows


class RecordInfoSchema(LiberalSchema):
    status = Word(data_key="data.status")
    type = Word(data_key="data.type")
    operationType = Word(data_key="data.operationType")
    parentMusicId = Identifier(data_key="data.parentMusicId")
    param = JsonText(data_key="data.param")
    errorCode = Code(words=True, data_key="data.errorCode")
    errorMessage = Text(data_key="data.errorMessage")


SCHEMA = RecordInfoSchema()


def is_record_info(envelope: Envelope, source: Source) -> bool:
    """Whether it has record-info's own fields; in a callback, which has other ways to say it, with values."""
    own = [name for name in ("status", "response") if name in envelope.fields]
    return any(source is Source.POLL or not is_blank(envelope.fields[name]) for name in own)


def observe(
    envelope: Envelope, task_id: str, source: Source, place: RowLocation, rows: Rows
) -> tuple[Observation, Errors]:
    """The observation, and what was lost beside the rows; raises `ValidationError` on another shape."""
    response = None if is_blank(envelope.response) else envelope.response
    if response and not isinstance(response, dict) and not place.path.startswith("data.response"):
        raise ValidationError({"data.response": ["Not an object."]})
    loaded, lost = SCHEMA.read_but(_spelled(envelope), needed=("data.status",))
    observation = Observation(
        task_id=task_id,
        source=source,
        status=loaded.get("status") or "",
        tracks=rows.tracks,
        details={name: loaded[name] for name in DETAIL_FIELDS if loaded.get(name) is not None},
    )
    return observation, lost


def _spelled(envelope: Envelope) -> Mapping[str, Any]:
    fields = dict(envelope.fields)
    fields.setdefault("errormessage", fields.get("errormsg"))
    return {f"data.{name}": fields.get(name.lower()) for name in ("status", *DETAIL_FIELDS)}
