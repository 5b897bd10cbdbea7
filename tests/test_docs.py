"""The documents are short sentences, lines that fit a screen, and links that lead somewhere."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from receiver.app import build_app
from receiver.core.alarms import AlarmName
from receiver.runtime import Runtime

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "receiver"
README = ROOT / "README.md"
DOCUMENTS = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PARSER = MarkdownIt("commonmark").enable("table")

MAX_WORDS = 25
MAX_MEDIAN_WORDS = 15
MAX_COLUMNS = 120
MAX_README_LINES = 130

SENTENCE_END = re.compile(r"(?<=[.!?])\W*\s+")
WORD = re.compile(r"\S*\w\S*")
OLD_WORDS = {"told", "tell", "tells", "telling", "heard", "hears", "he", "his", "him", "himself"}

every_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)


def tokens_of(path: Path) -> list[Token]:
    return PARSER.parse(path.read_text(encoding="utf-8"))


def sentences_of(path: Path, *, cells: bool = True) -> Iterator[str]:
    """The sentences of paragraphs, list items and, if wanted, table cells; code counts as one word."""
    tokens = tokens_of(path)
    left_out = {"heading_open"} | (set() if cells else {"th_open", "td_open"})
    for before, token in pairwise(tokens):
        if token.type == "inline" and before.type not in left_out:
            yield from filter(WORD.search, SENTENCE_END.split(_plain_text(token)))


def _plain_text(inline: Token) -> str:
    texts = {"code_inline": "Code", "softbreak": " ", "hardbreak": " ", "image": ""}
    return "".join(texts.get(child.type, child.content) for child in inline.children or [])


def anchors_of(path: Path) -> set[str]:
    """The anchors that GitHub makes of the headings."""
    tokens = tokens_of(path)
    titles = [
        "".join(child.content for child in token.children or [])
        for before, token in pairwise(tokens)
        if before.type == "heading_open"
    ]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links_of(path: Path) -> Iterator[str]:
    for token in tokens_of(path):
        for child in token.children or []:
            target = child.attrGet("href") if child.type == "link_open" else child.attrGet("src")
            if target is not None:
                yield str(target)


@every_document
def test_every_sentence_is_short(path: Path) -> None:
    long = [sentence for sentence in sentences_of(path) if len(WORD.findall(sentence)) > MAX_WORDS]
    assert not long, f"over {MAX_WORDS} words:\n" + "\n".join(long)


def test_the_readme_reads_quickly() -> None:
    words = [len(WORD.findall(sentence)) for sentence in sentences_of(README, cells=False)]
    assert median(words) <= MAX_MEDIAN_WORDS
    assert len(README.read_text(encoding="utf-8").splitlines()) <= MAX_README_LINES


@every_document
def test_the_words_are_those_of_the_field(path: Path) -> None:
    """Deliveries report, persons are "they": words that once stood for many things, or for a man, stay out."""
    found = [
        (word, s)
        for s in sentences_of(path)
        for word in WORD.findall(s.lower())
        if word.strip(".,:;()") in OLD_WORDS
    ]
    assert not found


@every_document
def test_lines_fit_a_screen(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    long = [line for line in lines if len(line) > MAX_COLUMNS and not line.startswith("|")]
    assert not long, f"over {MAX_COLUMNS} columns; only a table's row may be longer"


@every_document
def test_every_link_leads_somewhere(path: Path) -> None:
    for link in links_of(path):
        parts = urlsplit(link)
        if parts.scheme:
            continue
        target = (path.parent / parts.path).resolve() if parts.path else path
        assert target.exists(), f"{link} leads nowhere"
        if parts.fragment:
            assert parts.fragment in anchors_of(target), f"{link}: {target.name} has no such heading"


def test_the_readme_links_to_every_document() -> None:
    linked = {(ROOT / urlsplit(link).path).resolve() for link in links_of(README)}
    assert set(DOCUMENTS) - {README} <= linked


@every_document
def test_nothing_refers_to_a_document_that_is_not_here(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\b[Ss]ection \d", text)
    named = re.findall(r"(?<![\w/.…<-])((?:docs|config|tests|benchmarks|receiver)/[\w./-]*\w\.\w+)", text)
    assert not [name for name in named if not (ROOT / name).exists()]


def test_every_alarm_is_documented() -> None:
    assert first_cells("metrics.md") >= set(AlarmName)


def test_every_metric_is_documented(runtime: Runtime) -> None:
    text = build_app(runtime).test_client().get("/metrics").text
    names = re.findall(r"^# TYPE (receiver_\w+)", text, flags=re.MULTILINE)
    assert {name for name in names if not name.endswith("_created")} == first_cells("metrics.md") - set(
        AlarmName
    )


def test_the_layout_names_each_part_of_the_program() -> None:
    parts = {f"{path.parent.relative_to(PACKAGE)}/" for path in PACKAGE.rglob("__init__.py")} - {
        "./",
        "store/migrations/versions/",
    }
    modules = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
    assert first_cells("../CONTRIBUTING.md") == parts | modules


def first_cells(document: str) -> set[str]:
    """What stands as code in the first column of the tables."""
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]*) \|", text, flags=re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)} - {"receiver/"}


def test_each_task_of_operations_has_one_block_of_commands() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    blocks = {part.splitlines()[0]: part.count("\n```") // 2 for part in text.split("\n## ")[1:]}
    assert len(blocks) > 20
    assert {heading for heading, count in blocks.items() if count != 1} == set()
