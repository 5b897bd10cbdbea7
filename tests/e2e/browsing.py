"""What the tests in a browser share: a Chromium, and a receiver that is filled with something of everything."""

import json
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Response, StorageState, sync_playwright

from receiver.simulator import Simulator, SimulatorServer
from tests.conftest import PAYLOADS, eventually, need
from tests.servers.processes import Deployment, deployed

PASSWORD = "correct horse"
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
MEDIA = "https://media.example.org"
NO_HOSTS = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
FLOWING = {"POLL_TICK": "0.2", "POLL_LIMIT": "20/second"}

OVERRIDE = "\N{RIGHT-TO-LEFT OVERRIDE}"
SCRIPT = "<script>window.taken = 1; alert(1)</script><img src=x onerror='window.taken = 1'>"
HOSTILE = f"{OVERRIDE}{SCRIPT}"
HOSTILE_ID = """'"><script>window.taken=1<!--?a=b#c%2F&amp;"""
HOSTILE_URLS = (
    "javascript:alert(1)",
    " JaVaScRiPt:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "data:image/svg+xml,<svg onload=alert(1)>",
    "vbscript:alert(1)",
    "//media.example.org/a",
    f'{MEDIA}/"onmouseover="alert(1)',
    f"{MEDIA}/a.mp3?'><script>window.taken=1</script>",
)


def track(key: str, **fields: object) -> dict[str, object]:
    media = {"audioUrl": f"{MEDIA}/{key}.mp3", "imageUrl": f"{MEDIA}/{key}.jpg"}
    return {"id": key, "title": f"Song {key}", "duration": 120.5, "tags": "piano, calm", **media, **fields}


