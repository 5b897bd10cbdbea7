"""The words a task is found by: folded alike where they are kept and where they are asked for."""

import re
import unicodedata

MOST = 100
LONGEST = 40
WORD = re.compile(r"[^\W_]+")


def words_of(*texts: str) -> str:
    """The distinct words of these texts, folded and parted by spaces: `Café №7` gives `cafe no7`."""
    found = (word[:LONGEST] for text in texts for word in WORD.findall(fold_text(text)))
    return " ".join(list(dict.fromkeys(found))[:MOST])


def fold_text(text: str) -> str:
    """The text without case, width and accents."""
    if text.isascii():
        return text.casefold()
    apart = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in apart if unicodedata.category(letter) != "Mn")
    return unicodedata.normalize("NFC", plain)
