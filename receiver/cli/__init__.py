"""The commands: `receiver --help`. Each answers 0 when all is well, 1 when something is wrong, 2 to wrong usage."""

from typing import Any

import click

from receiver.cli import copies, tasks, trying, upkeep
from receiver.settings import SettingsError
from receiver.store.backup import BackupError
from receiver.store.database import StoreUnavailableError
from receiver.store.transfer import NotEmptyError
from receiver.store.versions import NewerTablesError


class Commands(click.Group):
    """Says in a sentence what keeps any of the commands from working."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (SettingsError, NewerTablesError, BackupError, NotEmptyError) as error:
            raise click.ClickException(str(error)) from None
        except StoreUnavailableError as error:
            raise click.ClickException(f"The database cannot be used: {error}") from None


@click.group(cls=Commands)
def main() -> None:
    """Receive callbacks of a Suno-style API, poll for the missing ones, keep one state per task.

    Settings come from RECEIVER_* variables; config/receiver.env.example lists them all. Each command answers with
    exit code 0 when all is well, 1 when something is wrong or unknown, 2 when it was called wrongly.
    """


for module in (trying, tasks, upkeep, copies):
    for command in module.COMMANDS:
        main.add_command(command)
