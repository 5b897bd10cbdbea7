"""The store: SQLite or PostgreSQL. Callers handle a `Connection` without knowing SQLAlchemy."""

from sqlalchemy import Connection

__all__ = ["Connection"]
