"""The command that serves."""

from pathlib import Path

import click

from receiver.cli.output import example

CONFIG = Path(__file__).parent.parent / "gunicorn_config.py"


@click.command(epilog=example("receiver serve"))
def serve() -> None:
    """Run the server: callbacks, API, admin page and poller.

    It is gunicorn, configured by the receiver's settings; signals and exit codes are gunicorn's. GUNICORN_CMD_ARGS
    may hold more of its arguments; those that would break a promise stop the start.
    """
    from receiver.serving.server import run_server

    run_server(CONFIG, "receiver.wsgi:app")


COMMANDS = (serve,)
