"""The words a task is found by: folded alike where they are kept and where they are asked for."""

import re
import unicodedata

MOST = 100
LONGEST = 40
# Scripts that write without spaces: each sign is a word, so that a part of a title is found too.
SIGNS = r"\u3041-\u3096\u30a1-\u30fa\u30fc-\u30ff\u3400-\u9fff\uf900-\ufaff"
BETWEEN = r"\u30a0\u30fb"
WORD = re.compile(rf"[{SIGNS}]|[^\W_{SIGNS}{BETWEEN}]+")
APOSTROPHES = str.maketrans("", "", "'’ʼ")


def words_of(*texts: str) -> str:
    """The distinct words of these texts, folded and parted by spaces: `Café №7` gives `cafe no7`."""
    found = (
        word[:LONGEST] for text in texts for word in WORD.findall(fold_text(text.translate(APOSTROPHES)))
    )
    return " ".join(list(dict.fromkeys(found))[:MOST])


def fold_text(text: str) -> str:
    """The text without case, width and accents."""
    if text.isascii():
        return text.casefold()
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    plain = "".join(letter for letter in apart if unicodedata.category(letter) != "Mn")
    return unicodedata.normalize("NFC", plain)
