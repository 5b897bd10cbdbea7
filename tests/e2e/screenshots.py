"""Screenshots of every admin page, to be reviewed by people: `make screenshots`, or with arguments `--help`.

Filled by the demo with every kind of trouble; empty; or on a database of your own, such as the benchmarks' million.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.servers.processes import deployed

RECEIVER = Path(sys.executable).with_name("receiver")
DEMO_TASKS, DEMO_SEED = 60, 20
DEMO_TAKES_S = 180
MODES = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 900}},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}, "is_mobile": True},
}
# The README's pictures: the page, its color scheme and height. Titles need fonts for Chinese and emoji.
README_PICTURES = {
    "admin": ("tasks", "light", 1000),
    "admin-task": ("task", "dark", 1250),
    "admin-activity": ("activity", "light", 740),
}


@contextmanager
def demo() -> Iterator[tuple[str, str]]:
    """A demo whose tasks are all settled: its address and password."""
    command = [str(RECEIVER), "demo", "--tasks", str(DEMO_TASKS), "--seed", str(DEMO_SEED)]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"COLUMNS": "200"}
    )
    try:
        output, deadline = "", time.monotonic() + DEMO_TAKES_S
        assert process.stderr
        while "Every task is settled" not in output and time.monotonic() < deadline:
            output += process.stderr.readline()
        address, password = (
            re.search(r"Admin page: (\S+)", output),
            re.search(r"Admin password: (\S+)", output),
        )
        assert address and password, output
        yield address[1], password[1]
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def receiver_on(database: Path | None) -> Iterator[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        # Without polling, which would change what is in the database.
        changes = {"DATABASE_URL": f"sqlite:///{database.resolve()}", "POLLER": "off"} if database else {}
        with deployed(Path(folder), **changes) as (running,):
            yield f"{running.url}/admin/", "correct horse"


def pages_of(page: Page, home: str) -> Iterator[tuple[str, str]]:
    """The pages by name; tasks that show most are chosen by what the lists say."""
    yield "tasks", home
    yield "tasks-found", f"{home}?outcome=succeeded&flag=recovered"
    yield "nothing-matches", f"{home}?q=no+such+words"
    for name, query in {"task": "?flag=conflict", "task-failed": "?outcome=failed"}.items():
        page.goto(home + query)
        link = page.locator("table.cards a.name").first
        if link.count():
            yield name, home + str(link.get_attribute("href")).removeprefix("/admin/")
    yield "quarantine", f"{home}quarantine"
    yield "read-again", f"{home}quarantine/read-again"
    yield "activity", f"{home}activity?days=1"
    yield "actions", f"{home}actions"
    yield "acknowledge", f"{home}acknowledge"
    yield "no-such-page", f"{home}nowhere"


def sign_in(page: Page, home: str, password: str) -> None:
    page.get_by_label("Password").fill(password)
    page.keyboard.press("Enter")
    page.wait_for_url(home)


def take_for_readme(browser: Browser, where: tuple[str, str], folder: Path) -> None:
    home, password = where
    for picture, (name, scheme, height) in README_PICTURES.items():
        context = browser.new_context(
            color_scheme=scheme,  # type: ignore[arg-type]
            viewport={"width": 1280, "height": height},
        )
        page = context.new_page()
        page.goto(home)
        sign_in(page, home, password)
        page.goto(dict(pages_of(page, home))[name].replace("days=1", "days=30"))
        page.wait_for_load_state("networkidle")
        page.screenshot(path=folder / f"{picture}.png")
        context.close()


def take(browser: Browser, where: tuple[str, str], folder: Path, prefix: str) -> None:
    home, password = where
    for mode, options in MODES.items():
        context = browser.new_context(**options)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(home)
        page.screenshot(path=folder / f"{prefix}sign-in-{mode}.png")
        sign_in(page, home, password)
        for name, address in list(pages_of(page, home)):
            page.goto(address)
            page.wait_for_load_state("networkidle")
            page.screenshot(path=folder / f"{prefix}{name}-{mode}.png", full_page=True)
        context.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--empty", action="store_true", help="of an empty receiver")
    parser.add_argument("--readme", action="store_true", help="only the README's pictures")
    parser.add_argument("--database", type=Path, help="of a receiver on this SQLite file")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or sys.exit("Chromium is not installed.")
    source = receiver_on(options.database) if options.empty or options.database else demo()
    prefix = "empty-" if options.empty else "own-" if options.database else ""
    with source as where, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        if options.readme:
            take_for_readme(browser, where, options.folder)
        else:
            take(browser, where, options.folder, prefix)
        browser.close()


if __name__ == "__main__":
    main()
