"""The page's own files, each at a URL that changes with its content, so that browsers may cache it for a year."""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "static"
CACHED = "public, max-age=31536000, immutable"
REVALIDATED = "no-cache"


@cache
def versions() -> Mapping[str, str]:
    """A hash of each file's content, by its name."""
    files = (path for path in FOLDER.rglob("*") if path.is_file())
    return {
        path.relative_to(FOLDER).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for path in files
    }


def cache_control(name: str, version: str | None) -> str:
    """The header for this file, requested with this version in the URL."""
    return CACHED if version is not None and version == versions().get(name) else REVALIDATED
