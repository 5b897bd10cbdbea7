"""The activity page: true numbers out of what really went on."""

import html
import json
import re
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from flask.testing import FlaskClient

from receiver.clock import utc_now
from receiver.polling.giving_up import give_up_late_tasks
from receiver.runtime import Runtime
from tests.conftest import BOTH_STORES
from tests.web.admin.page import BEARER, CALLBACKS, tell

pytestmark = BOTH_STORES


def plots(client: FlaskClient, days: int = 1) -> dict[str, Any]:
    text = client.get(f"/admin/activity?days={days}").text
    found = re.findall(r'id="canvas-(\w+)"[^>]*data-plot="([^"]+)"', text)
    return {key: json.loads(html.unescape(data)) for key, data in found}


def last(client: FlaskClient, key: str) -> dict[str, float | None]:
    """The newest value of each line of a plot."""
    return {line["label"]: line["values"][-1] for line in plots(client)[key]["lines"]}


def test_callbacks_are_counted_by_what_came_of_them(admin: FlaskClient, runtime: Runtime) -> None:
    tell(admin, "task-1")
    tell(admin, "task-1")
    admin.post(CALLBACKS, data="broken")
    admin.post("/callbacks/wrong-token-000001", data="{}")
    runtime.intake.flush_counts()
    shown = last(admin, "callbacks")
    assert shown == {"accepted": 1, "duplicate": 1, "quarantined": 1, "unsupported": 0, "refused": 1}


def test_lost_callbacks_are_shown_as_count_and_share(admin: FlaskClient, runtime: Runtime) -> None:
    for number in range(4):
        admin.post("/api/tasks", json={"taskId": f"task-{number}"}, headers=BEARER)
    for number in range(3):
        tell(admin, f"task-{number}")
    now = utc_now() + timedelta(seconds=1)
    give_up_late_tasks(runtime.database, runtime.settings.rules, first_seen_before=now, now=now)
    assert last(admin, "lost") == {"lost": 1, "recovered": 0, "loss rate": 25}
    text = admin.get("/admin/activity?days=1").text
    assert "<dt>loss rate</dt><dd>25.0 %</dd>" in text
    assert last(admin, "outcomes") == {"succeeded": 3, "failed": 0, "unresolved": 1, "in progress": 0}


@pytest.mark.parametrize(("days", "least", "most", "step"), [(1, 24, 24, 3600), (7, 168, 168, 3600), (30, 30, 30, 86400), (90, 90, 90, 86400)])  # fmt: skip
def test_a_window_has_its_steps(admin: FlaskClient, days: int, least: int, most: int, step: int) -> None:
    for plot in plots(admin, days).values():
        times = plot["times"]
        assert least <= len(times) <= most
        assert {later - earlier for earlier, later in pairwise(times)} == {step}
        assert all(len(line["values"]) == len(times) for line in plot["lines"])


def test_without_a_window_it_is_the_usual_one(admin: FlaskClient) -> None:
    for query in ("", "?days="):
        assert 'aria-current="true">7 days' in admin.get(f"/admin/activity{query}").text


def test_every_plot_stands_as_a_table_too(admin: FlaskClient) -> None:
    tell(admin)
    text = admin.get("/admin/activity?days=1").text
    assert text.count('<details id="table-') == len(plots(admin)) == 7
    table = text[text.index('id="table-callbacks"') :]
    newest = table[table.index("<tbody>") : table.index("</tr>", table.index("<tbody>"))]
    assert re.findall(r'class="number">([^<]+)<', newest) == ["1", "0", "0", "0", "0"]
