"""Fields that are liberal in what they accept: the upstream sends `null`, `""` and absent for *not yet*.

Anybody who knows the callback URL decides what is in a body, so every value is bounded here.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from marshmallow import ValidationError

from receiver.core.observation import Scalar
from receiver.core.payloads.schema import LiberalField
from receiver.core.validation import UNSTORABLE

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

MAX_KEY_CHARS = 64  # no key that is read is longer
MAX_FOLDS = 1024
MAX_TEXT_BYTES = 16 * 1024  # of UTF-8
MAX_TITLE_BYTES = 2 * 1024
MAX_WORD_CHARS = 64
MAX_ID_CHARS = 200
MAX_NUMBER_CHARS = 64  # of a number or a time that comes as text
MAX_CODE = 10**15
MAX_SECONDS = 1_000_000


class _Folds(dict[str, str]):
    """Keys without their spelling: `task_id`, `taskId` and `TaskID` are one. Every body has the same few."""

    def __missing__(self, key: str) -> str:
        if len(key) > MAX_KEY_CHARS:
            return key
        if len(self) >= MAX_FOLDS:
            self.clear()
        name = self[key] = key.replace("_", "").replace("-", "").lower()
        return name


FOLDS = _Folds()


def folded(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The object under folded keys; of two spellings the one that carries a value, whatever their order."""
    names = list(map(FOLDS.__getitem__, raw))
    result = dict(zip(names, raw.values(), strict=True))
    return result if len(result) == len(raw) else _chosen(raw, names)


def _chosen(raw: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    for (key, value), name in zip(raw.items(), names, strict=True):
        other = spelled.get(name)
        if other is None or (is_blank(value), key) < (is_blank(result[name]), other):
            result[name], spelled[name] = value, key
    return result


def is_blank(value: Any) -> bool:
    """Whether this counts as no value."""
    if isinstance(value, str):
        return not value or value.isspace()
    if isinstance(value, float):
        return not math.isfinite(value)
    return value is None or (not value and isinstance(value, list | dict))


def storable(text: str) -> str:
    """The text, with a replacement for each character that cannot be stored."""
    try:
        text.encode()  # far faster than a pattern
        whole = "\0" not in text
    except UnicodeEncodeError:  # half a surrogate pair
        whole = False
    return text if whole else UNSTORABLE.sub(REPLACEMENT, text)


class Text(LiberalField[str]):
    """A string; a number becomes its digits, and white space alone is no value.

    A longer one is cut after `max_bytes` of UTF-8, between two characters.
    """

    def __init__(self, *, max_bytes: int = MAX_TEXT_BYTES, data_key: str | None = None) -> None:
        super().__init__(data_key=data_key)
        self.max_bytes = max_bytes

    def read(self, value: Any) -> str | None:
        text = value if isinstance(value, str) else _digits(value)
        return self._bounded(text) if text and not text.isspace() else None

    def _bounded(self, text: str) -> str | None:
        text = storable(text[: self.max_bytes])
        return text if text.isascii() else text.encode()[: self.max_bytes].decode(errors="ignore")


def _digits(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValidationError("Not a text.")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValidationError("Not a text, nor a number.")
    return str(value)


class Word(Text):
    """A status, a type, a model: cut after `MAX_WORD_CHARS` characters."""

    def _bounded(self, text: str) -> str | None:
        return storable(text[:MAX_WORD_CHARS])


class Identifier(Text):
    """An id of the upstream's; a longer text is an error."""

    def _bounded(self, text: str) -> str | None:
        if len(text) > MAX_ID_CHARS:
            raise ValidationError(f"Not an id: more than {MAX_ID_CHARS} characters.")
        return storable(text)


class JsonText(Text):
    """A JSON string that may come as the object itself."""

    def read(self, value: Any) -> str | None:
        if isinstance(value, dict | list):
            try:
                value = json.dumps(value, ensure_ascii=False, allow_nan=False)
            except ValueError:
                raise ValidationError("Not JSON: a number in it is none.") from None
        return super().read(value)


class Code(LiberalField[Scalar]):
    """A code: an integer, or its digits; with `words`, also a word, cut after `MAX_WORD_CHARS` characters."""

    def __init__(self, *, words: bool = False, data_key: str | None = None) -> None:
        super().__init__(data_key=data_key)
        self.words = words

    def read(self, value: Any) -> Scalar | None:
        if isinstance(value, str) and not value.strip():
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,15}\s*", value[:MAX_NUMBER_CHARS]):
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < MAX_CODE:
            return value
        if isinstance(value, str) and self.words:
            return storable(value[:MAX_WORD_CHARS])
        raise ValidationError("Not an integer of at most 15 digits.")


class Seconds(LiberalField[float]):
    """A duration in seconds: a finite number, not negative, or its digits."""

    def read(self, value: Any) -> float | None:
        if value == "":
            return None
        try:
            seconds = float("nan" if isinstance(value, bool) or _is_long(value) else value)
        except (TypeError, ValueError, OverflowError):
            seconds = math.nan
        if not 0 <= seconds <= MAX_SECONDS:
            raise ValidationError("Not a number of seconds.")
        return seconds


class Timestamp(LiberalField[str]):
    """Epoch milliseconds (what is on the wire), ISO 8601, or a naive string (what the documents show).

    Becomes ISO 8601 in UTC where the zone is known; otherwise it stays as it is.
    """

    def read(self, value: Any) -> str | None:
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
        return storable(text) if moment.tzinfo is None else iso(moment)

    def _from_epoch(self, epoch_ms: Any) -> str:
        if isinstance(epoch_ms, bool):
            raise TypeError
        return iso(datetime.fromtimestamp(epoch_ms / 1000, UTC))


def _is_long(value: Any) -> bool:
    return isinstance(value, str) and len(value) > MAX_NUMBER_CHARS


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC, to the millisecond: `2025-09-16T17:44:24.461Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
