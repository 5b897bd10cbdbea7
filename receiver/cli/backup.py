"""Commands that copy the database: backup, restore, copy."""

from pathlib import Path

import click

from receiver.cli.context import open_database, settings
from receiver.cli.output import as_json, count, example, notify, print_result, progress
from receiver.cli.parameters import TEXT
from receiver.clock import utc_now
from receiver.settings import with_database
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

    FILE has every callback that got a 2xx response before the command began. It is verified before it gets its
    name, and only its owner can read it.
    """
    source = _sqlite_file("back up PostgreSQL with pg_dump")
    if not source.exists():
        raise click.ClickException(f"There is no database {source}.")
    if file.exists() and not force:
        raise click.ClickException(f"{file} exists already: give another name, or --force to overwrite it.")
    with progress("Copying") as report:
        contents = back_up(source, file, overwrite=force, tell=report)
    print_result(_serialize(contents, file), f"{file}: {_words(contents)}", as_json=as_json)


@click.command("restore", epilog=example("receiver restore /var/backups/receiver-2026-01-31.db"))
@click.argument("file", type=FILE)
@as_json
def restore_(file: Path, as_json: bool) -> None:
    """Restore the database from a backup.

    Stop the server first. The backup is verified, the current database is renamed and stays beside it, and the tables
    are migrated. Whatever came after the backup is missing: unsettled tasks are polled again; register those again
    that were registered since.
    """
    place = _sqlite_file("restore PostgreSQL with pg_restore")
    with progress("Copying") as report:
        contents, former = restore(file, place, now=utc_now(), tell=report)
    open_database(settings()).migrate()
    words = f"Restored {place}: {_words(contents)}"
    also = f"\nThe former database is {former}" if former else ""
    print_result(
        _serialize(contents, place) | {"kept": former and str(former)}, words + also, as_json=as_json
    )


@click.command(
    "copy", epilog=example("receiver copy --to postgresql+psycopg://receiver@db.example.org/receiver")
)
@click.option(
    "--to", "url", type=TEXT, required=True, help="The URL of the target database, which must be empty."
)
@as_json
def copy_(url: str, as_json: bool) -> None:
    """Copy everything into another database, such as PostgreSQL.

    Stop the server, copy, set RECEIVER_DATABASE_URL to the target, start the server. The target gets its tables and
    all rows with their ids, or nothing. Keep passwords out of the URL: PostgreSQL's client reads them from ~/.pgpass
    or PGPASSWORD.
    """
    given = settings()
    try:
        changed = with_database(given, url)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--to") from None
    source = open_database(given)
    source.require_current_tables()
    refuse_while_in_use(source)
    target = open_database(changed, may_create=True)
    target.migrate()
    total = count_rows(source)
    with progress("Copying") as report:
        copied = copy_rows(source, target, lambda done: report(done, total))
    notify("Set RECEIVER_DATABASE_URL to the target, then start the server.")
    words = ", ".join(f"{name}: {count}" for name, count in copied.items() if count)
    print_result(copied, f"Rows copied: {words or 'none, the database is empty'}", as_json=as_json)


def _sqlite_file(otherwise: str) -> Path:
    file = database_file(settings().database_url)
    if file is None:
        raise click.ClickException(f"This command is for SQLite: {otherwise}.")
    return file


def _serialize(contents: Contents, file: Path) -> dict[str, object]:
    return {
        "file": str(file),
        "bytes": contents.bytes,
        "version": contents.version,
        "tasks": contents.tasks,
        "deliveries": contents.deliveries,
        "newest": iso(contents.newest),
    }


def _words(contents: Contents) -> str:
    newest = f" (newest {iso(contents.newest)})" if contents.newest else ""
    return (
        f"{contents.bytes / 1e6:,.1f} MB, version {contents.version}, {count(contents.tasks, 'task')},"
        f" {count(contents.deliveries, 'delivery')}{newest}; verified"
    )


COMMANDS = (backup, restore_, copy_)
