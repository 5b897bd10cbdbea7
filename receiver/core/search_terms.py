"""The words that a task is found by: folded in the same way when stored and when searched for.

Senders choose the texts, so the work is bounded: by the length that is read, and by leaving out combining marks
before normalizing, as `unicodedata.normalize` is quadratic in a run of them.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

MAX_TERMS = 100
MAX_TERM_CHARS = 40
MAX_TEXT_CHARS = 500  # characters of each text
MAX_READ_CHARS = 10_000  # characters of all of them
# Scripts that write without spaces: each sign is a word, so that a part of a title is found too.
SIGNS = r"\u3041-\u3096\u30a1-\u30fa\u30fc-\u30ff\u3400-\u9fff\uf900-\ufaff"
BETWEEN = r"\u30a0\u30fb"
WORD = re.compile(rf"[{SIGNS}]|[^\W_{SIGNS}{BETWEEN}]+")
APOSTROPHES = str.maketrans("", "", "'’ʼ")
IOTA_BELOW = "\u0345"  # the only mark that is a letter where case is folded


def search_terms(*texts: str) -> str:
    """The distinct words of these texts, folded and parted by spaces: `Café №7` gives `cafe no7`."""
    terms: dict[str, None] = {}
    left = MAX_READ_CHARS
    for text in texts:
        beginning = _beginning(text, min(MAX_TEXT_CHARS, left))
        left -= len(beginning)
        terms.update(dict.fromkeys(_terms_in(beginning)))
        if len(terms) >= MAX_TERMS:
            break
    return " ".join(list(terms)[:MAX_TERMS])


def fold_early(texts: Iterable[str]) -> None:
    """Fold these texts into the cache, so that `search_terms` is fast inside a transaction."""
    for text in texts:
        _terms_in(_beginning(text, MAX_TEXT_CHARS))


def _beginning(text: str, length: int) -> str:
    """The beginning of the text up to the end of a word, at most `length` characters."""
    if len(text) <= length:
        return text
    whole, _, _ = text[:length].rpartition(" ")
    return whole or text[:length]


@lru_cache(maxsize=1024)
def _terms_in(text: str) -> tuple[str, ...]:
    folded = fold_text(text.translate(APOSTROPHES))
    return tuple(dict.fromkeys(word[:MAX_TERM_CHARS] for word in WORD.findall(folded)))[:MAX_TERMS]


def fold_text(text: str) -> str:
    """The text without case, width and accents; the work grows as its length does."""
    if text.isascii():
        return text.casefold()
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", _without_marks(text)).casefold())
    plain = "".join(letter for letter in apart if unicodedata.category(letter) != "Mn")
    return unicodedata.normalize("NFC", plain)


def _without_marks(text: str) -> str:
    """The text without the marks that folding leaves out; one that separates words becomes a space."""
    return "".join(
        letter if not unicodedata.combining(letter) else "" if unicodedata.category(letter) == "Mn" else " "
        for letter in text.replace(IOTA_BELOW, "ι")
    )
