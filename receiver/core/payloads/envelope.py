"""What all bodies share: JSON, an object, `code`, `msg`, `data`, and a task id somewhere."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from receiver.core.payloads.fields import folded, is_blank
from receiver.core.validation import parse_task_id

NO_NUMBER = math.nan


class NotJsonError(ValueError):
    """The body is not JSON; the text says where it stops being so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """A body's outer parts under folded keys.

    `data` and `response`, which is `data.response`, are whatever stood there, an object folded.
    """

    root: Mapping[str, Any]
    data: Any
    response: Any
    digest: bytes

    @property
    def fields(self) -> Mapping[str, Any]:
        """The object in `data`, or an empty one."""
        return self.data if isinstance(self.data, dict) else {}

    @property
    def task_id(self) -> str | None:
        """The task id from any of its places: `data`, the root (MIDI), `data.response`."""
        return next((found for place in self._places if (found := parse_task_id(place.get("taskid")))), None)

    @property
    def task_ids(self) -> Iterable[str]:
        """What stands in each of these places, readable or not."""
        return [str(place["taskid"]).strip() for place in self._places if not is_blank(place.get("taskid"))]

    @property
    def _places(self) -> Iterable[Mapping[str, Any]]:
        return self.fields, self.root, self.response if isinstance(self.response, dict) else {}


def parse_json(body: bytes) -> Any:
    """The JSON in the body; `NotJsonError` says what is wrong with it.

    `NaN` and `Infinity`, which Python's programs write, are no JSON but lose no more than where they stand. The same
    goes for a number of thousands of digits, which is JSON.
    """
    try:
        # As `json.loads` does, which would make a decoder for each body.
        value = DECODER.decode(body.decode(json.detect_encoding(body), "surrogatepass"))
    except RecursionError:
        raise NotJsonError("nested too deeply") from None
    except ValueError as error:  # also undecodable bytes
        raise NotJsonError(str(error)) from None
    if value is NO_NUMBER:
        raise NotJsonError("NaN, Infinity or a number of too many digits, and nothing else")
    return value


def _whole_number(digits: str) -> int | float:
    """The number, or NaN where it has more digits than Python converts."""
    try:
        return int(digits)
    except ValueError:
        return NO_NUMBER


DECODER = json.JSONDecoder(parse_constant=lambda _: NO_NUMBER, parse_int=_whole_number)
ENCODER = json.JSONEncoder(sort_keys=True)


def open_envelope(value: Any) -> Envelope | None:
    """The outer parts of a parsed body; None when it is not an object."""
    if not isinstance(value, dict):
        return None
    root = folded(value)
    data = _folded_object(root["data"]) if "data" in root else root
    response = _folded_object(opened_text(data.get("response"))) if isinstance(data, dict) else None
    return Envelope(root=root, data=data, response=response, digest=digest(value))


def opened_text(value: Any) -> Any:
    """What stands in a text that is JSON of an object or a list; any other value as it is."""
    if not isinstance(value, str) or value[:1000].lstrip()[:1] not in ("{", "["):
        return value
    try:
        return parse_json(value.encode(errors="replace"))
    except NotJsonError:
        return value


def _folded_object(value: Any) -> Any:
    return folded(value) if isinstance(value, dict) else value


def digest(value: Any) -> bytes:
    """A digest of the content, whatever the order of its keys and its white space."""
    return hashlib.sha256(ENCODER.encode(value).encode()).digest()
