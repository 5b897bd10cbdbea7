"""The admin page for everybody: by keyboard, on a phone, for a screen reader, and without scripts."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Dialog, Page, expect

from tests.conftest import eventually
from tests.e2e.browsing import (
    PAGES,
    PHONE,
    REACHABLE,
    SIDEWAYS,
    Site,
    new_site,
    open_everything,
    sign_in,
    track,
    visiting,
)


@pytest.fixture(scope="module")
def empty_site(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with new_site(browser, tmp_path_factory.mktemp("empty")) as empty:
        yield empty


ALIKE = ("hostile task", "task in an odd word", "task without tracks")  # laid out as other tasks are


def complaints(page: Page) -> list[str]:
    """What axe finds in light, in dark, and on a phone, each with the first element that it is about."""
    page.evaluate(Axe().axe_script)
    found, colours = [], "color-contrast"
    modes: dict[str, dict[str, object]] = {
        "dark": {"runOnly": [colours]},
        "phone": {"rules": {colours: {"enabled": False}}},
        "light": {},
    }
    for mode, rules in modes.items():
        page.emulate_media(color_scheme="dark" if mode == "dark" else "light")
        page.set_viewport_size({"width": 390 if mode == "phone" else 1280, "height": 844})
        report = page.evaluate("rules => axe.run(rules)", rules | {"resultTypes": ["violations"]})
        found += [
            f"{mode}: {violation['impact']} {violation['id']}: {violation['nodes'][0]['html'][:200]}"
            for violation in report["violations"]
        ]
    return found


@pytest.mark.parametrize("name", [name for name in PAGES if name not in ALIKE])
def test_axe_has_nothing_to_say_about_a_page(page: Page, name: str) -> None:
    page.goto(PAGES[name])
    open_everything(page, most=2 if name == "activity" else 1000)  # its tables are all alike, and long
    assert complaints(page) == []


def test_axe_has_nothing_to_say_about_the_description_of_the_api(page: Page) -> None:
    page.goto("../docs")
    open_everything(page)
    assert complaints(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate(SIDEWAYS) == []


def test_axe_has_nothing_to_say_about_signing_in_where_nothing_is_known_yet(
    browser: Browser, empty_site: Site
) -> None:
    with visiting(browser, empty_site, storage_state=None) as page:
        page.goto("./")
        assert complaints(page) == []
        assert sign_in(page, "wrong").status == 403
        assert complaints(page) == []
        sign_in(page)
        for address, heading in {"./": "No tasks yet", "quarantine": "Nothing in quarantine"}.items():
            page.goto(address)
            assert heading in page.locator("h2").all_inner_texts() and complaints(page) == []


def test_no_page_scrolls_sideways_on_a_phone(browser: Browser, site: Site) -> None:
    wide = {}
    with visiting(browser, site, **PHONE) as page:
        for name, address in PAGES.items():
            page.goto(address)
            wide[name] = page.evaluate(SIDEWAYS)
            open_everything(page)
            wide[f"{name}, all open"] = page.evaluate(SIDEWAYS)
    assert {name: offenders for name, offenders in wide.items() if offenders} == {}


FOCUSED = """() => {
  const one = document.activeElement, box = one.getBoundingClientRect(), style = getComputedStyle(one);
  return one === document.body ? null : {
    number: [...document.querySelectorAll('*')].indexOf(one), html: one.outerHTML.slice(0, 120),
    ringed: one.matches('audio') || style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
    visible: box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth };
}"""


@pytest.mark.parametrize("name", ["tasks", "task that differs", "quarantine", "read again", "activity"])
def test_the_keyboard_alone_reaches_everything_and_shows_where_it_is(page: Page, name: str) -> None:
    page.goto(PAGES[name])
    reachable = dict(page.evaluate(REACHABLE))
    reached = {}
    for _ in range(4 * len(reachable)):  # a player takes several steps
        page.keyboard.press("Tab")
        if (focused := page.evaluate(FOCUSED)) is None:
            break
        reached[focused["number"]] = focused
    assert "Skip to content" in next(iter(reached.values()))["html"]
    assert [html for number, html in reachable.items() if number not in reached] == []
    assert [
        element["html"] for element in reached.values() if not (element["visible"] and element["ringed"])
    ] == []


def tab_to(page: Page, selector: str) -> None:
    for _ in range(200):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    pytest.fail(f"the focus never comes to {selector}")


def test_a_task_is_opened_unfolded_and_labelled_by_keyboard_alone(site: Site, page: Page) -> None:
    site.register("keys-1")
    site.send_callback("keys-1", "text", [{"id": "k", "title": "By keys"}])
    page.goto("?q=keys-1")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    tab_to(page, "#rows a.name")
    page.keyboard.press("Enter")
    page.wait_for_url("**/tasks/keys-1")
    tab_to(page, "#label")
    page.keyboard.type("typed")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="Label saved.")).to_be_visible()
    tab_to(page, "details[id^=body-] > summary")
    for key, opened in (("Enter", True), ("Space", False), ("Space", True)):
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.parentElement.open") is opened


def test_without_scripts_a_person_can_sign_in_find_poll_label_and_read(browser: Browser, site: Site) -> None:
    site.register("plain-1")
    site.answers("plain-1", "SUCCESS", [track("p")])
    with visiting(browser, site, storage_state=None, java_script_enabled=False) as page:
        page.goto("./")
        eventually(lambda: "sign-in" not in sign_in(page).url)
        page.locator("#outcome").select_option("in_progress")
        page.get_by_role("button", name="Filter").click()
        page.wait_for_url("**outcome=in_progress*")
        page.locator("#rows tr", has_text="plain-1").locator("a").click()
        page.get_by_role("button", name="Poll now").click()
        expect(page.locator(".flash")).to_contain_text("Poll queued")
        eventually(lambda: page.reload() and page.locator(".flags", has_text="succeeded").count())
        page.locator("#label").fill("no scripts")
        page.get_by_role("button", name="Save").click()
        expect(page.locator("ol.timeline")).to_contain_text("label no scripts")
        for name in ("tasks", "task", "read again", "activity", "quarantine"):
            page.goto(PAGES[name])
            dead = page.locator("button:visible:not(form button), .needs-js:visible")
            assert dead.all_inner_texts() == []
        page.locator("ol.deliveries summary").first.click()
        expect(page.locator("ol.deliveries .json").first).to_be_visible()


SPILLING = r"""() => [...document.querySelectorAll('body :not(pre, .json, pre *, .json *)')].flatMap(one => {
  const own = [...one.childNodes].filter(text => text.nodeType === 3 && text.data.includes('\u202e'));
  let box = one;
  for (let is; is = getComputedStyle(box), is.display + is.unicodeBidi === 'inlinenormal';) box = box.parentElement;
  return own.some(text => text.data.trim() !== box.textContent.trim()) ? [box.outerHTML.slice(0, 160)] : [];
})"""


@pytest.mark.parametrize("name", PAGES)
def test_nothing_hostile_runs_links_elsewhere_or_turns_its_neighbours_round(
    site: Site, page: Page, name: str
) -> None:
    events, asked = [], []

    def dismiss(dialog: Dialog) -> None:
        events.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    page.on(
        "console", lambda message: events.append(message.text) if "Content Security" in message.text else None
    )
    page.on("pageerror", lambda error: events.append(str(error)))
    page.on("request", lambda request: asked.append((request.url, request.resource_type)))
    page.goto(PAGES[name])
    open_everything(page)
    page.evaluate("new Promise(requestAnimationFrame)")
    assert events == [] and page.evaluate("window.taken === undefined")
    assert page.locator("main").locator("script, svg, img[src=x], [onerror], [onmouseover]").count() == 0
    addresses = page.locator("a, img, audio").evaluate_all("all => all.map(one => one.href || one.src)")
    assert {urlsplit(address).scheme for address in addresses} <= {"http", "https"}
    leaving = page.locator("a[href]:not([href^='/admin/']):not([href^='#'])").all()
    assert {link.get_attribute("rel") for link in leaving} <= {"noopener noreferrer"}
    foreign = {kind for url, kind in asked if not url.startswith(site.receiver.url)}
    assert foreign <= ({"image", "media"} if "task" in name.split() else set()), asked
    assert page.evaluate(SPILLING) == []
