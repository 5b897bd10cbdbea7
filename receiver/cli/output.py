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

PIPE_WIDTH = 500  # what goes on to another program is not cut
# A terminal obeys these instead of showing them: controls, line ends, changes of the writing direction.
CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def example(*lines: str) -> str:
    """The end of a command's help."""
    return "\n".join(["\b", "Example:", *(f"  {line}" for line in lines)])


def print_result(data: Any, words: str, *, as_json: bool) -> None:
    """Print the result of a command as JSON, or in words."""
    click.echo(json.dumps(data) if as_json else "\n".join(map(printable, words.split("\n"))))


def notify(words: str) -> None:
    """Print on standard error, on one line however narrow the terminal is: a URL can then be copied."""
    console.print(words, soft_wrap=True, markup=False)


def printable(text: str) -> str:
    """The text without control characters: titles come from outside."""
    return CONTROL_CHARACTERS.sub("\N{REPLACEMENT CHARACTER}", text)


def table_console() -> Console:
    """Where tables are printed."""
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)


def count(number: int, noun: str) -> str:
    """The number and its noun: `1 body`, `2 bodies`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


@contextmanager
def progress(words: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, if that is a terminal; call the result with how much of how much is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as shown:
        bar = shown.add_task(words, total=None)
        yield lambda done, total: shown.update(bar, completed=done, total=total)
