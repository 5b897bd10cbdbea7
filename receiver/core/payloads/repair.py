r"""The JSON of a response to a poll, also where `param` lacks one level of escaping.

Seen on the wire: `"param":"{\"input\":\"{\\"sound_loop\\":true}\"}"`, a string that ends too early. Everything
else in such a body is right, so the value is cut out and the rest is read.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from receiver.core.payloads.envelope import NotJsonError, parse_json

KEY = re.compile(r'(?<!\\)"(?:param_?json|param)"\s{0,20}:\s{0,20}(?=")', re.IGNORECASE)
# What follows a value in an object. The white space is bounded, so that a search is linear.
FOLLOWED = r'(?=\s{0,20}(?:,\s{0,20}"[^"\\]{1,64}"\s{0,20}:|\}))'
NEXT = re.compile(FOLLOWED)
END = re.compile(r'(?<!\\)"' + FOLLOWED)
MAX_VALUES = 8  # `param` and `paramJson`, beside the data and in it
STRICT, LENIENT = json.JSONDecoder(), json.JSONDecoder(strict=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class RepairedJson:
    """The value of a body; `cut`: an unreadable part was left out."""

    value: Any
    cut: bool = False


def parse_response_json(body: bytes) -> RepairedJson:
    """The JSON in the body, without a `param` that breaks it; `NotJsonError` says what is wrong with it."""
    try:
        return RepairedJson(value=parse_json(body))
    except NotJsonError:
        repaired = _without_broken_param(body)
        if repaired is None:
            raise
        return RepairedJson(value=parse_json(repaired), cut=True)


def _without_broken_param(body: bytes) -> bytes | None:
    """The body with null for each such value; None where there is none to be cut."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    pieces: list[str] = []
    done = position = 0
    for _ in range(MAX_VALUES):
        key = KEY.search(text, position)
        if key is None:
            break
        right = _end_of_string(text, key.end())
        position = right or _end_of_broken(text, key.end())
        if right is None:
            pieces += [text[done : key.end()], "null"]
            done = position
    return "".join([*pieces, text[done:]]).encode() if pieces else None


def _end_of_string(text: str, start: int) -> int | None:
    """Where the string that begins at `start` ends; None where what follows shows that it ended too early."""
    try:
        _, end = STRICT.raw_decode(text, start)
    except ValueError:
        return None
    return end if NEXT.match(text, end) else None


def _end_of_broken(text: str, start: int) -> int:
    """Where it should have ended: after the JSON in it that nobody escaped, or at the first quote that fits."""
    try:
        _, end = LENIENT.raw_decode(text, start + 1)
        if text[end : end + 1] == '"' and NEXT.match(text, end + 1):
            return end + 1
    except (ValueError, RecursionError):
        pass
    found = END.search(text, start + 1)
    return found.end() if found else len(text)
