"""The stage shape: `data.callbackType` is the stage, `code` says whether it failed, `data.data` holds the rows.

Source: the family's "Music Generation Callbacks" pages and captured callbacks. `msg` is never read for its
meaning: it differs between vendors, versions and languages.
"""

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError

from receiver.core.observation import Observation, Scalar, Source, Status, status_of_word
from receiver.core.payloads.envelope import Envelope
from receiver.core.payloads.errors import Errors
from receiver.core.payloads.fields import Code, Text, Word
from receiver.core.payloads.schema import LiberalSchema
from receiver.core.payloads.tracks import Rows

STAGES = {"complete": Status.SUCCESS, "first": Status.FIRST_SUCCESS, "text": Status.TEXT_SUCCESS}
ERROR = "error"
FAILURE = Status.GENERATE_AUDIO_FAILED  # record-info tells which failure it really is


class StageSchema(LiberalSchema):
    code = Code()
    msg = Text()
    callbackType = Word(data_key="data.callbackType")
    error = Text(data_key="data.error")


SCHEMA = StageSchema()


def has_stage(envelope: Envelope, source: Source) -> bool:
    """Whether a callback has a stage, so that a stray `status` beside it does not make it record-info."""
    stage, status = envelope.fields.get("callbacktype"), envelope.fields.get("status")
    if source is not Source.CALLBACK or not stage:
        return False
    documented = isinstance(stage, str) and stage[:64].strip().lower() in (*STAGES, ERROR)
    return documented or not isinstance(status, str) or status_of_word(status[:64]) is None


def observe(envelope: Envelope, task_id: str, rows: Rows) -> tuple[Observation, Errors]:
    """The observation, and what was lost beside the rows; raises `ValidationError` on another shape."""
    loaded, lost = SCHEMA.read_but(_spelled(envelope), needed=("code", "data.callbackType"))
    status = _status(loaded, rows)
    observation = Observation(
        task_id=task_id,
        source=Source.CALLBACK,
        status=status or "",
        tracks=rows.tracks,
        details=_error(loaded) if status is FAILURE else {},
    )
    return observation, lost


def _spelled(envelope: Envelope) -> Mapping[str, Any]:
    data, root, fields = envelope.data, envelope.root, envelope.fields
    if data is not None and not isinstance(data, dict | list):
        raise ValidationError({"data": ["Not an object."]})
    return {
        "code": root.get("code"),
        "msg": root.get("msg"),
        "data.callbackType": fields.get("callbacktype") or root.get("callbacktype"),
        "data.error": fields.get("error"),
    }


def _status(loaded: Mapping[str, Any], rows: Rows) -> Status | None:
    stage = (loaded.get("callbackType") or "").strip().lower()
    code = loaded.get("code")
    fine = code in (None, 200) or (code == 0 and (rows.tracks or stage in STAGES))
    return STAGES.get(stage) if fine and stage != ERROR else FAILURE


def _error(loaded: Mapping[str, Any]) -> Mapping[str, Scalar]:
    code, message = loaded.get("code"), loaded.get("msg") or loaded.get("error")
    error = {"errorCode": None if code == 200 else code, "errorMessage": message}
    return {name: value for name, value in error.items() if value is not None}
