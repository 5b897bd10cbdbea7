"""The command that serves."""

import os
import sys
from pathlib import Path

import click

from receiver.cli.output import example

CONFIG = Path(__file__).parent.parent / "gunicorn_config.py"


@click.command(epilog=example("receiver serve"))
def serve() -> None:
    """Run the server: callbacks, API, admin page and poller.

    It is gunicorn, configured by the receiver's settings; signals and exit codes are gunicorn's. GUNICORN_CMD_ARGS
    may hold more of its arguments.
    """
    # Not `python -m gunicorn`: that cannot start itself again at SIGUSR2.
    script = str(Path(sys.executable).with_name("gunicorn"))
    os.execv(sys.executable, [sys.executable, script, "-c", str(CONFIG), "receiver.wsgi:app"])  # noqa: S606


COMMANDS = (serve,)
