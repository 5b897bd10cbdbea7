"""The list of tasks and the page of one."""

import re
from datetime import timedelta

from flask.testing import FlaskClient

from receiver.runtime import Runtime, utc_now
from receiver.store import tasks
from tests.web.admin.page import BEARER, CALLBACKS, make_overdue, tell, token_of


def test_with_nothing_yet_it_tells_how_to_try(admin: FlaskClient) -> None:
    text = admin.get("/admin/").text
    assert "Nothing yet" in text
    assert f"curl 'http://localhost{CALLBACKS}'" in text


def test_a_task_is_listed_with_what_is_known(admin: FlaskClient) -> None:
    admin.post("/api/tasks", json={"taskId": "task-1", "label": "for the film"}, headers=BEARER)
    tell(admin)
    text = admin.get("/admin/").text
    for shown in ("task-1", "Tides", "for the film", "succeeded", "callback", "1/1", " UTC"):
        assert shown in text


def test_filters_combine_and_live_in_the_address(admin: FlaskClient) -> None:
    tell(admin, "task-1", title="Tides")
    tell(admin, "task-2", title="Dunes")
    tell(admin, "task-3", "text", title="Dunes")
    found = admin.get("/admin/?q=dunes&status=TEXT_SUCCESS&outcome=in_progress").text
    assert [key in found for key in ("task-1", "task-2", "task-3")] == [False, False, True]
    assert 'value="dunes"' in found
    none = admin.get("/admin/?q=dunes&outcome=failed").text
    assert "Nothing matches" in none
    assert "Clear filters" in none


def test_a_strange_filter_or_cursor_is_no_fault_of_ours(admin: FlaskClient) -> None:
    assert admin.get("/admin/?outcome=odd&status=%00&q=%25_%5C").status_code == 200
    for path in (
        "/admin/?cursor=odd",
        "/admin/quarantine?before=odd",
        f"/admin/quarantine?before={'9' * 40}",
    ):
        answer = admin.get(path)
        assert answer.status_code == 422
        assert answer.content_type.startswith("text/html")


def test_the_next_page_goes_on_with_the_same_filters(admin: FlaskClient) -> None:
    for number in range(53):
        admin.post("/api/tasks", json={"taskId": f"task-{number:02}"}, headers=BEARER)
    admin.post("/api/tasks", json={"taskId": "other"}, headers=BEARER)
    first = admin.get("/admin/?q=task").text
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following
    second = admin.get(following[1].replace("&amp;", "&")).text
    ids = [set(re.findall(r"/admin/tasks/([\w-]+)", text)) for text in (first, second)]
    assert [len(page) for page in ids] == [50, 3]
    assert not ids[0] & ids[1]


def test_what_needs_attention_comes_first(admin: FlaskClient, runtime: Runtime) -> None:
    tell(admin, "task-1", "text")
    tell(admin, "task-2", "text")
    assert "Needs attention" not in admin.get("/admin/").text
    make_overdue(runtime, "task-1")
    text = admin.get("/admin/").text
    attention = text[text.index("Needs attention") : text.index("All, newest first")]
    assert "task-1" in attention
    assert "overdue" in attention
    assert "task-2" not in attention


def test_one_task_shows_everything_that_was_told(admin: FlaskClient) -> None:
    tell(admin, stage="text", prompt="a song of the sea")
    tell(admin, prompt="a song of the sea")
    admin.post(
        CALLBACKS, json={"code": 200, "data": {"callbackType": "text", "task_id": "task-1", "data": 7}}
    )
    text = admin.get("/admin/tasks/task-1").text
    for shown in ("TEXT_SUCCESS", "SUCCESS", "accepted", "quarantined", "data.data", "orphan", "claimed"):
        assert shown in text
    assert "a song of the sea" in text
    assert "&#34;callbackType&#34;: &#34;text&#34;" in text


def test_an_unknown_task_is_a_page_not_a_problem_document(admin: FlaskClient) -> None:
    for answer in (admin.get("/admin/tasks/none"), admin.get("/admin/none")):
        assert answer.status_code == 404
        assert answer.content_type.startswith("text/html")
        assert "Nobody polls" in answer.text  # the health line is there too
    form = {"csrf_token": token_of(admin, "/admin/")}
    assert admin.post("/admin/tasks/none/poll", data=form).status_code == 404


def test_poll_now_makes_the_task_due(admin: FlaskClient, runtime: Runtime) -> None:
    tell(admin, stage="text")
    form = {"csrf_token": token_of(admin, "/admin/tasks/task-1")}
    answer = admin.post("/admin/tasks/task-1/poll", data=form)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/admin/tasks/task-1")
    with runtime.database.read() as connection:
        task = tasks.load(connection, "task-1")
    assert task
    assert task.poll_requested
    assert task.next_poll_at
    assert abs(task.next_poll_at - utc_now()) < timedelta(seconds=20)
    assert "will be asked" in admin.get("/admin/tasks/task-1").text
    assert "will be asked" not in admin.get("/admin/tasks/task-1").text
