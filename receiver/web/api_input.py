"""What the API takes: parameters and JSON bodies. Unknown ones are refused by name."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from flask import request
from marshmallow import Schema, ValidationError, fields, validate

from receiver.core.payloads.errors import flat_errors
from receiver.core.product import Product
from receiver.core.settlement import Outcome
from receiver.core.validation import MAX_LABEL_CHARS, MAX_TASK_ID_CHARS
from receiver.web.api_errors import ApiError
from receiver.web.cursors import ID_CURSOR_PATTERN, TASK_CURSOR_PATTERN
from receiver.web.error_types import ErrorType
from receiver.web.strict_fields import (
    PADDED_TASK_ID_PATTERN,
    Moment,
    Number,
    StrictSchema,
    TaskIdField,
    TrueOrFalse,
    WholeNumber,
    one_of,
    text,
)

MAX_WAIT_S = 60
MAX_SEARCH_CHARS = 500
MAX_BODY_BYTES = 131_072
CURSOR = "The `next` of the page before, of the same list."


def _label(description: str, *, allow_none: bool = True, **options: Any) -> fields.String:
    return text(
        description,
        max_chars=MAX_LABEL_CHARS,
        allow_none=allow_none,
        metadata={"examples": ["order 17"]},
        **options,
    )


class NewTaskSchema(StrictSchema):
    taskId = TaskIdField(
        required=True,
        metadata={
            "type": ["string", "integer"],
            "pattern": PADDED_TASK_ID_PATTERN,
            "description": (
                "The upstream's id: printable, no white space, no slash, "
                f"{MAX_TASK_ID_CHARS} characters at most. White space around it is removed."
            ),
            "examples": ["9f3c-task"],
        },
    )
    label = _label("Your own name for the task.", load_default=None)
    product = one_of(Product, Product.MUSIC.value, "What kind of task it is.")


class LabelSchema(StrictSchema):
    label = _label("Your own name for the task; null removes it.", required=True)


class PageSchema(StrictSchema):
    limit = WholeNumber(
        load_default=50,
        validate=validate.Range(min=1, max=200),
        metadata={"description": "Entries at most; a page may be shorter."},
    )
    cursor = fields.String(
        load_default=None,
        allow_none=False,
        metadata={"description": CURSOR, "pattern": ID_CURSOR_PATTERN},
    )


class TaskPageSchema(PageSchema):
    cursor = fields.String(
        load_default=None,
        allow_none=False,
        metadata={"description": CURSOR, "pattern": TASK_CURSOR_PATTERN},
    )
    outcome = one_of(Outcome, None, "Tasks with this outcome.")
    status = text("Tasks with this status.", load_default=None, allow_none=False)
    q = text(
        "Words of the id, the label or a track's title.",
        max_chars=MAX_SEARCH_CHARS,
        load_default=None,
        allow_none=False,
    )
    label = _label("Tasks with exactly this label.", load_default=None, allow_none=False)
    product = one_of(Product, None, "Tasks of this kind.")
    settled = TrueOrFalse(
        load_default=None, allow_none=False, metadata={"description": "Settled tasks, or the others."}
    )
    changedSince = Moment(
        load_default=None,
        allow_none=False,
        metadata={
            "type": "string",
            "format": "date-time",
            "description": "Tasks that changed since then, in order of change. A time with its zone (RFC 3339).",
            "examples": ["2026-01-31T12:00:00Z"],
        },
    )


class WaitSchema(StrictSchema):
    wait = Number(
        load_default=0,
        validate=validate.Range(min=0, max=MAX_WAIT_S),
        metadata={"description": "Seconds to wait until the task settles."},
    )


NEW_TASK, LABEL = NewTaskSchema(), LabelSchema()
PAGE, TASK_PAGE, WAIT, NOTHING = PageSchema(), TaskPageSchema(), WaitSchema(), StrictSchema()


def parameters(schema: Schema, *, without_empty: bool = False) -> dict[str, Any]:
    """The request's query string. Raises `ApiError` for a parameter given twice: one would be ignored."""
    _refuse_repeated(name for name, values in request.args.lists() if len(values) > 1)
    given = request.args.to_dict()
    return load(schema, {name: value for name, value in given.items() if value.strip() or not without_empty})


def json_body() -> Any:
    """The request's body; no body counts as an empty object."""
    request.max_content_length = min(request.max_content_length or MAX_BODY_BYTES, MAX_BODY_BYTES)
    raw = request.get_data()
    if raw and request.mimetype and not request.is_json:
        detail = f"Send the body as application/json, not as {request.mimetype}."
        raise ApiError(ErrorType.UNSUPPORTED_MEDIA_TYPE, detail)
    try:
        return json.loads(raw, object_pairs_hook=_object, parse_constant=_refuse_constant) if raw else {}
    except (ValueError, RecursionError):
        raise ApiError(ErrorType.NOT_JSON, ErrorType.NOT_JSON.detail) from None


def _refuse_constant(name: str) -> None:
    """`NaN` and `Infinity` are Python's own, and no JSON."""
    raise ValueError(name)


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


def _invalid(errors: Mapping[str, Any]) -> ApiError:
    return ApiError(ErrorType.INVALID_REQUEST, "Correct what `errors` names.", errors=errors)
