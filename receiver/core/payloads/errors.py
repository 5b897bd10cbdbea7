"""What could not be read, by dotted path: bounded, as the sender decides how much is wrong."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

MAX_ERRORS = 20
MAX_PATH_CHARS = 100
MAX_MESSAGE_CHARS = 200
MAX_STORED_CHARS = 300

Errors = Mapping[str, list[str]]


def bounded(errors: Errors) -> Errors:
    """At most `MAX_ERRORS` paths with a short message each; the last is the number of further ones."""
    shown = MAX_ERRORS if len(errors) <= MAX_ERRORS else MAX_ERRORS - 1
    few = {
        path[:MAX_PATH_CHARS]: [message[:MAX_MESSAGE_CHARS] for message in messages[:2]]
        for path, messages in islice(errors.items(), shown)
    }
    return few if len(errors) <= shown else few | {"more": [f"{len(errors) - shown} more errors."]}


def flat_errors(messages: Any, path: str = "") -> dict[str, list[str]]:
    """Marshmallow's nested messages by dotted path: `data.data.0.duration`."""
    if not isinstance(messages, dict):
        return {path: [str(message) for message in _listed(messages)]}
    result: dict[str, list[str]] = {}
    for key, inner in messages.items():
        step = "" if key == "_schema" else str(key)
        result |= flat_errors(inner, ".".join(part for part in (path, step) if part))
    return result


def _listed(messages: Any) -> Iterable[Any]:
    return messages if isinstance(messages, list) else [messages]


def bounded_again(errors: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The first of the errors, none of them long: before they are stored, whatever the parser let through."""
    few: dict[str, list[str]] = {}
    left = MAX_ERRORS
    for place, texts in errors.items():
        if left <= 0:
            break
        few[place[:MAX_STORED_CHARS]] = [text[:MAX_STORED_CHARS] for text in texts[:left]]
        left -= len(texts)
    return few
