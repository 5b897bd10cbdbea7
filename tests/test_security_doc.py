"""docs/security.md promises nothing without a test."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)((?:::\w+)*)`", TEXT)))
PROMISES = [
    line
    for section in re.split(r"^## ", TEXT, flags=re.MULTILINE)
    if "can do at most" in section.splitlines()[0] or "a callback can do" in section.splitlines()[0]
    for line in section.splitlines()[4:]
    if line.startswith("| ")
]


def test_many_tests_are_named() -> None:
    assert len(NAMED) > 40
    assert len(PROMISES) > 30


@pytest.mark.parametrize(("path", "name"), NAMED, ids=lambda part: part.rsplit("::", 1)[-1])
def test_each_test_that_is_named_is_there(path: str, name: str) -> None:
    source = (ROOT / path).read_text(encoding="utf-8")
    for part in filter(None, name.split("::")):
        assert re.search(rf"^\s*(def|class) {part}\b", source, flags=re.MULTILINE), f"{path} has no {part}"


@pytest.mark.parametrize("line", PROMISES, ids=lambda line: line[2:40])
def test_each_promise_names_its_test(line: str) -> None:
    assert "`tests/" in line.rsplit(" | ", 1)[-1]
