"""The admin page as a person meets it: a real Chromium, against the real command."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, sync_playwright

from receiver.simulator import Simulator, SimulatorServer
from tests.conftest import PAYLOADS, eventually, need
from tests.e2e.deployment import Deployment, deployed

HOSTILE = "<script>document.body.id='taken'</script>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = need("chromium", shutil.which("chromium"))
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Deployment]:
    with SimulatorServer(Simulator(api_key="upstream-key")) as upstream:
        rows = [{"id": "a", "audioUrl": "https://example.org/a.mp3", "title": HOSTILE}]
        told = {"taskId": "hostile", "status": "SUCCESS", "response": {"sunoData": rows}}
        upstream.simulator.put("hostile", {"code": 200, "data": told})
        with deployed(tmp_path, UPSTREAM_URL=upstream.url, POLL_TICK="0.2") as (running,):
            yield running


def test_a_person_signs_in_finds_a_task_and_has_it_polled(browser: Browser, receiver: Deployment) -> None:
    receiver.post("/api/tasks", {"taskId": "hostile", "label": "mine"})
    requests.post(
        receiver.callback_url, data=(PAYLOADS / "cb-music-text-null-data.json").read_bytes(), timeout=20
    )
    context = browser.new_context()
    page = context.new_page()
    blocked: list[str] = []
    page.on("console", lambda message: blocked.append(message.text) if message.type == "error" else None)
    page.goto(f"{receiver.url}/admin/")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    assert "Tasks" not in page.locator("h1").inner_text()
    page.get_by_label("Password").fill("correct horse")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="hostile").first.click()
    page.get_by_role("button", name="Poll now").click()
    eventually(lambda: receiver.get("/api/tasks/hostile")["outcome"] == "succeeded", why="it was polled")
    page.reload()
    assert page.get_by_text("succeeded").count() > 0
    assert page.get_by_text(HOSTILE).count() > 0, "shown as text"
    assert page.locator("#taken").count() == 0, "never run"
    assert [text for text in blocked if "Content Security Policy" in text] == []
    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{receiver.url}/admin/tasks/hostile")
    assert page.get_by_label("Password").count() == 1
    context.close()
