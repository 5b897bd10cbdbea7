"""The fields of requests to the API and the admin page. Numbers are written as in JSON, in ASCII digits."""

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from receiver.core.validation import MAX_TASK_ID_CHARS, TASK_ID_RULE, UNSTORABLE, parse_task_id

MAX_ROW_ID = 10**18 - 1
INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,30})")
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?"
    r"(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
TASK_ID = rf"(?!\.{{1,2}}\s*$)[^\s/\\\u0000-\u001f\u007f-\u009f]{{1,{MAX_TASK_ID_CHARS}}}"
TASK_ID_PATTERN = f"^{TASK_ID}$"
PADDED_TASK_ID_PATTERN = rf"^\s*{TASK_ID}\s*$"
NO_NUL = r"^[^\u0000]*$"


class StrictSchema(Schema):
    error_messages = {  # noqa: RUF012
        "unknown": "There is no parameter or field of this name here.",
        "type": "Send one JSON object.",
    }

    class Meta:
        unknown = RAISE


class WholeNumber(fields.Integer):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if not isinstance(value, str) or not INTEGER.fullmatch(value):
            raise ValidationError("A whole number, in the digits 0 to 9.")
        return int(value)


class Number(fields.Float):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:
        if not isinstance(value, str) or not NUMBER.fullmatch(value):
            raise ValidationError("A number, such as 30 or 0.5.")
        return float(value)


class TrueOrFalse(fields.Boolean):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if value not in ("true", "false"):
            raise ValidationError("Must be true or false.")
        return bool(value == "true")


class Moment(fields.Field[datetime]):
    """In a query string `+` arrives as a space, and is restored."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        try:
            return parse_moment(str(value).replace(" ", "+"))
        except ValueError:
            raise ValidationError("A time with its zone (RFC 3339), such as 2026-01-31T12:00:00Z.") from None


def parse_moment(text: str) -> datetime:
    """A time of RFC 3339 in UTC. Raises `ValueError` for any other, and for one that is out of range."""
    if not RFC_3339.fullmatch(text):
        raise ValueError("not a time of RFC 3339")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError as error:
        raise ValueError("out of range") from error


class TaskIdField(fields.Field[str]):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        task_id = parse_task_id(value)
        if task_id is None:
            raise ValidationError(f"A task id: {TASK_ID_RULE}.")
        return task_id


def text(description: str = "", *, max_chars: int | None = None, **options: Any) -> fields.String:
    """Text that every store can hold."""
    bounds = [validate.Length(max=max_chars)] if max_chars else []
    metadata = {"description": description, "pattern": NO_NUL, **options.pop("metadata", {})}
    return fields.String(validate=[*bounds, _check_storable], metadata=metadata, **options)


def _check_storable(value: str) -> None:
    if UNSTORABLE.search(value):
        raise ValidationError("Must not hold NUL or half a surrogate pair.")


def one_of(names: type[StrEnum], default: str | None, description: str) -> fields.String:
    allowed = validate.OneOf([name.value for name in names])
    return fields.String(
        load_default=default, allow_none=False, validate=allowed, metadata={"description": description}
    )
