"""An open page refreshes itself without disturbing its reader."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.conftest import eventually
from tests.e2e.browsing import Site, at_task, open_everything, track, visiting


@pytest.fixture
def timed(signed_in: BrowserContext) -> Iterator[Page]:
    """A page whose clock the test sets forward, so that it need not wait to be renewed."""
    page = signed_in.new_page()
    page.clock.install()
    yield page
    page.close()


def renewed(page: Page, words: str) -> bool:
    page.clock.run_for(9000)
    return words in page.locator("main").inner_text()


SELECT, LEAVE = "getSelection().selectAllChildren(document.body)", "getSelection().removeAllRanges()"
FOCUS, BLUR = "document.getElementById('label').focus()", "document.activeElement.blur()"


@pytest.mark.parametrize(("busy", "idle"), [(SELECT, LEAVE), (FOCUS, BLUR)], ids=["selects", "types"])
def test_a_page_waits_with_refreshing_while_its_reader_selects_or_types(
    site: Site, timed: Page, busy: str, idle: str
) -> None:
    site.register("waits-1", "before")
    timed.goto(at_task("waits-1"))
    timed.evaluate(busy)
    news = f"label after {len(busy)}"
    site.register("waits-1", news.removeprefix("label "))
    live = timed.locator("#live")
    eventually(
        lambda: not renewed(timed, news) and live.inner_text() == "Auto-refresh: paused while you read"
    )
    timed.evaluate(idle)
    eventually(lambda: renewed(timed, news))


def test_what_a_reader_has_opened_stays_open_when_the_page_renews_itself(site: Site, timed: Page) -> None:
    site.register("open-1")
    site.send_callback("open-1", "text", [{"id": "k", "title": "Open", "prompt": "la " * 200}])
    timed.goto(at_task("open-1"))
    open_everything(timed)
    before = timed.locator("main details[open] > summary").all_inner_texts()
    site.send_callback("open-1", "first", [track("k", title="Open")])
    eventually(lambda: renewed(timed, "FIRST_SUCCESS"))
    opened = timed.locator("main details[open] > summary").all_inner_texts()
    closed = timed.locator("main details:not([open]) > summary").all_inner_texts()
    assert (len(opened), len(closed)) == (len(before), 1), f"only the new body is closed, not {closed}"


def test_what_is_typed_or_chosen_but_not_sent_yet_survives_a_renewal(site: Site, timed: Page) -> None:
    timed.goto("./")
    timed.locator("#q").fill("half a thought")
    timed.locator("#outcome").select_option("failed")
    timed.evaluate(BLUR)
    site.register("typing-1")
    eventually(lambda: renewed(timed, "typing-1"))
    values = [timed.locator(field).input_value() for field in ("#q", "#outcome")]
    assert values == ["half a thought", "failed"]


def test_the_live_button_stops_renewing_and_starts_it_again(site: Site, timed: Page) -> None:
    asked: list[str] = []
    timed.on(
        "request", lambda request: asked.append(request.url) if request.resource_type == "fetch" else None
    )
    site.register("live-1")
    timed.goto(at_task("live-1"))
    timed.get_by_role("button", name="Auto-refresh: on").click()
    expect(timed.get_by_role("button", name="Auto-refresh: off", pressed=False)).to_be_visible()
    timed.clock.run_for(60_000)
    assert asked == []
    timed.get_by_role("button", name="Auto-refresh: off").click()
    site.register("live-1", "changed again")
    eventually(lambda: renewed(timed, "label changed again"))


def test_a_click_on_plain_content_does_not_stop_it(site: Site, timed: Page) -> None:
    timed.goto("./")
    timed.locator("h1").click()
    site.register("click-1")
    eventually(lambda: renewed(timed, "click-1"))


def test_title_icon_and_banner_are_refreshed_even_while_the_page_is_read(
    site: Site, browser: Browser
) -> None:
    with visiting(browser, site) as page:
        page.clock.install()
        page.goto("./")
        shown = page.locator("#health").inner_text()
        page.evaluate(SELECT)
        site.send_callback("reading-1", "complete", code=500)
        site.send_callback("reading-1", "complete", [track("k")])
        eventually(lambda: not renewed(page, "reading-1") and page.locator("#health").inner_text() != shown)
        assert page.title().startswith("⚠")
        assert "problem.svg" in str(page.locator("link[rel=icon]").get_attribute("href"))


def test_a_page_that_cannot_be_refreshed_says_so(site: Site, browser: Browser) -> None:
    with visiting(browser, site) as page:
        page.clock.install()
        page.goto("./")
        page.context.set_offline(True)
        eventually(lambda: "Refresh failed, trying again. Showing data from" in alert(page))
        assert page.title().startswith("⚠")
        expect(page.locator(".verdict")).to_have_text("? Status unknown")
        page.context.set_offline(False)
        eventually(lambda: alert(page) == "")
        expect(page.locator(".verdict")).not_to_have_text("? Status unknown")
        page.context.clear_cookies()
        eventually(lambda: "You are signed out" in alert(page))
        expect(page.locator(".verdict")).to_have_text("? Status unknown")


def alert(page: Page) -> str:
    page.clock.run_for(9000)
    return " ".join(page.get_by_role("alert").all_inner_texts())
