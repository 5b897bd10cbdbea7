"""Task ids and labels, by the same rules in payloads, the API, the admin page and the commands."""

import re
from typing import Any

MAX_TASK_ID_CHARS = 200
MAX_LABEL_CHARS = 200
MAX_QUOTED_CHARS = 200
TASK_ID_RULE = f"text without white space or slashes, {MAX_TASK_ID_CHARS} characters at most"
LABEL_RULE = f"a label is text of {MAX_LABEL_CHARS} characters at most"

# Neither can be stored as text everywhere: a NUL, and half of a surrogate pair.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def parse_task_id(value: Any) -> str | None:
    """The value as a task id: printable, no white space or slash, at most `MAX_TASK_ID_CHARS`; else None."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value).strip()
    if not 0 < len(text) <= MAX_TASK_ID_CHARS or text in (".", ".."):
        return None
    refused = not text.isprintable() or " " in text or "/" in text or "\\" in text
    return None if refused else text


def quoted(text: str, *, max_chars: int = MAX_QUOTED_CHARS) -> str:
    """The text for a sentence: in quotation marks, cut, and without characters that would not be shown."""
    shown = "".join(character if character.isprintable() else "\ufffd" for character in text[:max_chars])
    return f"'{shown}{'…' if len(text) > max_chars else ''}'"


def is_label(text: str) -> bool:
    return len(text) <= MAX_LABEL_CHARS and not UNSTORABLE.search(text)
