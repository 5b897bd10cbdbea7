"""Fields that are liberal in what they read: the upstream sends `null`, `""` and absent for *not yet*."""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields

from receiver.core.observation import Scalar

# Neither can be stored as text everywhere: a NUL, and half of a surrogate pair.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@lru_cache(maxsize=4096)
def fold(key: str) -> str:
    """A key without its spelling: `task_id`, `taskId` and `TaskID` are one."""
    return key.replace("_", "").replace("-", "").lower()


def folded(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The object under folded keys; of two spellings the one that carries a value, whatever their order."""
    result: dict[str, Any] = {}
    for key in sorted(raw):
        if is_blank(result.get(fold(key))):
            result[fold(key)] = raw[key]
    return result


def is_blank(value: Any) -> bool:
    """Whether this is one of the ways to say nothing."""
    return value is None or value in ([], {}) or (isinstance(value, str) and not value.strip())


class LiberalSchema(Schema):
    """Unknown fields are no error (the raw body keeps them); every spelling of a key is understood."""

    class Meta:
        unknown = EXCLUDE


class Text(fields.Field[str | None]):
    """A string; a number is taken for its digits, and nothing but white space for nothing."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | None:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValidationError("Not a text.")
        return UNSTORABLE.sub(REPLACEMENT, str(value)) if str(value).strip() else None


class JsonText(Text):
    """A JSON string that may come as the object itself."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | None:
        if isinstance(value, dict | list):
            value = json.dumps(value, ensure_ascii=False)
        return super()._deserialize(value, attr, data, **kwargs)


class Code(fields.Field[Scalar | None]):
    """A code: an integer, or its digits; with `words`, also a word, kept as it is."""

    def __init__(self, *, words: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.words = words

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Scalar | None:
        if isinstance(value, str) and not value.strip():
            return None
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,15}\s*", value):
            return int(value)
        if isinstance(value, str) and self.words:
            return UNSTORABLE.sub(REPLACEMENT, value)
        raise ValidationError("Not an integer.")


class Seconds(fields.Field[float | None]):
    """A duration in seconds: a finite number, not negative, or its digits."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float | None:
        if value == "":
            return None
        try:
            seconds = float("nan" if isinstance(value, bool) else value)
        except (TypeError, ValueError, OverflowError):
            raise ValidationError("Not a number of seconds.") from None
        if not math.isfinite(seconds) or seconds < 0:
            raise ValidationError("Not a number of seconds.")
        return seconds


class Moment(fields.Field[str | None]):
    """Epoch milliseconds (what is on the wire), ISO 8601, or a naive string (what the documents show).

    Becomes ISO 8601 in UTC where the zone is known, and is left as it is where not.
    """

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | None:
        if isinstance(value, str) and not value.strip():
            return None
        try:
            return self._from_text(value.strip()) if isinstance(value, str) else self._from_epoch(value)
        except (TypeError, ValueError, OverflowError, OSError):
            raise ValidationError("Not a time: neither epoch milliseconds nor ISO 8601.") from None

    def _from_text(self, text: str) -> str:
        if text.isascii() and text.isdigit():
            return self._from_epoch(int(text))
        moment = datetime.fromisoformat(text)
        return UNSTORABLE.sub(REPLACEMENT, text) if moment.tzinfo is None else iso(moment)

    def _from_epoch(self, epoch_ms: Any) -> str:
        if isinstance(epoch_ms, bool):
            raise TypeError
        return iso(datetime.fromtimestamp(epoch_ms / 1000, UTC))


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC, to the millisecond: `2025-09-16T17:44:24.461Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
