"""The commands: `receiver --help`. Each answers 0 when all is well, 1 when something is wrong, 2 to wrong usage."""

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
from receiver.store.schema_version import NewerTablesError


class Commands(click.Group):
    """Says in a sentence what keeps any of the commands from working."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (SettingsError, NewerTablesError, BackupError, InUseError, NotEmptyError) as error:
            raise click.ClickException(str(error)) from None
        except StoreUnavailableError as error:
            raise click.ClickException(f"The database cannot be used: {error}") from None
        except OSError as error:
            if error.filename is None:  # of no file, such as a reader of ours who has left: click's own
                raise
            raise click.ClickException(f"{error.filename}: {error.strerror}") from None


@click.group(cls=Commands)
@click.version_option(package_name="receiver")
@click.pass_context
def main(context: click.Context) -> None:
    """Receive callbacks of a Suno-style API, poll for the missing ones, keep one state per task.

    Settings come from RECEIVER_* variables; config/receiver.env.example lists them all. Each command answers with
    exit code 0 when all is well, 1 when something is wrong or unknown, 2 when it was called wrongly.
    """
    before = os.umask(0o077)  # a database that a command makes is for its owner
    context.call_on_close(lambda: os.umask(before))
    if isinstance(sys.stdout, io.TextIOWrapper):  # a title may be in letters that this terminal has not
        sys.stdout.reconfigure(errors="backslashreplace")


for module in (demo, serve, tasks, maintenance, backup):
    for command in module.COMMANDS:
        main.add_command(command)
