"""One thing found: plain words, and how bad it is."""

from dataclasses import asdict, dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    BAD = "BAD"


@dataclass(frozen=True, kw_only=True)
class Finding:
    name: str
    level: Level
    detail: str

    def __str__(self) -> str:
        return f"{self.level:8}{self.name}: {self.detail}"

    @property
    def shown(self) -> dict[str, object]:
        return asdict(self) | {"ok": self.level is not Level.BAD}


def ok(name: str, detail: str) -> Finding:
    return Finding(name=name, level=Level.OK, detail=detail)


def warning(name: str, detail: str) -> Finding:
    return Finding(name=name, level=Level.WARNING, detail=detail)


def bad(name: str, detail: str) -> Finding:
    return Finding(name=name, level=Level.BAD, detail=detail)
