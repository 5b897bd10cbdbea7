"""The page's English: plurals are right, and private words stay out."""

import json
import re

import pytest
from flask.testing import FlaskClient

from receiver.clock import utc_now
from receiver.core.plurals import agree, quantity
from receiver.intake import poll_delivery
from receiver.runtime import Runtime
from tests.web.admin.page import BEARER, CALLBACKS, make_overdue, post, tell

PAGES = (
    "/admin/",
    "/admin/?outcome=failed",
    "/admin/?q=nothing",
    "/admin/tasks/one",
    "/admin/tasks/conflicting",
    "/admin/tasks/failed",
    "/admin/tasks/overdue",
    "/admin/tasks/wav",
    "/admin/tasks/none",
    "/admin/quarantine",
    "/admin/quarantine?cause=no_task_id",
    "/admin/quarantine/read-again",
    "/admin/quarantine?before=1",
    "/admin/acknowledge",
    "/admin/activity?days=1",
    "/admin/actions",
    "/admin/actions?kind=pruned",
)
ONE_OF_MANY = re.compile(r"\b1 (?!s\b)[a-z]+s\b(?! (?:different|from))")
PRIVATE = re.compile(
    r"\b(told|nobody|somebody|himself|odd|kept|looked|by itself|marked? as seen|vanish\w*)\b", re.IGNORECASE
)


@pytest.fixture
def filled(admin: FlaskClient, runtime: Runtime) -> FlaskClient:
    """One of everything: a task, a conflict, a failure, an overdue task, a delivery in quarantine, an action."""
    admin.post("/api/tasks", json={"taskId": "one", "label": "order 17"}, headers=BEARER)
    tell(admin, "one")
    for code in (500, 200):
        body = {"callbackType": "complete", "task_id": "conflicting"}
        admin.post(CALLBACKS, json={"code": code, "data": body})
    record = {"taskId": "failed", "status": "GENERATE_AUDIO_FAILED", "errorMessage": "no credits"}
    response = json.dumps({"code": 200, "data": record}).encode()
    for _ in range(2):
        runtime.intake.accept([poll_delivery(response, "failed", now=utc_now(), secrets=())])
    tell(admin, "overdue", "text")
    make_overdue(runtime, "overdue")
    admin.post(CALLBACKS, data="broken")
    admin.post(
        CALLBACKS, json={"code": 200, "data": {"task_id": "wav", "audioWavUrl": "https://a.example/a.wav"}}
    )
    post(admin, "/admin/tasks/one/poll")
    return admin


def text_of(client: FlaskClient, path: str) -> str:
    """What a person reads or hears: the text, and the names that screen readers speak."""
    page = client.get(path).text
    spoken = " ".join(re.findall(r'(?:aria-label|title|alt)="([^"]*)"', page))
    return " ".join(f"{re.sub(r'<[^>]+>', ' ', page)} {spoken}".split())


@pytest.mark.parametrize("path", PAGES)
def test_no_page_counts_one_of_many_or_speaks_a_private_language(filled: FlaskClient, path: str) -> None:
    text = text_of(filled, path)
    assert ONE_OF_MANY.findall(text) == []
    assert PRIVATE.findall(text) == []


def test_a_count_is_caught_where_its_noun_is_wrong() -> None:
    assert ONE_OF_MANY.search("4 callbacks, 1 polls")
    assert not ONE_OF_MANY.search("1 poll, 11 polls, 1 s, 1 min ago")


def test_a_number_stands_with_the_right_form_of_its_noun() -> None:
    assert [quantity(number, "poll") for number in (0, 1, 2, 1234)] == [
        "0 polls",
        "1 poll",
        "2 polls",
        "1,234 polls",
    ]
    assert quantity(2, "delivery", "deliveries") == "2 deliveries"
    assert agree(1, "task is", "tasks are") == "task is"


def test_a_failed_task_has_no_tracks_rather_than_none_yet(filled: FlaskClient) -> None:
    assert "No tracks: the task failed" in text_of(filled, "/admin/tasks/failed")
    assert "No tracks yet" in text_of(filled, "/admin/tasks/conflicting")


def test_constants_stand_as_the_upstream_spells_them(filled: FlaskClient) -> None:
    text = text_of(filled, "/admin/tasks/failed")
    assert "status none → became GENERATE_AUDIO_FAILED" in text
    assert "GENERATE AUDIO FAILED" not in text


def test_a_poll_that_changed_nothing_is_no_duplicate(filled: FlaskClient) -> None:
    text = text_of(filled, "/admin/tasks/failed")
    assert "no change poll" in text
    assert "duplicate" not in text


def test_no_conflict_stands_below_a_sentence_that_denies_it(filled: FlaskClient) -> None:
    text = text_of(filled, "/admin/tasks/conflicting")
    assert "Conflicting reports: both success and failure were reported." in text
    assert "No differences" not in text
    alone = text_of(filled, "/admin/tasks/one")
    assert "No differences" not in alone
    assert "Nothing to compare: only one of them, or neither, has reported yet." in alone
