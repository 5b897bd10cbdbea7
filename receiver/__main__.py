"""`python -m receiver`: the same as the `receiver` command."""

import sys

if not sys.flags.safe_path:
    del sys.path[0]  # the working folder: a file there may be named as any module

from receiver.cli import main

main(prog_name="receiver")
