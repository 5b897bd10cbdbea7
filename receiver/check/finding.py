"""One finding: its level, and plain words."""

from dataclasses import asdict, dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAIL = "FAIL"


@dataclass(frozen=True, kw_only=True)
class Finding:
    name: str
    level: Level
    detail: str

    def __str__(self) -> str:
        return f"{self.level:8}{self.name}: {self.detail}"

    @property
    def as_json(self) -> dict[str, object]:
        return asdict(self) | {"ok": self.level is not Level.FAIL}


def ok(name: str, detail: str) -> Finding:
    return Finding(name=name, level=Level.OK, detail=detail)


def warning(name: str, detail: str) -> Finding:
    return Finding(name=name, level=Level.WARNING, detail=detail)


def fail(name: str, detail: str) -> Finding:
    return Finding(name=name, level=Level.FAIL, detail=detail)
