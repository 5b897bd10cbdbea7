"""How commands print: results, tables, progress."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

console = Console(stderr=True)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

WIDE = 500  # what goes on to another program is not cut
# What a terminal obeys instead of showing it: controls, line ends, turns of the writing direction.
CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def example(*lines: str) -> str:
    """The end of a command's help."""
    return "\n".join(["\b", "Example:", *(f"  {line}" for line in lines)])


def print_result(data: Any, words: str, *, as_json: bool) -> None:
    """Print the result of a command as JSON, or in words."""
    click.echo(json.dumps(data) if as_json else "\n".join(map(printable, words.split("\n"))))


def printable(text: str) -> str:
    """A line for the terminal, whoever wrote it: titles come from outside."""
    return CONTROL_CHARACTERS.sub("\N{REPLACEMENT CHARACTER}", text)


def table_console() -> Console:
    """Where tables are printed."""
    return Console(width=None if sys.stdout.isatty() else WIDE)


@contextmanager
def progress(words: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, where a person looks at it; it is told how much of how much is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as shown:
        bar = shown.add_task(words, total=None)
        yield lambda done, total: shown.update(bar, completed=done, total=total)