HOSTILE_TRACKS = [
    track(
        f"{HOSTILE_ID}{number}",
        title=f"{HOSTILE}{'wide' * 750}" if number == 0 else f"{HOSTILE} {number}",
        prompt=f"{HOSTILE}\n" * 20,
        tags="x" * 3000 if number == 1 else HOSTILE,
        modelName=HOSTILE,
        **{name: HOSTILE_URLS[(number + place) % len(HOSTILE_URLS)] for place, name in enumerate(
            ("sourceStreamAudioUrl", "imageUrl", "sourceAudioUrl", "streamAudioUrl", "sourceImageUrl"))},
    )
    for number in range(10)
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Site:
    """A receiver with its upstream and its file; `signed_in` is what a browser keeps that has signed in."""

    receiver: Deployment
    upstream: Simulator
    file: Path
    signed_in: StorageState = field(default_factory=lambda: StorageState(cookies=[], origins=[]))

    def call_back(self, body: object) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        assert self.receiver.session.post(self.receiver.callback_url, data=raw, timeout=20).status_code < 500

    def send_callback(self, task_id: str, stage: str = "complete", rows: object = (), **rest: object) -> None:
        data = {"callbackType": stage, "task_id": task_id, "data": rows}
        self.call_back({"code": 200, "msg": "All generated successfully.", "data": data} | rest)

    def answers(self, task_id: str, status: str, rows: Iterable[object] = (), **rest: object) -> None:
        """From now on record-info says this."""
        data = {"taskId": task_id, "status": status, "response": {"sunoData": list(rows)}, **rest}
        self.upstream.put(task_id, {"code": 200, "msg": "success", "data": data})

    def register(self, task_id: str, label: str | None = None) -> None:
        self.receiver.post("/api/tasks", {"taskId": task_id, "label": label})

    def poll(self, task_id: str) -> None:
        """Have it polled, and wait until it is."""
        before = self.polls(task_id)
        self.receiver.post(f"/api/tasks/{quote(task_id, safe='')}/poll")
        eventually(lambda: self.polls(task_id) > before, why=f"{task_id} is polled")

    def task(self, task_id: str) -> Mapping[str, Any]:
        return dict(self.receiver.get(f"/api/tasks/{quote(task_id, safe='')}"))

    def polls(self, task_id: str) -> int:
        return int(self.query("SELECT polls FROM task WHERE task_id = ?", task_id)[0][0])

    def query(self, statement: str, *values: object) -> list[Any]:
        with closing(sqlite3.connect(self.file, timeout=20)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    def quarantine_readable(self, task_id: str) -> int:
        """A delivery that stands in quarantine as an older version left it, and that this one can read."""
        self.register(task_id)
        self.send_callback(task_id, rows="odd")
        data = {
            "callbackType": "complete",
            "task_id": task_id,
            "data": [track("late", title=f"of {task_id}")],
        }
        body = json.dumps({"code": 200, "data": data}).encode()
        found = "UPDATE delivery SET body = ? WHERE task_id = ? AND result = 'quarantined' RETURNING id"
        return int(self.query(found, body, task_id)[0][0])


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = need("chromium", shutil.which("chromium"))
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", NO_HOSTS])
        yield running
        running.close()


@contextmanager
def new_site(browser: Browser, folder: Path) -> Iterator[Site]:
    with (
        SimulatorServer(Simulator(api_key="upstream-key")) as upstream,
        deployed(folder, UPSTREAM_URL=upstream.url, **FLOWING) as (receiver,),
    ):
        site = Site(receiver=receiver, upstream=upstream.simulator, file=folder / "receiver.db")
        eventually(lambda: receiver.poller["holder"], why="a poller holds the lease")
        with visiting(browser, site) as page:
            page.goto("./")
            sign_in(page)
            storage_state = page.context.storage_state()
        yield Site(**vars(site) | {"signed_in": storage_state})
        receiver.session.close()  # gunicorn waits for connections that are kept alive


@pytest.fixture(scope="session")
def site(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with new_site(browser, tmp_path_factory.mktemp("site")) as filled:
        fill(filled)
        yield filled


def fill(site: Site) -> None:
    """Tasks with every outcome and badge, a task of nothing but attacks, and a quarantine with every cause."""
    site.register("pending-1", "order 17")
    site.register("text-1")
    site.send_callback("text-1", "text", [{"id": "t", "title": "Dawn chorus"}])
    site.send_callback("orphan-1", "first", [track("o", title="Whose is it")])
    site.register("good-1", "order 18")
    site.send_callback("good-1", rows=[track("g", title="Harbour lights")])
    site.answers(
        "recovered-1", "SUCCESS", [track("r", title="Found again"), track("r2", title="Found again")]
    )
    site.answers("failed-1", "GENERATE_AUDIO_FAILED", errorCode=400, errorMessage="no credits")
    site.answers("differs-1", "SUCCESS", [track("d", title="By record-info", duration=99)])
    site.answers("conflict-1", "SUCCESS", [track("c", title="Yet it moves"), track("c2")])
    site.answers(HOSTILE_ID, "SUCCESS", HOSTILE_TRACKS, param=HOSTILE, errorMessage=HOSTILE, type=HOSTILE)
    site.answers("odd-word-1", f"{HOSTILE}{'LONG' * 100}")
    for task_id in ("recovered-1", "failed-1", "differs-1", "conflict-1", HOSTILE_ID, "odd-word-1"):
        site.register(task_id, HOSTILE if task_id == HOSTILE_ID else None)
    site.send_callback("conflict-1", "error", None, code=531, msg="gone wrong")
    site.send_callback("failed-1", "error", None, code=400, msg="no credits")
    site.send_callback("differs-1", rows=[track("d", title="By the callback", duration=98)])
    site.send_callback(HOSTILE_ID, "error", HOSTILE_TRACKS, code=531, msg=HOSTILE)
    site.call_back((PAYLOADS / "cb-lyrics-complete-docs-sunoapi.json").read_bytes())
    for body in (SCRIPT.encode(), {"code": 200, "data": {"callbackType": HOSTILE}}):
        site.call_back(body)
    site.send_callback("odd-1", rows=HOSTILE)
    for task_id in ("recovered-1", "differs-1", HOSTILE_ID, "odd-word-1"):
        site.poll(task_id)
    settling = ("recovered-1", "failed-1", "differs-1", "conflict-1", HOSTILE_ID)
    eventually(
        lambda: all(site.task(name)["outcome"] != "in_progress" for name in settling),
        why="all of them settle",
    )


@contextmanager
def visiting(browser: Browser, site: Site, **options: Any) -> Iterator[Page]:
    """A page in a browser of its own that is signed in where the site is."""
    given = {"base_url": f"{site.receiver.url}/admin/", "storage_state": site.signed_in} | options
    context = browser.new_context(**given)
    context.set_default_timeout(15_000)
    try:
        yield context.new_page()
    finally:
        context.close()


@pytest.fixture(scope="session")
def signed_in(browser: Browser, site: Site) -> Iterator[BrowserContext]:
    """One browser for all tests that need no other, so that it loads the page's own files once."""
    with visiting(browser, site) as page:
        yield page.context


@pytest.fixture
def page(signed_in: BrowserContext) -> Iterator[Page]:
    page = signed_in.new_page()
    yield page
    page.close()


def sign_in(page: Page, password: str = PASSWORD) -> Response:
    page.get_by_label("Password").fill(password)
    with page.expect_navigation() as navigation:
        page.keyboard.press("Enter")
    return navigation.value


def at_task(task_id: str) -> str:
    return f"tasks/{quote(task_id, safe='')}"


# Every kind of page, by what it shows; the address is below `/admin/`.
PAGES = {
    "tasks": "./",
    "tasks found": "?outcome=succeeded&flag=recovered",
    "nothing matches": "?q=no+such+words",
    "task": at_task("conflict-1"),
    "task that differs": at_task("differs-1"),
    "task without tracks": at_task("pending-1"),
    "hostile task": at_task(HOSTILE_ID),
    "task in an odd word": at_task("odd-word-1"),
    "quarantine": "quarantine?seen=yes",
    "read again": "quarantine/read-again?seen=yes",
    "activity": "activity?days=1",
    "actions": "actions",
    "acknowledge": "acknowledge",
    "error": "nowhere",
}


def open_everything(page: Page, *, most: int = 1000) -> None:
    """Open all that is folded, as a person who reads everything would; or the first so many."""
    page.evaluate(
        "n => [...document.querySelectorAll('details')].slice(0, n).map(one => one.open = true)", most
    )


# What sticks out on a phone. The window itself grows with what sticks out of it, so it is no measure.
SIDEWAYS = """() => document.documentElement.scrollWidth <= 390 ? [] :
  [...document.querySelectorAll('body *')].filter(one => one.getBoundingClientRect().right > 390.5
    && !one.parentElement.closest('.scroll, pre, .json, .skip, .hidden')).map(one => one.outerHTML.slice(0, 120))"""
REACHABLE = """() => [...document.querySelectorAll('*')].flatMap((one, number) =>
  one.matches('a[href], button, input, select, summary, audio, [tabindex="0"]') && one.checkVisibility()
  && one.type !== 'hidden' ? [[number, one.outerHTML.slice(0, 120)]] : [])"""
