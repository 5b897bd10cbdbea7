"""`INSERT … ON CONFLICT`, which SQLite and PostgreSQL share and SQLAlchemy spells once for each."""

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_into(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
