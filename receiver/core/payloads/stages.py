"""The stage shape: `data.callbackType` tells the stage, `code` whether it is one, `data.data` holds the rows.

Source: the family's "Music Generation Callbacks" pages and captured callbacks. `msg` is never read for its
meaning: it differs between vendors, versions and languages.
"""

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError

from receiver.core.observation import Observation, Scalar, Source, Status
from receiver.core.payloads.envelope import Envelope
from receiver.core.payloads.fields import Code, LiberalSchema, Text
from receiver.core.payloads.tracks import Rows, losses, tracks_from

ROWS = "data.data"
STAGES = {"complete": Status.SUCCESS, "first": Status.FIRST_SUCCESS, "text": Status.TEXT_SUCCESS}
FAILURE = Status.GENERATE_AUDIO_FAILED  # record-info tells which failure it really is


class StageSchema(LiberalSchema):
    code = Code(allow_none=True)
    msg = Text(allow_none=True)
    callbackType = Text(allow_none=True, data_key="data.callbackType")
    error = Text(allow_none=True, data_key="data.error")
    rows = Rows(data_key=ROWS)


SCHEMA = StageSchema()


def has_stage(envelope: Envelope, source: Source) -> bool:
    """Whether a callback tells its stage, so that a stray `status` beside it does not make it record-info."""
    return source is Source.CALLBACK and bool(envelope.fields.get("callbacktype"))


def observe(envelope: Envelope, task_id: str) -> tuple[Observation, Mapping[str, list[str]]]:
    """The observation, and what a tolerant reading lost by field; raises `ValidationError` on another shape."""
    loaded = SCHEMA.load(_spelled(envelope))
    status = _status(loaded)
    observation = Observation(
        task_id=task_id,
        source=Source.CALLBACK,
        status=status or "",
        tracks=tracks_from(loaded.get("rows")),
        details=_error(loaded) if status is FAILURE else {},
    )
    return observation, losses(loaded.get("rows"), ROWS)


def _spelled(envelope: Envelope) -> Mapping[str, Any]:
    data, root, known = envelope.data, envelope.root, envelope.fields
    if data is not None and not isinstance(data, Mapping | list):
        raise ValidationError({"data": ["Not an object."]})
    return {
        "code": root.get("code"),
        "msg": root.get("msg"),
        "data.callbackType": known.get("callbacktype") or root.get("callbacktype"),
        "data.error": known.get("error"),
        ROWS: data if isinstance(data, list) else known.get("data"),
    }


def _status(loaded: Mapping[str, Any]) -> Status | None:
    stage = (loaded.get("callbackType") or "").strip().lower()
    if loaded.get("code") not in (None, 200) or stage == "error":
        return FAILURE
    return STAGES.get(stage)


def _error(loaded: Mapping[str, Any]) -> Mapping[str, Scalar]:
    code, message = loaded.get("code"), loaded.get("msg") or loaded.get("error")
    told = {"errorCode": None if code == 200 else code, "errorMessage": message}
    return {name: value for name, value in told.items() if value is not None}
