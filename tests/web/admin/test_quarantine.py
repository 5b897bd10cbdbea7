"""The quarantine: shown, reprocessed and acknowledged."""

import re
from typing import Any

from flask.testing import FlaskClient

from receiver.clock import utc_now
from receiver.runtime import Runtime
from receiver.store import new_deliveries
from receiver.store.deliveries import StoredDelivery
from tests.conftest import BOTH_STORES
from tests.web.admin.page import BEARER, CALLBACKS, known, post

pytestmark = BOTH_STORES


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
    assert "Nothing in quarantine" in admin.get("/admin/quarantine").text


def unread(runtime: Runtime, body: bytes, **more: Any) -> None:
    """A delivery in quarantine that can be read by now, as an earlier version left it."""
    fields: dict[str, Any] = {
        "source": "callback",
        "received_at": utc_now(),
        "result": "quarantined",
        "cause": "no_task_id",
    }
    with runtime.database.write() as connection:
        new_deliveries.add(connection, [StoredDelivery(**fields | {"digest": b"", "body": body} | more)])


READABLE = b'{"code": 200, "data": {"callbackType": "text", "task_id": "task-7", "data": [{"id": "a"}]}}'


def test_reprocessing_first_shows_what_would_change(admin: FlaskClient, runtime: Runtime) -> None:
    unread(runtime, READABLE)
    admin.post(CALLBACKS, data="broken")
    text = re.sub(r"<[^>]+>", "", admin.get("/admin/quarantine/read-again").text)
    text = " ".join(text.split())
    assert (
        "2 deliveries match. With the current parser: 1 would parse, 1 task would change, 1 would stay"
        in text
    )
    assert "status none → became TEXT_SUCCESS" in text
    assert admin.get("/api/tasks/task-7", headers=BEARER).status_code == 404, "nothing has changed"


def test_reprocessing_stores_what_parses_now(admin: FlaskClient, runtime: Runtime) -> None:
    unread(runtime, READABLE)
    admin.post(CALLBACKS, data="broken")
    answer = post(admin, "/admin/quarantine/read-again")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/admin/quarantine")
    assert known(admin, "task-7")["status"] == "TEXT_SUCCESS"
    text = admin.get("/admin/quarantine").text
    assert "2 deliveries reprocessed: 1 parsed, 1 task changed, 1 still in quarantine." in text
    assert "task-7" not in text
    timeline = admin.get("/admin/tasks/task-7").text
    assert "reprocessed" in timeline
    assert "by admin page from 127.0.0.1" in timeline


def test_one_delivery_can_be_reprocessed(admin: FlaskClient, runtime: Runtime) -> None:
    unread(runtime, READABLE)
    unread(runtime, READABLE.replace(b"task-7", b"task-8"))
    links = re.findall(
        r'href="(/admin/quarantine/read-again\?only=\d+)"', admin.get("/admin/quarantine").text
    )
    assert len(links) == 2
    assert "1 delivery matches" in admin.get(links[0]).text
    post(admin, links[0])
    assert known(admin, "task-8")["status"] == "TEXT_SUCCESS"
    assert admin.get("/api/tasks/task-7", headers=BEARER).status_code == 404
    assert admin.get(links[0]).status_code == 404, "it is there no more"


def test_acknowledging_empties_the_page_and_the_banner(admin: FlaskClient) -> None:
    for number in range(3):
        admin.post(CALLBACKS, data=f"broken {number}")
    assert "3 deliveries in quarantine" in admin.get("/admin/").text
    post(admin, "/admin/quarantine/acknowledge")
    assert "in quarantine" not in admin.get("/admin/").text
    assert "Nothing in quarantine" in admin.get("/admin/quarantine").text
    everything = admin.get("/admin/quarantine?seen=yes").text
    assert everything.count("broken") == 3
    assert everything.count("acknowledged <time") == 3
    assert "3 deliveries, cause any" in admin.get("/admin/actions").text


def test_deliveries_can_be_filtered_by_cause(admin: FlaskClient) -> None:
    admin.post(CALLBACKS, data="broken body")
    admin.post(CALLBACKS, json={"code": 200, "data": {}})
    admin.post(CALLBACKS, json={"code": 200, "data": {"taskId": "task-9", "data": 7}})
    for cause, count in {"not_json": 1, "no_task_id": 1, "unreadable": 1, "": 3}.items():
        text = admin.get(f"/admin/quarantine?cause={cause}").text
        assert text.count('<li id="delivery-') == count
    post(admin, "/admin/quarantine/acknowledge?cause=unreadable")
    assert "No matches" in admin.get("/admin/quarantine?cause=unreadable").text
    assert "2 deliveries in quarantine" in admin.get("/admin/").text


def test_what_is_no_number_or_too_large_a_one_is_no_fault_of_ours(admin: FlaskClient) -> None:
    for query in ("only=odd", f"only={'9' * 40}", "only=-1", "cause=odd", "before=x"):
        for path in ("", "/read-again"):
            assert admin.get(f"/admin/quarantine{path}?{query}").status_code == 422
    assert admin.get(f"/admin/quarantine/read-again?only={'9' * 18}").status_code == 404


def test_a_body_comes_as_it_came_and_as_a_file(admin: FlaskClient) -> None:
    raw = b"\xff<script>alert(1)</script>"
    admin.post(CALLBACKS, data=raw)
    answer = admin.get("/admin/deliveries/1/body")
    assert answer.data == raw
    assert answer.content_type == "text/plain; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="delivery-1.txt"'
    for none in ("2", "9" * 30):
        assert admin.get(f"/admin/deliveries/{none}/body").status_code == 404


def test_an_unknown_filter_does_not_widen_what_is_acknowledged(admin: FlaskClient) -> None:
    admin.post(CALLBACKS, data="broken")
    for query in ("only=abc", "cause=odd", "before=abc"):
        assert post(admin, f"/admin/quarantine/acknowledge?{query}").status_code == 422
    assert "1 delivery in quarantine" in admin.get("/admin/").text


def test_what_arrives_after_the_count_is_not_reprocessed(admin: FlaskClient, runtime: Runtime) -> None:
    unread(runtime, READABLE)
    found = re.search(
        r'action="(/admin/quarantine/read-again[^"]*)"', admin.get("/admin/quarantine/read-again").text
    )
    assert found
    unread(runtime, READABLE.replace(b"task-7", b"task-8"))
    post(admin, found[1].replace("&amp;", "&"))
    assert known(admin, "task-7")["status"] == "TEXT_SUCCESS"
    assert admin.get("/api/tasks/task-8", headers=BEARER).status_code == 404
