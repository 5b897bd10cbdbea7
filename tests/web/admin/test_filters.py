"""The addresses of the pages: what they do not know is refused by a page for people, and no link leads there."""

import html
import re
from itertools import product
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from tests.web.admin.page import BEARER, CALLBACKS, post, tell

UNKNOWN = {
    "/admin/": (
        "outcome=bad",
        "outcome=FAILED",
        "flag=bad",
        "status=%00",
        "q=%00",
        f"q={'x' * 501}",
        "cursor=bad",
    ),
    "/admin/quarantine": (
        "cause=bad",
        "cause=parsed",
        "seen=no",
        "seen=true",
        "only=bad",
        "only=0",
        "before=bad",
    ),
    "/admin/quarantine/read-again": ("cause=bad", "seen=1", "only=1_0", "before=-1"),
    "/admin/actions": ("kind=bad", "kind=ACKNOWLEDGED", "before=bad", "before=05"),
    "/admin/activity": ("days=bad", "days=2", "days=-1", "days=07", "days=7.0"),
}
OF_ALL = ("nosuch=1", "nosuch=", "Outcome=failed")
NUMBERS = ("1_0", "%2B1", "%201", "1%0A", quote("٣"), "9" * 19, "9" * 5000)
API_WORDS = re.compile(r"`|errors|parameter|field|JSON|POST|API|endpoint|docs", re.IGNORECASE)


def refused(response_text: str) -> str:
    """What the page says, without what surrounds it."""
    main = response_text.split("<main", 1)[1]
    return html.unescape(re.sub(r"<[^>]+>", " ", main))


@pytest.mark.parametrize("path", UNKNOWN)
def test_what_a_page_does_not_know_is_refused_in_words_for_people(
    admin: FlaskClient, subtests: pytest.Subtests, path: str
) -> None:
    numbered = [
        name for name in ("only", "before", "days") if any(f"{name}=" in each for each in UNKNOWN[path])
    ]
    numbers = [f"{name}={value}" for name, value in product(numbered, NUMBERS)]
    twice = UNKNOWN[path][0].partition("=")[0]
    for query in (*UNKNOWN[path], *OF_ALL[::2], *numbers, f"{twice}=&{twice}="):
        with subtests.test(query=query[:60]):
            response = admin.get(f"{path}?{query}")
            assert response.status_code == 422
            assert response.content_type == "text/html; charset=utf-8"
            text = refused(response.text)
            assert not API_WORDS.search(text.replace("API key", "")), text
            assert f"'{query.partition('=')[0]}'" in text
            assert f'href="{path}"' in response.text
    assert admin.get(path).status_code == 200


@pytest.mark.parametrize("path", UNKNOWN)
def test_empty_fields_of_a_form_count_as_not_given(admin: FlaskClient, path: str) -> None:
    names = {query.partition("=")[0] for query in UNKNOWN[path]}
    for value in ("", "%20"):
        assert admin.get(f"{path}?{'&'.join(f'{name}={value}' for name in names)}").status_code == 200


def test_a_hostile_name_is_shown_as_text_and_cut(admin: FlaskClient) -> None:
    many = "&".join(f"{quote('<b>')}{number}=1" for number in range(50))
    for query in (f"{quote('<script>')}=1", f"{'x' * 4000}=1", many, "%E2%80%AEx=1", "%00=1"):
        text = admin.get(f"/admin/?{query}").text
        assert "<script>" not in text and "<b>" not in text
        assert len(refused(text)) < 600


def test_a_form_of_an_unknown_filter_does_nothing(admin: FlaskClient) -> None:
    admin.post(CALLBACKS, data="broken")
    for path, query in product(
        ("acknowledge", "read-again"), ("cuase=unreadable", "cause=", "seen=all", "before=0")
    ):
        response = post(admin, f"/admin/quarantine/{path}?{query}&{query}")
        assert response.status_code == 422
    assert "1 delivery in quarantine" in admin.get("/admin/").text


def links_of(text: str) -> set[str]:
    return {html.unescape(link) for link in re.findall(r'(?:href|src)="(/admin[^"#]*)', text)}


def test_every_link_of_a_page_leads_somewhere(admin: FlaskClient) -> None:
    """From the first page on, with every value that a form offers."""
    for number in range(60):
        admin.post("/api/tasks", json={"taskId": f"task-{number:02}", "label": "film & more"}, headers=BEARER)
        post(admin, f"/admin/tasks/task-{number:02}/label", label="film & more 2")
        admin.post(CALLBACKS, data=f"broken {number}")
    tell(admin)
    to_visit, visited = {"/admin/", "/admin/?q=film+%26+more&outcome=&status=&flag="}, set[str]()
    while to_visit:
        path = to_visit.pop()
        visited.add(path)
        response = admin.get(path, buffered=True)
        assert response.status_code == 200, path
        if not response.content_type.startswith("text/html"):
            continue
        found = links_of(response.text)
        for form in re.findall(r'<form class="filters".*?</form>', response.text, flags=re.DOTALL):
            action = re.findall(r'action="([^"]+)"', form)[0]
            for name, options in re.findall(
                r'<select[^>]*name="(\w+)"[^>]*>(.*?)</select>', form, flags=re.DOTALL
            ):
                values = re.findall(r'<option(?: value="([^"]*)")?[^>]*>([^<]*)', options)
                found |= {f"{action}?{name}={value}" for value, _ in values if value}
                found |= {f"{action}?{name}={word}" for value, word in values if not value and word.isupper()}
        task_pages = sum("/admin/tasks/" in link for link in visited)
        found = {link for link in found if "/admin/tasks/" not in link or task_pages < 3}
        found = {
            link for link in found if "only=" not in link or sum("only=" in other for other in visited) < 3
        }
        to_visit |= found - visited
    for part in (
        "cursor=",
        "before=",
        "days=90",
        "seen=yes",
        "only=",
        "outcome=failed",
        "status=SUCCESS",
        "kind=",
    ):
        assert any(part in path for path in visited), part
