"""The quarantine: shown, read again, and marked as seen."""

import re

from flask.testing import FlaskClient

from tests.web.admin.page import CALLBACKS


def test_it_shows_what_could_not_be_read_and_why(admin: FlaskClient) -> None:
    admin.post(CALLBACKS, data=b"\xff not json")
    admin.post(CALLBACKS, json={"code": 200, "data": {"taskId": "task-9", "response": []}})
    text = admin.get("/admin/quarantine").text
    assert "Not JSON" in text
    assert "\ufffd not json" in text
    assert "10 bytes" in text


def test_it_has_pages(admin: FlaskClient) -> None:
    for number in range(52):
        admin.post(CALLBACKS, data=f"broken {number:02}.")
    first = admin.get("/admin/quarantine").text
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following
    second = admin.get(following[1]).text
    bodies = [re.findall(r"broken (\d\d)\.", text) for text in (first, second)]
    assert bodies == [
        [f"{number:02}" for number in range(51, 26, -1)],
        [f"{number:02}" for number in range(26, 1, -1)],
    ]


def test_empty_it_says_so(admin: FlaskClient) -> None:
    assert "Everything that came could be read" in admin.get("/admin/quarantine").text
