"""Numbers with their nouns. Pure."""


def quantity(number: int, noun: str, plural: str | None = None) -> str:
    """`1 poll`, `1,234 polls`."""
    return f"{number:,} {agree(number, noun, plural)}"


def agree(number: int, singular: str, plural: str | None = None) -> str:
    """The form of a word that goes with the number; by default the plural adds an `s`."""
    return singular if number == 1 else plural or f"{singular}s"
