"""One finding: its level, and plain words."""

from dataclasses import asdict, dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    BAD = "BAD"  # in JSON; a terminal shows FAIL


@dataclass(frozen=True, kw_only=True)
class Finding:
    name: str
    level: Level
    detail: str

    def __str__(self) -> str:
        level = "FAIL" if self.level is Level.BAD else self.level
        return f"{level:8}{self.name}: {self.detail}"

    @property
    def as_json(self) -> dict[str, object]:
        return asdict(self) | {"ok": self.level is not Level.BAD}


def ok(name: str, detail: str) -> Finding:
    return Finding(name=name, level=Level.OK, detail=detail)


def warning(name: str, detail: str) -> Finding:
    return Finding(name=name, level=Level.WARNING, detail=detail)


def bad(name: str, detail: str) -> Finding:
    return Finding(name=name, level=Level.BAD, detail=detail)
