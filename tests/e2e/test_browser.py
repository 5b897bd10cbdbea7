"""The admin page as a person meets it: a real Chromium, against the real command."""

import json
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import eventually
from tests.e2e.browsing import (
    HOSTILE_ID,
    MEDIA,
    PAGES,
    Site,
    at_task,
    open_everything,
    sign_in,
    track,
    visiting,
)


def rows(page: Page) -> set[str]:
    return set(page.locator("#rows .what .id").all_inner_texts())


def filter_by(page: Page, **chosen: str) -> None:
    for name, value in chosen.items():
        page.locator(f"select#{name}").select_option(value)
    with page.expect_navigation():
        page.get_by_role("button", name="Filter").click()


def chosen_in_address(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def test_signing_in_leads_to_the_page_that_was_asked_for(browser: Browser, site: Site) -> None:
    with visiting(browser, site, storage_state=None) as page:
        page.goto(at_task("good-1"))
        assert sign_in(page, "wrong").status == 403
        expect(page.get_by_role("alert")).to_contain_text("Wrong password")
        assert "Harbour lights" not in page.content()
        sign_in(page)
        expect(page.locator("h1")).to_have_text("Harbour lights")


def test_wrong_passwords_make_the_sign_in_wait_and_say_how_long(browser: Browser, site: Site) -> None:
    with visiting(browser, site, storage_state=None) as page:
        page.goto("./")
        eventually(lambda: sign_in(page, "wrong").status == 429)
        expect(page.get_by_role("alert")).to_contain_text("Try again in")
        eventually(
            lambda: "sign-in" not in sign_in(page).url, why="it is over after the seconds that the page names"
        )


def test_filters_combine_stand_in_the_address_and_can_be_cleared(page: Page) -> None:
    page.goto("./")
    everything = rows(page)
    filter_by(page, outcome="failed")
    assert rows(page) == {"failed-1"}
    filter_by(page, outcome="succeeded", status="SUCCESS", flag="recovered")
    assert {"recovered-1", "conflict-1"} <= rows(page) and "good-1" not in rows(page)
    assert chosen_in_address(page) == {"outcome": "succeeded", "status": "SUCCESS", "flag": "recovered"}
    filter_by(page, flag="conflict")
    found = rows(page)
    assert "conflict-1" in found and "recovered-1" not in found
    page.reload()
    assert rows(page) == found and page.locator("select#flag").input_value() == "conflict"
    filter_by(page, outcome="failed", flag="orphan")
    expect(page.get_by_text("No matches")).to_be_visible()
    with page.expect_navigation():
        page.get_by_role("link", name="Clear filters").first.click()
    assert rows(page) >= everything and chosen_in_address(page) == {}


@pytest.mark.parametrize(
    ("sought", "found"),
    [("chorus", "text-1"), ("harb", "good-1"), ("order 17", "pending-1"), ("differs", "differs-1")],
)
def test_a_task_is_found_by_a_word_its_label_or_the_beginning_of_its_id(
    page: Page, sought: str, found: str
) -> None:
    page.goto("./")
    page.get_by_label("Search by title").fill(sought)
    page.keyboard.press("Enter")
    page.wait_for_url("**q=*")
    assert rows(page) == {found}
    page.locator("#rows .name").click()
    expect(page.locator("header.task .id")).to_contain_text(found)


def test_polling_now_shows_in_the_open_page_what_record_info_says(site: Site, page: Page) -> None:
    site.register("now-1")
    site.answers("now-1", "PENDING")
    page.goto(at_task("now-1"))
    expect(page.locator(".flags")).to_contain_text("pending")
    page.get_by_role("button", name="Poll now").click()
    expect(page.get_by_role("status").filter(has_text="Poll queued")).to_be_visible()
    eventually(lambda: site.polls("now-1") == 1)  # a request during a poll would be part of it
    page.evaluate("window.same = true")
    site.answers("now-1", "SUCCESS", [track("n", title="Just now")])
    site.poll("now-1")
    expect(page.locator(".flags")).to_contain_text("succeeded", timeout=20_000)
    assert page.title().endswith("Just now · Receiver")
    story = page.locator("ol.timeline")
    expect(story.filter(has_text="poll requested by admin page from 127.0.0.1")).to_be_visible()
    expect(story.locator("li", has_text="poll SUCCESS")).to_contain_text("accepted")
    assert page.evaluate("window.same"), "the page was never loaded again"


def test_a_field_that_differs_stands_with_both_values(page: Page) -> None:
    page.goto(at_task("differs-1"))
    expect(page.locator(".difference")).to_contain_text("2 fields differ")
    cells = page.locator("tr.differs td").all_inner_texts()
    assert cells == ["By the callback", "By record-info", "By record-info", "98.0", "99.0", "99.0"]


def test_a_label_is_stored_recorded_and_found(site: Site, page: Page) -> None:
    site.register("labelled-1")
    page.goto(at_task("labelled-1"))
    page.get_by_label("Up to 200 characters").fill("  for   Zoë ")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").filter(has_text="Label saved.")).to_be_visible()
    story = page.locator("ol.timeline")
    expect(story).to_contain_text("labelled by admin page from 127.0.0.1: label for Zoë")
    page.goto("?q=zoe")
    assert rows(page) == {"labelled-1"}


def test_reading_one_again_is_shown_first_and_changes_nothing_before_the_button(
    site: Site, page: Page
) -> None:
    delivery = site.quarantine_readable("late-1")
    page.goto("quarantine")
    page.locator(f"#delivery-{delivery}").get_by_role("link", name="Reprocess").click()
    expect(page.locator(".lead")).to_contain_text("1 delivery matches")
    expect(page.locator(".lead strong")).to_have_text(["1", "1", "0"])
    expect(page.locator("main")).to_contain_text("This is a preview")
    assert site.task("late-1")["tracks"] == []
    page.get_by_role("button", name="Reprocess 1 delivery").click()
    expect(page.locator(".flash")).to_contain_text("1 delivery reprocessed: 1 parsed, 1 task changed")
    assert page.locator(f"#delivery-{delivery}").count() == 0
    page.goto(at_task("late-1"))
    expect(page.locator("h1")).to_have_text("of late-1")
    expect(page.locator(f"#delivery-{delivery}")).to_contain_text("accepted")


def test_reading_all_again_tells_how_many_first_and_then_takes_in_what_can_be_read(
    site: Site, page: Page
) -> None:
    site.quarantine_readable("late-2")
    site.quarantine_readable("late-3")
    unseen = "SELECT count(*) FROM delivery WHERE result = 'quarantined' AND acknowledged_at IS NULL"
    count = site.query(unseen)[0][0]
    page.goto("quarantine")
    page.get_by_role("link", name="Reprocess or acknowledge all matching").click()
    expect(page.locator(".lead")).to_contain_text(f"{count} deliveries match")
    expect(page.locator(".lead strong")).to_have_text(["2", "2", str(count - 2)])
    assert site.query(unseen)[0][0] == count
    page.get_by_role("button", name=f"Reprocess {count} deliveries").click()
    expect(page.locator(".flash")).to_contain_text(f"{count} deliveries reprocessed: 2 parsed")
    assert site.query(unseen)[0][0] == count - 2
    assert site.task("late-2")["outcome"] == site.task("late-3")["outcome"] == "succeeded"


def test_an_acknowledged_quarantine_is_empty_and_no_alarm(site: Site, page: Page) -> None:
    site.call_back(b"neither JSON nor read")
    page.goto("quarantine")
    expect(page.locator("#health")).to_contain_text("in quarantine")
    page.get_by_role("link", name="Reprocess or acknowledge all matching").click()
    page.get_by_role("button", name="Acknowledge all matching").click()
    expect(page.get_by_text("Nothing in quarantine")).to_be_visible()
    expect(page.locator("#health")).not_to_contain_text("in quarantine")
    page.get_by_role("link", name="Show all").click()
    expect(page.get_by_text("neither JSON nor read")).to_have_count(1)


@pytest.mark.parametrize("spoiling", ["token.value += 'x'", "token.remove()"])
def test_a_form_without_its_token_is_refused_and_changes_nothing(
    site: Site, page: Page, spoiling: str
) -> None:
    page.goto(at_task("good-1"))
    page.evaluate(f"const token = document.querySelector('.label-form [name=csrf_token]'); {spoiling}")
    page.locator("#label").fill("forged")
    with page.expect_navigation() as navigation:
        page.get_by_role("button", name="Save").click()
    assert navigation.value.status == 400
    expect(page.locator("h1")).to_have_text("Form refused")
    expect(page.locator("main")).to_contain_text("Go back, reload the page and try again")
    assert site.task("good-1")["label"] == "order 18"


def test_every_task_in_the_list_can_be_opened_whatever_its_id(page: Page) -> None:
    page.goto("./")
    page.locator("#rows tr", has_text="<script>window.taken=1<!--").locator("a").click()
    expect(page.locator("header.task .id")).to_contain_text(HOSTILE_ID)
    assert page.locator("article.track").count() == 10
    page.get_by_role("button", name="Poll now").click()
    expect(page.get_by_role("status").filter(has_text="Poll queued")).to_be_visible()


def test_times_are_shown_in_utc_or_in_the_readers_zone_on_every_page(browser: Browser, site: Site) -> None:
    with visiting(browser, site, timezone_id="Asia/Tokyo", locale="de-DE") as page:
        page.goto(at_task("good-1"))
        moment = page.locator("time.exact").first
        moment_shown = datetime.fromisoformat(str(moment.get_attribute("datetime")))
        expect(moment).to_have_text(f"{moment_shown:%Y-%m-%d %H:%M:%S} UTC")
        page.get_by_role("button", name="UTC").click()
        expect(moment).to_have_text(f"{moment_shown + timedelta(hours=9):%d.%m.%Y, %H:%M:%S}")
        page.goto("actions")
        expect(page.get_by_role("button", name="Local time")).to_be_visible()
        assert not [text for text in page.locator("time.exact").all_inner_texts() if "UTC" in text]


def test_copying_puts_the_task_id_and_the_body_into_the_clipboard(browser: Browser, site: Site) -> None:
    with visiting(browser, site, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.goto(at_task("good-1"))
        page.get_by_role("button", name="Copy the task ID").click()
        eventually(lambda: page.evaluate("navigator.clipboard.readText()") == "good-1")
        open_everything(page)
        page.get_by_role("button", name="Copy the body").click()
        eventually(lambda: page.evaluate("navigator.clipboard.readText()").startswith("{"))
        assert json.loads(page.evaluate("navigator.clipboard.readText()"))["data"]["task_id"] == "good-1"


def test_no_unconfirmed_url_is_requested_before_a_click(browser: Browser, site: Site) -> None:
    site.send_callback("claimed-1", rows=[track("k", title="Whose address")])
    with visiting(browser, site) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(at_task("claimed-1"))
        for name in ("Load cover", "Load player"):
            page.get_by_role("link", name=name).hover()
        with page.expect_response(lambda answer: answer.url == page.url):  # it renews itself
            page.mouse.move(0, 0)
        assert not [url for url in asked if not url.startswith(site.receiver.url)]
        with page.expect_request(f"{MEDIA}/k.jpg"):
            page.get_by_role("link", name="Load cover").click()
        with page.expect_request(f"{MEDIA}/k.mp3"):
            page.get_by_role("link", name="Load player").click()
        with page.expect_response(lambda answer: answer.url == page.url, timeout=20_000):
            page.mouse.move(5, 5)
        expect(page.locator("article.track audio")).to_be_visible()
        assert len(page.context.pages) == 1


def test_a_confirmed_url_is_requested_without_a_click(browser: Browser, site: Site) -> None:
    with visiting(browser, site) as page:
        with page.expect_request(f"{MEDIA}/r.jpg"):
            page.goto(at_task("recovered-1"))
        assert page.get_by_role("link", name="Load cover").count() == 0


def test_plots_are_drawn_and_their_tables_hold_the_same_numbers(page: Page) -> None:
    page.goto("activity?days=1")
    drawn = page.evaluate("""Array.from(document.querySelectorAll('.plot canvas'), one => one.getContext('2d')
        .getImageData(0, 0, one.width, one.height).data.some((value, place) => place % 4 === 3 && value))""")
    assert len(drawn) == page.locator(".plot").count() > 0 and all(drawn)
    plot = json.loads(str(page.locator("#canvas-callbacks").get_attribute("data-plot")))
    page.locator("#table-callbacks summary").click()
    table = page.locator("#table-callbacks tbody tr")
    for place, line in enumerate(plot["lines"]):
        cells = table.locator(f"td:nth-of-type({place + 1})").all_inner_texts()
        assert sum(map(float, cells)) == sum(line["values"]), line["label"]
    shown = page.locator("section[aria-labelledby=plot-callbacks] dl.facts div", has_text="accepted").locator(
        "dd"
    )
    assert float(shown.inner_text()) == sum(plot["lines"][0]["values"]) > 0


def test_after_signing_out_neither_back_nor_an_address_shows_anything(browser: Browser, site: Site) -> None:
    with visiting(browser, site, storage_state=None) as page:
        page.goto("./")
        eventually(lambda: "sign-in" not in sign_in(page).url)
        page.goto(at_task("good-1"))
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_text("You are signed out")).to_be_visible()
        page.go_back()
        expect(page.get_by_label("Password")).to_be_visible()
        for name in ("tasks", "task", "quarantine"):
            page.goto(PAGES[name])
            expect(page.get_by_label("Password")).to_be_visible()
            assert "good-1" not in page.locator("body").inner_text()
