"""What a command works with: its settings, the database and the runtime."""

import os

import click

from receiver.runtime import Runtime
from receiver.runtime import open_runtime as open_runtime_of
from receiver.settings import Settings, load_settings
from receiver.store.backup import database_file
from receiver.store.database import Database


def settings() -> Settings:
    return load_settings(os.environ)


def open_runtime() -> Runtime:
    """The runtime on the tables as they are: a server may be running on them."""
    given = settings()
    _require_database(given)
    runtime = open_runtime_of(given, migrate=False)
    click.get_current_context().call_on_close(runtime.database.engine.dispose)
    return runtime


def open_database(given: Settings, *, may_create: bool = False) -> Database:
    """The database, which must exist unless `may_create`; its tables may be of any version."""
    if not may_create:
        _require_database(given)
    database = Database(given.database_url)
    click.get_current_context().call_on_close(database.engine.dispose)
    return database


def _require_database(given: Settings) -> None:
    """A database that a command creates would belong to whoever called the command."""
    file = database_file(given.database_url)
    if file is not None and not file.exists():
        raise click.ClickException(
            f"There is no database {file} yet: start the server, or `receiver upgrade`."
        )
