"""The version of the tables, and the one that this program needs."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

MIGRATIONS = Path(__file__).with_name("migrations")


class NewerTablesError(Exception):
    """The tables are of a version that this program does not know; nothing was touched."""


class OutdatedTablesError(Exception):
    """The tables are of an older version, or there are none."""

    def __init__(self, versions: "SchemaVersions") -> None:
        super().__init__(
            f"The database's tables are of version {versions.tables or 'none'} and this program's of"
            f" {versions.program}: run `receiver upgrade` first."
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemaVersions:
    """`tables` is None where there are none yet."""

    tables: str | None
    program: str

    @property
    def pending(self) -> bool:
        return self.tables != self.program


def read_schema_versions(connection: Connection) -> SchemaVersions:
    """Raises `NewerTablesError` where a newer program has been at work."""
    tables = MigrationContext.configure(connection).get_current_revision()
    if tables is not None:
        check_known(tables)
    return SchemaVersions(tables=tables, program=_versions()[0])


def check_known(version: str) -> None:
    """Raises `NewerTablesError` where no migration of this program leads to the version."""
    versions = _versions()
    if version not in versions:
        raise NewerTablesError(
            f"The database's tables are of version {version}, and this program knows {versions[0]} at most: a newer"
            " program has upgraded them. Install that one, or restore a backup of before the upgrade."
        )


@cache
def _versions() -> tuple[str, ...]:
    """All versions, the newest first."""
    return tuple(script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions())
