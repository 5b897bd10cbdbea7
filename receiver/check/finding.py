"""One finding: its level, and plain words."""

from collections.abc import Iterable
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


def is_database_usable(findings: Iterable[Finding]) -> bool:
    """Whether none of the findings says that the database cannot be used; a full disk alone does not."""
    return not any(finding.name == "database" and finding.level is Level.FAIL for finding in findings)


def ok(name: str, detail: str) -> Finding:
    return Finding(name=name, level=Level.OK, detail=detail)


def warning(name: str, detail: str) -> Finding:
    return Finding(name=name, level=Level.WARNING, detail=detail)


def fail(name: str, detail: str) -> Finding:
    return Finding(name=name, level=Level.FAIL, detail=detail)
