"""Unwraps bodies that a program in between has wrapped: in a text, a list of one, a form, or a larger object."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from receiver.core.payloads.envelope import NotJsonError, opened_text, parse_json
from receiver.core.payloads.fields import folded
from receiver.core.validation import parse_task_id

MAX_LAYERS = 2
MAX_FORM_FIELDS = 20
MAX_SIBLING_KEYS = 50  # values that a wrapper has beside what it wraps: headers, query and the like
WRAPPERS = ("body", "payload", "event", "message")
FORM_FIELDS = ("payload", "data", "body", "json", *WRAPPERS)
FORM_NAME = re.compile(rb'(?i)content-disposition:[^\r\n]*?[; ]name="?([^"\r\n;]*)')


def parse_body(body: bytes) -> Any:
    """The JSON of a callback's body, unwrapped at most twice, and only where it is unambiguous.

    A form is recognized by its bytes, as only these are stored. Raises `NotJsonError`.
    """
    try:
        value, layers = parse_json(body), MAX_LAYERS
    except NotJsonError:
        value, layers = _json_in_form(body), MAX_LAYERS - 1
        if value is None:
            raise
    for _ in range(layers):
        inner = _without_layer(value)
        if inner is value:
            break
        value = inner
    return value


def _without_layer(value: Any) -> Any:
    if isinstance(value, str):
        return _text_in(value) or opened_text(value)
    if isinstance(value, list):
        return value[0] if len(value) == 1 and isinstance(value[0], dict | str) else value
    if not isinstance(value, dict):
        return value
    return _with_data_opened(value) or _inner(value) or value


def _text_in(text: str) -> str | None:
    """The text in a JSON text."""
    if text[:1] != '"':
        return None
    try:
        return str(parse_json(text.encode(errors="replace")))
    except NotJsonError:
        return None


def _with_data_opened(value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The object without the layer around its `data`: JSON in a text, or a list of one that names the task."""
    key = next((key for key in value if key.lower() == "data"), None)
    if key is None:
        return None
    inner = value[key]
    if isinstance(inner, list) and len(inner) == 1 and isinstance(inner[0], dict):
        opened = inner[0] if _names_task(inner[0]) and not _names_task(value) else inner
    else:
        opened = opened_text(inner)
    return None if opened is inner else {**value, key: opened}


def _inner(value: Mapping[str, Any]) -> Any:
    """The only object with a task id, where it stands under one of the names for a wrapper."""
    if len(value) > MAX_SIBLING_KEYS or not any(map(_is_wrapper, value)) or _names_task(value):
        return None
    opened = {key: opened_text(inner) if _is_wrapper(key) else inner for key, inner in value.items()}
    naming = [key for key, inner in opened.items() if isinstance(inner, dict) and _names_task(inner)]
    if len(naming) != 1 or not _is_wrapper(naming[0]):
        return None
    # A text is a layer of its own: where one more may be taken off, it is opened by the next.
    return value[naming[0]]


def _is_wrapper(key: str) -> bool:
    return key.lower() in WRAPPERS


def _names_task(value: Mapping[str, Any]) -> bool:
    """Whether a task id stands in the object, its `data` or its `data.response`."""
    fields = folded(value)
    places = [fields, *_objects(fields.get("data"))]
    places += [inner for place in places for inner in _objects(place.get("response"))]
    return any(parse_task_id(place.get("taskid")) for place in places)


def _objects(value: Any) -> Iterable[Mapping[str, Any]]:
    opened = opened_text(value)
    return [folded(opened)] if isinstance(opened, dict) else []


def _json_in_form(body: bytes) -> Any:
    """The one JSON object or list among a form's fields: by its name, or because there is no other."""
    found = []
    for name, text in _form_fields(body):
        opened = opened_text(text)
        if not isinstance(opened, str):
            found.append((name.lower(), opened))
    named = [opened for name, opened in found if name in FORM_FIELDS]
    if len(named) == 1:
        return named[0]
    return found[0][1] if len(found) == 1 else None


def _form_fields(body: bytes) -> Sequence[tuple[str, str]]:
    if body[:2] == b"--":
        return _parts(body)
    if body[:1] in (b"<", b"{", b"[") or b"=" not in body[:100]:
        return []
    try:
        return parse_qsl(body.decode(), max_num_fields=MAX_FORM_FIELDS)
    except ValueError:
        return []


def _parts(body: bytes) -> Sequence[tuple[str, str]]:
    """The fields of a `multipart/form-data` body, whose first line is what parts them."""
    delimiter = body.partition(b"\n")[0].rstrip(b"\r")
    if not 2 < len(delimiter) <= 72 or body.count(delimiter) > MAX_FORM_FIELDS + 1:
        return []
    fields = []
    for part in body.split(delimiter)[1:-1]:
        head, _, content = part.replace(b"\r\n", b"\n").partition(b"\n\n")
        if name := FORM_NAME.search(head[:1000]):
            fields.append((name[1].decode(errors="replace"), content.strip().decode(errors="replace")))
    return fields
