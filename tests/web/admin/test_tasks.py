"""The list of tasks and the page of one."""

import json
import re
from datetime import timedelta

from flask.testing import FlaskClient

from receiver.clock import utc_now
from receiver.intake import poll_delivery
from receiver.runtime import Runtime
from receiver.store import tasks
from tests.web.admin.page import BEARER, CALLBACKS, known, make_overdue, post, tell, token_of


def test_with_nothing_yet_it_tells_how_to_try(admin: FlaskClient) -> None:
    text = admin.get("/admin/").text
    assert "No tasks yet" in text
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
    assert "No matches" in none
    assert "Clear filters" in none


def test_a_strange_filter_or_cursor_is_no_fault_of_ours(admin: FlaskClient) -> None:
    assert admin.get("/admin/?status=ODD&q=%25_%5C").status_code == 200
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
    attention = text[text.index("Needs attention") : text.index("All tasks (newest first)")]
    assert "task-1" in attention
    assert "overdue" in attention
    assert "task-2" not in attention


def test_the_page_of_a_task_shows_all_its_deliveries(admin: FlaskClient) -> None:
    tell(admin, stage="text", prompt="a song of the sea")
    tell(admin, prompt="a song of the sea")
    admin.post(
        CALLBACKS, json={"code": 200, "data": {"callbackType": "text", "task_id": "task-1", "data": 7}}
    )
    text = admin.get("/admin/tasks/task-1").text
    for shown in ("TEXT_SUCCESS", "SUCCESS", "accepted", "quarantined", "data.data", "orphan", "unconfirmed"):
        assert shown in text
    assert "a song of the sea" in text
    assert "&#34;callbackType&#34;: &#34;text&#34;" in text


def test_an_unknown_task_is_a_page_not_a_problem_document(admin: FlaskClient) -> None:
    for answer in (admin.get("/admin/tasks/none"), admin.get("/admin/none")):
        assert answer.status_code == 404
        assert answer.content_type.startswith("text/html")
        assert "Polling has stopped" in answer.text  # the health line is there too
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
    assert "Poll queued" in admin.get("/admin/tasks/task-1").text
    assert "Poll queued" not in admin.get("/admin/tasks/task-1").text


def test_a_label_is_set_found_changed_and_removed(admin: FlaskClient) -> None:
    tell(admin)
    assert post(admin, "/admin/tasks/task-1/label", label="  for   the film ").status_code == 303
    assert known(admin)["label"] == "for the film"
    assert "task-1" in admin.get("/admin/?q=film").text
    post(admin, "/admin/tasks/task-1/label", label="")
    assert known(admin)["label"] is None
    assert "No matches" in admin.get("/admin/?q=film").text
    text = admin.get("/admin/tasks/task-1").text
    assert "label for the film" in text
    assert "label removed" in text


def test_a_label_that_cannot_be_stored_is_refused(admin: FlaskClient) -> None:
    tell(admin)
    for label in ("x" * 201, "a\0b"):
        post(admin, "/admin/tasks/task-1/label", label=label)
        assert "Label not saved" in admin.get("/admin/tasks/task-1").text
    assert known(admin)["label"] is None
    assert post(admin, "/admin/tasks/none/label", label="x").status_code == 404


def in_conflict(client: FlaskClient, task_id: str) -> None:
    for code in (500, 200):
        data = {"callbackType": "complete", "task_id": task_id}
        client.post(CALLBACKS, json={"code": code, "data": data})


def test_an_acknowledged_task_is_no_problem_until_it_changes(admin: FlaskClient) -> None:
    in_conflict(admin, "task-1")
    in_conflict(admin, "task-2")
    assert "2 tasks in conflict" in admin.get("/admin/").text
    post(admin, "/admin/tasks/task-1/acknowledge")
    text = admin.get("/admin/").text
    assert "1 task in conflict" in text
    attention = text[text.index("Needs attention") : text.index("All tasks (newest first)")]
    assert ("task-1" in attention, "task-2" in attention) == (False, True)
    assert "acknowledged" in admin.get("/admin/tasks/task-1").text
    tell(admin, "task-1")
    assert "2 tasks in conflict" in admin.get("/admin/").text


