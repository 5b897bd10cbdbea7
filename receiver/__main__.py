"""`python -m receiver`: the same as the `receiver` command."""

from receiver.cli import main

main(prog_name="receiver")
