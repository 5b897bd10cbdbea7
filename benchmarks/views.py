"""Which addresses are measured."""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

from flask.testing import FlaskClient
from sqlalchemy import Connection, select

from benchmarks.seed import COMMON, RARE
from receiver.core.observation import Status
from receiver.core.settlement import Outcome
from receiver.store import quarantine
from receiver.store.schema import task
from receiver.store.task_list import Flag
from receiver.web.cursors import cursor_at

DEEP = 200
BEFORE_THE_END = 60
SEARCHES = {
    "a common word": "rain",
    "a rare word": RARE.lower(),
    "two words": COMMON.lower(),
    "a word of another script": "ветер",
    "a label": "order 4321",
    "one letter": "m",
    "a word that is nowhere": "xylophonist",
}
NEXT = re.compile(r'href="(/admin/\?[^"]*cursor=[^"]+)"')


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    address: str
    name: str = ""


def admin_views(client: FlaskClient, connection: Connection) -> Iterator[View]:
    """Every page of the admin's site, with every filter."""
    yield View(address="/admin/")
    yield from _filtered()
    yield from _searches(connection)
    yield from _deep(client, connection)
    for name, order in (("newest", task.c.number.desc()), ("oldest", task.c.number)):
        task_id = connection.scalar(select(task.c.task_id).order_by(order).limit(1))
        yield View(address=f"/admin/tasks/{task_id}", name=f"/admin/tasks/<the {name}>")
    unresolved = select(task.c.task_id).where(task.c.outcome == "unresolved")
    task_id = connection.scalar(unresolved.order_by(task.c.first_seen_at.desc()).limit(1))
    yield View(address=f"/admin/tasks/{task_id}", name="/admin/tasks/<the last unresolved>")
    yield from _other_pages()


def api_views() -> Iterator[View]:
    yield View(address="/api/tasks?limit=200")
    yield View(address="/api/tasks?limit=200&q=rain")
    yield View(address="/api/quarantine?limit=200")
    yield View(address="/api/stats")


def _filtered() -> Iterator[View]:
    for name, values in (("outcome", Outcome), ("status", Status), ("flag", Flag)):
        for value in values:
            yield View(address=_list(**{name: value.value}))
    yield View(address=_list(flag="recovered", outcome="failed"))
    yield View(address=_list(status="SUCCESS", outcome="failed"))
    yield View(address=_list(status="PENDING", outcome="succeeded"))
    yield View(address=_list(flag="orphan", status="SUCCESS"))
    yield View(address=_list(flag="lost_callback", status="PENDING", outcome="unresolved"))
    yield View(address=_list(status="NO_SUCH_STATUS"))


def _searches(connection: Connection) -> Iterator[View]:
    for name, words in SEARCHES.items():
        yield View(address=_list(q=words), name=f"/admin/?q=<{name}: {words}>")
    for outcome in (Outcome.SUCCEEDED, Outcome.FAILED):
        yield View(address=_list(q="rain", outcome=outcome.value))
        yield View(address=_list(q=RARE.lower(), outcome=outcome.value))
    task_id = connection.scalar(select(task.c.task_id).order_by(task.c.number).offset(999).limit(1)) or ""
    for length in (1, 2, 6, 32):
        yield View(address=_list(q=task_id[:length]), name=f"/admin/?q=<{length} characters of an id>")


def _deep(client: FlaskClient, connection: Connection) -> Iterator[View]:
    address, pages = "/admin/", 0
    while pages < DEEP and (found := NEXT.search(client.get(address).text)):
        address, pages = html.unescape(found[1]), pages + 1
    yield View(address=address, name=f"/admin/?cursor=<{pages} pages deep>")
    oldest = select(task.c.first_seen_at, task.c.task_id).order_by(task.c.first_seen_at, task.c.task_id)
    place = connection.execute(oldest.offset(BEFORE_THE_END).limit(1)).first()
    if place:
        cursor = cursor_at((place.first_seen_at, place.task_id))
        for filters in ({}, {"outcome": "failed"}, {"flag": "recovered", "outcome": "failed"}):
            name = f"{_list(**filters)} <near the end>"
            yield View(address=_list(**filters, cursor=cursor), name=name)


def _other_pages() -> Iterator[View]:
    causes = [f"cause={cause.value}" for cause in quarantine.CAUSES]
    for query in ("", *causes, "seen=yes", *(f"seen=yes&{cause}" for cause in causes)):
        yield View(address=f"/admin/quarantine?{query}")
    yield View(address="/admin/quarantine/read-again?seen=yes")
    for query in ("", "?days=1", "?days=7", "?days=30", "?days=90"):
        yield View(address=f"/admin/activity{query}")
    yield View(address="/admin/actions")
    yield View(address="/admin/acknowledge")


def _list(**filters: str) -> str:
    return f"/admin/?{urlencode(filters)}"