def test_a_conflict_that_record_info_has_decided_needs_no_attention(
    admin: FlaskClient, runtime: Runtime
) -> None:
    in_conflict(admin, "task-1")
    row = {"id": "a", "audioUrl": "https://example.org/a.mp3"}
    record = {"taskId": "task-1", "status": "SUCCESS", "response": {"sunoData": [row]}}
    body = json.dumps({"code": 200, "data": record}).encode()
    runtime.intake.accept([poll_delivery(body, "task-1", now=utc_now(), secrets=())])
    text = admin.get("/admin/").text
    assert "in conflict" not in text
    assert "task-1" in admin.get("/admin/?flag=conflict").text, "it is shown, and can be found"
    assert "Conflicting reports" in admin.get("/admin/tasks/task-1").text


def test_all_problems_are_acknowledged_after_their_number_is_shown(admin: FlaskClient) -> None:
    for number in range(3):
        in_conflict(admin, f"task-{number}")
    assert (
        "<strong>3</strong> unacknowledged tasks are unresolved or in conflict"
        in admin.get("/admin/acknowledge").text
    )
    assert "3 tasks in conflict" in admin.get("/admin/").text, "looking changes nothing"
    post(admin, "/admin/acknowledge")
    assert "in conflict" not in admin.get("/admin/").text
    assert "Nothing to acknowledge" in admin.get("/admin/acknowledge").text
    assert "conflict" in admin.get("/admin/?flag=conflict").text, "the flag itself stays"


def test_the_difference_stands_field_by_field(admin: FlaskClient, runtime: Runtime) -> None:
    tell(admin, title="Tides", audio_url="https://example.org/claimed.mp3", duration=10)
    row = {"id": "a", "audioUrl": "https://example.org/confirmed.mp3", "title": "Tides"}
    body = json.dumps(
        {"code": 200, "data": {"taskId": "task-1", "status": "SUCCESS", "response": {"sunoData": [row]}}}
    )
    runtime.intake.accept([poll_delivery(body.encode(), "task-1", now=utc_now(), secrets=())])
    text = admin.get("/admin/tasks/task-1").text
    compared = text[text.index('id="difference"') : text.index('id="timeline"')]
    assert "1 field differs" in compared
    differing = compared[compared.index('<tr class="differs">') :]
    values = re.findall(r"<bdi>([^<]+)</bdi>", differing[: differing.index("</tr>")])
    assert values == [f"https://example.org/{which}.mp3" for which in ("claimed", "confirmed", "confirmed")]
    assert "<bdi>10.0</bdi>" in compared


def test_a_sister_products_job_has_a_page_of_its_own(admin: FlaskClient) -> None:
    admin.post(
        CALLBACKS, json={"code": 200, "data": {"task_id": "w", "audioWavUrl": "https://example.org/a.wav"}}
    )
    text = admin.get("/admin/tasks/w").text
    assert "Unsupported product" in text
    assert "https://example.org/a.wav" in text


def test_a_task_with_very_many_deliveries_shows_the_newest(admin: FlaskClient) -> None:
    for number in range(103):
        tell(admin, stage="text", title=f"Song {number}")
    text = admin.get("/admin/tasks/task-1").text
    assert "3 older deliveries are not shown here" in text
    assert text.count('id="delivery-') == 100


def test_the_page_of_a_task_grows_no_more_once_it_is_full_of_claims(admin: FlaskClient) -> None:
    def flood(bodies: range) -> str:
        for number in bodies:
            rows = [{"id": f"{32 * number + n}", "title": "Tides"} for n in range(32)]
            body = {"code": 200, "data": {"callbackType": "text", "task_id": "task-1", "data": rows}}
            assert admin.post(CALLBACKS, json=body).status_code == 200
        text = admin.get("/admin/tasks/task-1").text
        return text[: text.index('id="timeline"')]

    full, more = flood(range(2)), flood(range(2, 12))
    assert [text.count('<details id="difference-') for text in (full, more)] == [64 + 1] * 2
    assert "exceed the limits" not in full
    assert "exceed the limits" in more
