"""Commands that copy the database: backup, restore, copy."""

import os
from pathlib import Path

import click

from receiver.cli.context import open_database, settings
from receiver.cli.output import as_json, console, example, print_result, progress
from receiver.clock import utc_now
from receiver.settings import load_settings
from receiver.store.backup import Contents, back_up, database_file, restore
from receiver.store.database_copy import copy_rows, count_rows, refuse_while_in_use
from receiver.web.serializers import iso

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(epilog=example("receiver backup /var/backups/receiver-$(date +%F).db"))
@click.argument("file", type=FILE)
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@as_json
def backup(file: Path, force: bool, as_json: bool) -> None:
    """Copy the SQLite database while the server runs.

    Every callback that was answered 2xx before the command began is in FILE, which is checked before it gets its
    name, and which only its owner can read.
    """
    source = _sqlite_file("back up PostgreSQL with its own pg_dump")
    if not source.exists():
        raise click.ClickException(f"There is no database {source}.")
    with progress("Copying") as tell:
        contents = back_up(source, file, overwrite=force, tell=tell)
    print_result(_shown(contents, file), f"{file}: {_words(contents)}", as_json=as_json)


@click.command("restore", epilog=example("receiver restore /var/backups/receiver-2026-01-31.db"))
@click.argument("file", type=FILE)
@as_json
def restore_(file: Path, as_json: bool) -> None:
    """Put a backup in the database's place.

    The server must be stopped. The backup is checked first, and the present database is kept beside it. Then the
    tables are brought to this version. What came after the backup is not in it: tasks that were not settled are
    polled again, tasks that were registered since must be registered again.
    """
    place = _sqlite_file("restore PostgreSQL with its own pg_restore")
    with progress("Copying") as tell:
        contents, kept = restore(file, place, now=utc_now(), tell=tell)
    open_database(settings()).migrate()
    words = f"{place} is the backup now: {_words(contents)}"
    also = f"\nThe database that was there is kept as {kept}" if kept else ""
    print_result(_shown(contents, place) | {"kept": kept and str(kept)}, words + also, as_json=as_json)


@click.command(
    "copy", epilog=example("receiver copy --to postgresql+psycopg://receiver@db.example.org/receiver")
)
@click.option("--to", "url", required=True, help="The URL of the other database; it must be empty.")
@as_json
def copy_(url: str, as_json: bool) -> None:
    """Copy everything into another database, such as PostgreSQL.

    Stop the server, copy, set RECEIVER_DATABASE_URL to the other one, start the server. The tables are made
    there; all rows arrive with their ids, or none do. Passwords are better kept out of the URL: PostgreSQL's client
    reads them from ~/.pgpass or PGPASSWORD.
    """
    source = open_database(settings())
    source.require_current_tables()
    refuse_while_in_use(source)
    target = open_database(load_settings(os.environ | {"RECEIVER_DATABASE_URL": url}), may_create=True)
    target.migrate()
    total = count_rows(source)
    with progress("Copying") as tell:
        copied = copy_rows(source, target, lambda done: tell(done, total))
    console.print("Set RECEIVER_DATABASE_URL to it, and start the server.")
    words = ", ".join(f"{count} {name}" for name, count in copied.items() if count)
    print_result(copied, f"Copied: {words or 'nothing, there was nothing'}", as_json=as_json)


def _sqlite_file(otherwise: str) -> Path:
    file = database_file(settings().database_url)
    if file is None:
        raise click.ClickException(f"This is for SQLite: {otherwise}.")
    return file


def _shown(contents: Contents, file: Path) -> dict[str, object]:
    return {
        "file": str(file),
        "bytes": contents.bytes,
        "version": contents.version,
        "tasks": contents.tasks,
        "deliveries": contents.deliveries,
        "newest": iso(contents.newest),
    }


def _words(contents: Contents) -> str:
    newest = f", the newest of {iso(contents.newest)}" if contents.newest else ""
    return (
        f"{contents.bytes / 1e6:,.1f} MB, version {contents.version}, {contents.tasks} tasks,"
        f" {contents.deliveries} deliveries{newest}; checked"
    )


COMMANDS = (backup, restore_, copy_)
