"""The page's own files, each under an address that changes with its content, so that it may be kept for a year."""

import hashlib
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "static"
KEPT = "public, max-age=31536000, immutable"
ASKED_AGAIN = "no-cache"


@cache
def version_of(name: str) -> str | None:
    """A hash of the file's content; None when there is no such file."""
    path = FOLDER / name
    if not path.resolve().is_relative_to(FOLDER) or not path.is_file():
        return None
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def cache_control(name: str, version: str | None) -> str:
    """How long an answer about this file may be kept, asked for under this version."""
    return KEPT if version is not None and version == version_of(name) else ASKED_AGAIN
