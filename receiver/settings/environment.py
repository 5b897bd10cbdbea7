"""The settings' values out of environment variables, and out of the files that some of them name."""

import os
import stat
from collections.abc import Collection, Mapping

PREFIX = "RECEIVER_"
MAX_SECRET_BYTES = 64 * 1024

Values = dict[str, str]
Problems = dict[str, list[str]]


class SecretFileError(Exception):
    """Why a secret's file is refused; never quotes its content."""


def collect(environment: Mapping[str, str], *, secrets: Collection[str]) -> tuple[Values, Problems]:
    """The values by name without prefix, those of `_FILE` variables read, and what is wrong with these.

    An empty variable counts as unset. An empty file is an error: what it should switch on would be silently off.
    """
    values: Values = {}
    problems: Problems = {}
    for variable, text in environment.items():
        if not variable.startswith(PREFIX) or text == "":
            continue
        name = variable.removeprefix(PREFIX).lower()
        plain = name.removesuffix("_file")
        if plain == name or plain not in secrets:
            _take(name, text, values, problems)
        elif environment.get(PREFIX + plain.upper()):
            problems[name] = [f"Set either this or {PREFIX}{plain.upper()}, not both."]
        else:
            try:
                values[plain] = read_secret_file(text)
            except SecretFileError as error:
                problems[name] = [str(error)]
    return values, problems


def _take(name: str, text: str, values: Values, problems: Problems) -> None:
    wrong = _unusable(text)
    if wrong:
        problems[name] = [wrong]
    else:
        values[name] = text


def read_secret_file(path: str) -> str:
    """The one line in this file, without the blanks around it."""
    try:
        raw = _read_at_most(path, MAX_SECRET_BYTES + 1)
        text = raw.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise SecretFileError("Cannot be read: not UTF-8 text.") from None
    except (OSError, ValueError) as error:  # a ValueError for a path that no file can have
        raise SecretFileError(f"Cannot be read: {getattr(error, 'strerror', None) or 'no path'}.") from None
    if len(raw) > MAX_SECRET_BYTES:
        raise SecretFileError(f"Has more than {MAX_SECRET_BYTES} bytes: not a secret's file.")
    if not text:
        raise SecretFileError("Is empty. Write the secret into it, or remove this setting.")
    wrong = _unusable(text)
    if wrong:
        raise SecretFileError(wrong)
    return text


def _read_at_most(path: str, size: int) -> bytes:
    """From a regular file only: a pipe or a device might never end, or never begin."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        kind = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(kind):
            raise SecretFileError(f"Cannot be read: it is {'a folder' if stat.S_ISDIR(kind) else 'no file'}.")
        return file.read(size)


def _unusable(text: str) -> str | None:
    if "\0" in text:
        return "Must not hold a NUL character."
    if any("\ud800" <= letter <= "\udfff" for letter in text):  # how Python shows bytes that are no UTF-8
        return "Must be text in UTF-8."
    return None
