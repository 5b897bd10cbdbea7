"""The commands: `receiver --help`. Exit codes: 0 success, 1 failure, 2 usage error."""

import io
import os
import sys
from typing import Any

import click

from receiver.cli import backup, demo, maintenance, serve, tasks
from receiver.settings import SettingsError
from receiver.store.backup import BackupError
from receiver.store.database import StoreUnavailableError
from receiver.store.database_copy import InUseError, NotEmptyError
from receiver.store.schema_version import NewerTablesError, OutdatedTablesError

EXPECTED = SettingsError, NewerTablesError, OutdatedTablesError, BackupError, InUseError, NotEmptyError


class Commands(click.Group):
    """Reports expected errors in one sentence, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EXPECTED as error:
            raise click.ClickException(str(error)) from None
        except StoreUnavailableError as error:
            raise click.ClickException(f"Database unavailable: {error}") from None
        except OSError as error:
            if error.filename is None:  # no file's, such as a closed pipe, which click handles
                raise
            raise click.ClickException(f"{error.filename}: {error.strerror}") from None


@click.group(cls=Commands)
@click.version_option(package_name="receiver")
@click.pass_context
def main(context: click.Context) -> None:
    """Receive callbacks of a Suno-style API, poll for the missing ones, keep one state per task.

    Settings come from RECEIVER_* variables; `receiver settings` lists them all. Exit codes: 0 success,
    1 failure or not found, 2 usage error.
    """
    before = os.umask(0o077)  # a database that a command creates is for its owner
    context.call_on_close(lambda: os.umask(before))
    if isinstance(sys.stdout, io.TextIOWrapper):  # a title may have letters that this terminal lacks
        sys.stdout.reconfigure(errors="backslashreplace")


for module in (demo, serve, tasks, maintenance, backup):
    for command in module.COMMANDS:
        main.add_command(command)
