"""Secrets that anybody would try first."""

import re

MIN_DISTINCT = 6
MAX_UNIT = 8
MIN_RUN = 3
MIN_REST = 4
# Each is walked along: the keys of a keyboard row by row and column by column, and the alphabet.
LAYOUTS = (
    (
        "`1234567890-=",
        "01234567890",
        "qwertyuiop[]",
        "asdfghjkl;'",
        "zxcvbnm,./",
        "qwertzuiop",
        "yxcvbnm",
        "azertyuiop",
        "qsdfghjklm",
        "wxcvbn",
        "!@#$%^&*()_+",
        "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/",
        "1q2w3e4r5t6y7u8i9o0p",
    ),
    ("abcdefghijklmnopqrstuvwxyz",),
)
WORDS = (
    "password",
    "passwort",
    "passw0rd",
    "p@ssw0rd",
    "p@ssword",
    "passphrase",
    "change",
    "placeholder",
    "replace",
    "secret",
    "letmein",
    "welcome",
    "admin",
    "administrator",
    "root",
    "receiver",
    "default",
    "example",
    "testing",
    "test",
    "iloveyou",
    "qwerty",
    "monkey",
    "dragon",
    "abc123",
    "your",
    "here",
    "this",
    "please",
    "me",
    "my",
    "with",
)
ALONE = re.compile(r"[^a-z]+")


def why_weak(secret: str) -> str | None:
    """Why this is easy to guess, in a few words without the secret; None where nothing is found."""
    text = secret.casefold()
    if len(set(text)) < MIN_DISTINCT:
        return f"has fewer than {MIN_DISTINCT} different characters"
    if _repeats(text):
        return "repeats the same few characters"
    if any(_is_walk(text, rows) for rows in LAYOUTS):
        return "is a row of keys or letters"
    if _is_common(text):
        return "is made of a common word"
    return None


def _repeats(text: str) -> bool:
    units = range(1, min(MAX_UNIT, len(text) // 2) + 1)
    return any(text == (text[:unit] * len(text))[: len(text)] for unit in units)


def _is_walk(text: str, rows: tuple[str, ...]) -> bool:
    """Whether the text is nothing but pieces of these rows, read in either direction."""
    ways = [way for row in rows for way in (row, row[::-1])]
    place = 0
    while place < len(text):
        run = max(_common_length(text, place, way) for way in ways)
        if run < min(MIN_RUN, len(text)):
            return False
        place += run
    return True


def _common_length(text: str, place: int, way: str) -> int:
    """How many characters from this place on stand side by side in `way`."""
    length = 0
    while place + length < len(text) and text[place : place + length + 1] in way:
        length += 1
    return length


def _is_common(text: str) -> bool:
    """Whether little is left without common words, digits and signs."""
    found = False
    for word in WORDS:
        found = found or word in text
        text = text.replace(word, " ")
    return found and len(ALONE.sub("", text)) < MIN_REST
