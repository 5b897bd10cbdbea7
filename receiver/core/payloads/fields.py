"""Fields that are liberal in what they accept: the upstream sends `null`, `""` and absent for *not yet*.

Anybody who knows the callback URL decides what is in a body, so every value is bounded here.
"""

import json
import math
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields

from receiver.core.observation import Scalar
from receiver.core.payloads.errors import Errors, flat_errors
from receiver.core.validation import UNSTORABLE

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

MAX_KEY_CHARS = 64  # no key that is read is longer
MAX_TEXT_BYTES = 16 * 1024  # of UTF-8
MAX_TITLE_BYTES = 2 * 1024
MAX_WORD_CHARS = 64
MAX_ID_CHARS = 200
MAX_NUMBER_CHARS = 64  # of a number or a time that comes as text
MAX_CODE = 10**15
MAX_SECONDS = 1_000_000


def fold(key: str) -> str:
    """A key without its spelling: `task_id`, `taskId` and `TaskID` are one."""
    return _fold_short(key) if len(key) <= MAX_KEY_CHARS else key


@lru_cache(maxsize=1024)  # every body has the same few keys
def _fold_short(key: str) -> str:
    return key.replace("_", "").replace("-", "").lower()


def folded(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The object under folded keys; of two spellings the one that carries a value, whatever their order."""
    result: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    for key, value in raw.items():
        name = fold(key)
        other = spelled.get(name)
        if other is None or (is_blank(value), key) < (is_blank(result[name]), other):
            result[name], spelled[name] = value, key
    return result


def is_blank(value: Any) -> bool:
    """Whether this counts as no value."""
    return (
        value is None
        or value in ([], {})
        or (isinstance(value, str) and not value.strip())
        or (isinstance(value, float) and not math.isfinite(value))
    )


class LiberalSchema(Schema):
    """Unknown fields are no error (the raw body keeps them); every spelling of a key is understood."""

    class Meta:
        unknown = EXCLUDE

    def load_but(
        self, values: Mapping[str, Any], *, needed: Collection[str]
    ) -> tuple[dict[str, Any], Errors]:
        """What could be read, and why the rest could not; raises `ValidationError` where a `needed` value is bad."""
        try:
            return dict(self.load(values)), {}
        except ValidationError as error:
            errors = flat_errors(error.messages)
            if not errors.keys().isdisjoint(needed):
                raise
            valid: Any = error.valid_data
            return dict(valid or {}), errors


class Text(fields.Field[str | None]):
    """A string; a number becomes its digits, and white space alone is no value.

    A longer one is cut after `max_bytes` of UTF-8, between two characters.
    """

    def __init__(self, *, max_bytes: int = MAX_TEXT_BYTES, **kwargs: Any) -> None:
        super().__init__(allow_none=True, **kwargs)
        self.max_bytes = max_bytes

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | None:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValidationError("Not a text.")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValidationError("Not a text, nor a number.")
        text = str(value)
        return self._bounded(text) if text.strip() else None

    def _bounded(self, text: str) -> str | None:
        storable = UNSTORABLE.sub(REPLACEMENT, text[: self.max_bytes])
        return storable.encode()[: self.max_bytes].decode(errors="ignore")


class Word(Text):
    """A status, a type, a model: cut after `MAX_WORD_CHARS` characters."""

    def _bounded(self, text: str) -> str | None:
        return UNSTORABLE.sub(REPLACEMENT, text[:MAX_WORD_CHARS])


class Identifier(Text):
    """An id of the upstream's; a longer text is an error."""

    def _bounded(self, text: str) -> str | None:
        if len(text) > MAX_ID_CHARS:
            raise ValidationError(f"Not an id: more than {MAX_ID_CHARS} characters.")
        return UNSTORABLE.sub(REPLACEMENT, text)


class JsonText(Text):
    """A JSON string that may come as the object itself."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | None:
        if isinstance(value, dict | list):
            try:
                value = json.dumps(value, ensure_ascii=False, allow_nan=False)
            except ValueError:
                raise ValidationError("Not JSON: a number in it is none.") from None
        return super()._deserialize(value, attr, data, **kwargs)


class Code(fields.Field[Scalar | None]):
    """A code: an integer, or its digits; with `words`, also a word, cut after `MAX_WORD_CHARS` characters."""

    def __init__(self, *, words: bool = False, **kwargs: Any) -> None:
        super().__init__(allow_none=True, **kwargs)
        self.words = words

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Scalar | None:
        if isinstance(value, str) and not value.strip():
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,15}\s*", value[:MAX_NUMBER_CHARS]):
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < MAX_CODE:
            return value
        if isinstance(value, str) and self.words:
            return UNSTORABLE.sub(REPLACEMENT, value[:MAX_WORD_CHARS])
        raise ValidationError("Not an integer of at most 15 digits.")


class Seconds(fields.Field[float | None]):
    """A duration in seconds: a finite number, not negative, or its digits."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_none=True, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float | None:
        if value == "":
            return None
        try:
            seconds = float("nan" if isinstance(value, bool) or _is_long(value) else value)
        except (TypeError, ValueError, OverflowError):
            seconds = math.nan
        if not 0 <= seconds <= MAX_SECONDS:
            raise ValidationError("Not a number of seconds.")
        return seconds


class Timestamp(fields.Field[str | None]):
    """Epoch milliseconds (what is on the wire), ISO 8601, or a naive string (what the documents show).

    Becomes ISO 8601 in UTC where the zone is known; otherwise it stays as it is.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_none=True, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | None:
        if isinstance(value, str) and not value.strip():
            return None
        try:
            return self._from_text(value.strip()) if isinstance(value, str) else self._from_epoch(value)
        except (TypeError, ValueError, OverflowError, OSError):
            raise ValidationError("Not a time: neither epoch milliseconds nor ISO 8601.") from None

    def _from_text(self, text: str) -> str:
        if _is_long(text):
            raise ValueError(text[:MAX_NUMBER_CHARS])
        if text.isascii() and text.isdigit():
            return self._from_epoch(int(text))
        moment = datetime.fromisoformat(text)
        return UNSTORABLE.sub(REPLACEMENT, text) if moment.tzinfo is None else iso(moment)

    def _from_epoch(self, epoch_ms: Any) -> str:
        if isinstance(epoch_ms, bool):
            raise TypeError
        return iso(datetime.fromtimestamp(epoch_ms / 1000, UTC))


def _is_long(value: Any) -> bool:
    return isinstance(value, str) and len(value) > MAX_NUMBER_CHARS


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC, to the millisecond: `2025-09-16T17:44:24.461Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
