"""The page's own files: listed, unchanged, kept by browsers, and nothing else is served."""

import hashlib
import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from receiver.web.admin.assets import FOLDER

VENDOR = FOLDER / "vendor"
FILES = sorted(path for path in FOLDER.rglob("*") if path.suffix in {".js", ".css", ".svg"})


def test_every_vendored_file_is_listed_with_version_licence_and_hash() -> None:
    listed = (VENDOR / "README.md").read_text(encoding="utf-8")
    hashes = {name: digest for digest, name in re.findall(r"^([0-9a-f]{64})  (\S+)$", listed, re.MULTILINE)}
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FILES if path.parent == VENDOR
    }
    assert hashes == found
    for row in re.findall(r"^\| `.*$", listed, re.MULTILINE):
        assert re.search(r"\| \d+\.\d+\.\d+ \|", row), "a version"
        licence = re.search(r"`(\S+\.LICENSE)`", row)
        assert licence
        assert (VENDOR / licence[1]).read_text(encoding="utf-8").strip()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_asks_another_host_or_needs_what_the_policy_forbids(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    addresses = set(re.findall(r"https?://[\w.-]+", text)) - {"http://www.w3.org", "https://github.com"}
    assert not addresses
    assert "sourceMappingURL" not in text
    assert not re.search(r"\beval\(|new Function\(|@import", text)


def test_a_page_asks_for_its_files_by_what_is_in_them_and_they_may_be_kept(client: FlaskClient) -> None:
    text = client.get("/admin/sign-in").text
    found = re.findall(r'(?:src|href)="(/admin/static/[^"]+)"', text)
    assert len(found) >= 4
    for address in found:
        with client.get(address) as answer:
            assert answer.status_code == 200
            assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_under_another_version_a_file_is_asked_for_each_time(client: FlaskClient) -> None:
    for query in ("", "?v=0000000000000000"):
        with client.get(f"/admin/static/admin.css{query}") as answer:
            assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-cache")


@pytest.mark.parametrize("name", ["../admin/session.py", "%2e%2e/__init__.py", "no-such.js", "vendor/"])
def test_nothing_else_is_served(client: FlaskClient, name: str) -> None:
    answer = client.get(f"/admin/static/{name}")
    assert answer.status_code in (303, 404)
    assert answer.headers["Cache-Control"] == "no-store"
