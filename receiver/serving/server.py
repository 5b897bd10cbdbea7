"""gunicorn in this process, for `receiver serve`."""

import os
import sys
from pathlib import Path

from gunicorn.app.wsgiapp import WSGIApplication


class Server(WSGIApplication):  # type: ignore[misc]
    """gunicorn that imports nothing from the working folder: a file there may be named as any module."""

    def chdir(self) -> None:
        os.chdir(self.cfg.chdir)


def run_server(config: Path, application: str) -> None:
    """Serve until a signal ends it; leaves by SystemExit with gunicorn's exit code."""
    sys.argv[1:] = ["-c", str(config), application]  # gunicorn parses them again at each reload
    Server(prog="receiver serve").run()
