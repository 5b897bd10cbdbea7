"""What the program says to a person names only what an installed wheel has."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from receiver.cli import main

PACKAGE = Path(__file__).resolve().parent.parent / "receiver"
OUTSIDE = re.compile(
    r"(?<![\w/])((config|docs|tests|benchmarks)/\w[\w-]*\.\w+|[A-Z]+\.md|pyproject\.toml|make \w+`)"
)
COMMAND = re.compile(r"`receiver (?!-)(\S+?)[ `]")


def docstrings_of(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            yield body[0].value


def texts_of(path: Path) -> list[str]:
    """What a module or a template may print."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return [text]
    tree = ast.parse(text)
    silent = set(docstrings_of(tree))
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in silent
    ]


def said() -> Iterator[tuple[str, str]]:
    for path in sorted(PACKAGE.rglob("*")):
        if path.suffix in {".py", ".html", ".js", ".example"} and "vendor" not in path.parts:
            yield from ((str(path.relative_to(PACKAGE)), text) for text in texts_of(path))
    for name in ("", *main.commands):
        yield f"--help of {name}", CliRunner().invoke(main, [*filter(None, [name]), "--help"]).output


SAID = list(said())


def test_no_message_names_a_file_that_only_the_repository_has() -> None:
    assert not [(where, found[0]) for where, text in SAID for found in OUTSIDE.finditer(text)]


def test_every_command_that_a_message_names_exists() -> None:
    named = {(where, name) for where, text in SAID for name in COMMAND.findall(text)}
    assert {name for _, name in named} >= {"upgrade", "settings", "check"}
    assert not [reference for reference in named if reference[1] not in main.commands]


@pytest.mark.parametrize(
    "text",
    ["config/nginx.conf does", "see docs/api.md", "CHANGELOG.md says", "run `make demo`", "(tests/world.py)"],
)
def test_a_file_of_the_repository_is_found_wherever_it_is_named(text: str) -> None:
    assert OUTSIDE.search(text)
