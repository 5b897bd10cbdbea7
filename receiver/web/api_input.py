"""What the API takes: parameters and JSON bodies. Unknown ones are refused by name."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from flask import request
from marshmallow import RAISE, Schema, ValidationError, fields, validate

from receiver.core.payloads.errors import flat_errors
from receiver.core.product import Product
from receiver.core.settlement import Outcome
from receiver.core.validation import (
    MAX_LABEL_CHARS,
    MAX_TASK_ID_CHARS,
    TASK_ID_RULE,
    UNSTORABLE,
    parse_task_id,
)
from receiver.web.error_types import ErrorType
from receiver.web.problems import ProblemError

MAX_WAIT_S = 60
MAX_SEARCH_CHARS = 500
MAX_BODY_BYTES = 131_072


class TaskIdField(fields.Field[str]):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        task_id = parse_task_id(value)
        if task_id is None:
            raise ValidationError(f"A task id: {TASK_ID_RULE}.")
        return task_id


class Timestamp(fields.Field[datetime]):
    """ISO 8601; without a zone it is UTC. In a query string `+` arrives as a space, and is restored."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        day, _, time = str(value).partition("T")
        try:
            moment = datetime.fromisoformat(f"{day}T{time.replace(' ', '+')}" if time else day)
            return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
        except (ValueError, OverflowError):
            raise ValidationError("A time such as 2026-01-31T12:00:00Z.") from None


def storable(text: str) -> None:
    if UNSTORABLE.search(text):
        raise ValidationError("Must not hold NUL or half a surrogate pair.")


def _label(description: str, *, allow_none: bool = True, **options: Any) -> fields.String:
    metadata = {"description": description, "examples": ["order 17"]}
    return fields.String(
        allow_none=allow_none,
        validate=[validate.Length(max=MAX_LABEL_CHARS), storable],
        metadata=metadata,
        **options,
    )


def _one_of(names: type[Outcome] | type[Product], default: str | None, description: str) -> fields.String:
    allowed = validate.OneOf([name.value for name in names])
    return fields.String(
        load_default=default, allow_none=False, validate=allowed, metadata={"description": description}
    )


class StrictSchema(Schema):
    error_messages = {  # noqa: RUF012
        "unknown": "There is no parameter or field of this name here.",
        "type": "Send one JSON object.",
    }

    class Meta:
        unknown = RAISE


class NewTaskSchema(StrictSchema):
    taskId = TaskIdField(
        required=True,
        metadata={
            "type": ["string", "integer"],
            "pattern": r"^\s*[^\s/\\]+\s*$",
            "description": f"The upstream's id: no white space, no slash, {MAX_TASK_ID_CHARS} characters at most.",
            "examples": ["9f3c-task"],
        },
    )
    label = _label("Your own name for the task.", load_default=None)
    product = _one_of(Product, Product.MUSIC.value, "What kind of task it is.")


class LabelSchema(StrictSchema):
    label = _label("Your own name for the task; null removes it.", required=True)


class PageSchema(StrictSchema):
    limit = fields.Integer(
        load_default=50,
        validate=validate.Range(min=1, max=200),
        metadata={"description": "Entries at most; a page may be shorter."},
    )
    cursor = fields.String(
        load_default=None,
        allow_none=False,
        metadata={"description": "The `next` of the page before, of the same list."},
    )


class TaskPageSchema(PageSchema):
    outcome = _one_of(Outcome, None, "Tasks with this outcome.")
    status = fields.String(
        load_default=None,
        allow_none=False,
        validate=storable,
        metadata={"description": "Tasks with this status."},
    )
    q = fields.String(
        load_default=None,
        allow_none=False,
        validate=[validate.Length(max=MAX_SEARCH_CHARS), storable],
        metadata={"description": "Words of the id, the label or a track's title."},
    )
    label = _label("Tasks with exactly this label.", load_default=None, allow_none=False)
    product = _one_of(Product, None, "Tasks of this kind.")
    settled = fields.Boolean(
        load_default=None, allow_none=False, metadata={"description": "Settled tasks, or the others."}
    )
    changedSince = Timestamp(
        load_default=None,
        allow_none=False,
        metadata={
            "type": "string",
            "format": "date-time",
            "description": "Tasks that changed since then, in order of change. Without a zone it is UTC.",
            "examples": ["2026-01-31T12:00:00Z"],
        },
    )


class WaitSchema(StrictSchema):
    wait = fields.Float(
        load_default=0,
        validate=validate.Range(min=0, max=MAX_WAIT_S),
        metadata={"description": "Seconds to wait until the task settles."},
    )


NEW_TASK, LABEL = NewTaskSchema(), LabelSchema()
PAGE, TASK_PAGE, WAIT, NOTHING = PageSchema(), TaskPageSchema(), WaitSchema(), StrictSchema()


def parameters(schema: Schema) -> dict[str, Any]:
    """The request's query string. Raises `ProblemError` for a parameter given twice: one would be ignored."""
    _refuse_repeated(name for name, values in request.args.lists() if len(values) > 1)
    return load(schema, request.args.to_dict())


def json_body() -> Any:
    """The request's body; no body counts as an empty object."""
    request.max_content_length = min(request.max_content_length or MAX_BODY_BYTES, MAX_BODY_BYTES)
    raw = request.get_data()
    if raw and request.mimetype and not request.is_json:
        detail = f"Send the body as application/json, not as {request.mimetype}."
        raise ProblemError(ErrorType.UNSUPPORTED_MEDIA_TYPE, detail)
    try:
        return json.loads(raw, object_pairs_hook=_object) if raw else {}
    except (ValueError, RecursionError):
        raise ProblemError(ErrorType.NOT_JSON, ErrorType.NOT_JSON.detail) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object at any level. A field given twice is refused: the first would be lost."""
    values = dict(pairs)
    if len(values) < len(pairs):
        _refuse_repeated(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
    return values


def _refuse_repeated(names: Iterable[str]) -> None:
    repeated = {name: ["Given more than once."] for name in names}
    if repeated:
        raise _invalid(repeated)


def load(schema: Schema, values: Any) -> dict[str, Any]:
    try:
        return dict(schema.load(values))
    except ValidationError as error:
        raise _invalid(flat_errors(error.messages)) from None


def _invalid(errors: Mapping[str, Any]) -> ProblemError:
    return ProblemError(ErrorType.INVALID_REQUEST, "Correct what `errors` names.", errors=errors)
