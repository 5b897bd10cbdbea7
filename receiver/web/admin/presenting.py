"""Tasks and deliveries in a person's words. Pure: `now` is handed in."""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from receiver.core.observation import DETAIL_FIELDS, TRACK_FIELDS, Status
from receiver.core.reconciliation import Claims
from receiver.core.settlement import Outcome
from receiver.core.task import Task
from receiver.store.deliveries import StoredDelivery

OVERDUE_AFTER = timedelta(minutes=1)
LONGEST_BODY = 20_000
WEB_ADDRESS = re.compile(r"https?://[^\s\\\x00-\x1f\x7f]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class When:
    """A moment: for machines, exactly, and as long ago as it is."""

    iso: str
    exact: str
    words: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A state as colour, icon and word, each of which is enough."""

    colour: str
    icon: str
    word: str


SUCCEEDED = Mark("green", "✓", "succeeded")
FAILED = Mark("red", "✕", "failed")
UNRESOLVED = Mark("red", "?", "unresolved")
OVERDUE = Mark("amber", "▲", "overdue")
CALLBACK_EXCEPTION = Mark("amber", "▲", "callback exception")
UNCONFIRMED = Mark("violet", "◇", "unconfirmed")
TEXT = Mark("blue", "◔", "text ready")
FIRST = Mark("blue", "◑", "first ready")
PENDING = Mark("slate", "○", "pending")
RESULTS = {
    "accepted": Mark("green", "✓", "accepted"),
    "duplicate": Mark("slate", "=", "duplicate"),
    "quarantined": Mark("red", "✕", "quarantined"),
    "unsupported": Mark("amber", "▲", "unsupported"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRow:
    task_id: str
    title: str
    label: str | None
    mark: Mark
    flags: tuple[Mark, ...]
    told_by: str
    ready: int
    tracks: int
    first_seen: When
    next_look: When | None


@dataclass(frozen=True, slots=True)
class Field:
    """A value, and whether record-info said so or only a callback."""

    name: str
    value: str
    confirmed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackCard:
    """A track; its addresses are only those that are safe to link to."""

    title: str
    image: str | None
    audio: str | None
    links: tuple[tuple[str, str], ...]
    fields: tuple[Field, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryRow:
    id: int
    task_id: str | None
    source: str
    received: When
    mark: Mark
    status: str
    product: str | None
    errors: tuple[tuple[str, str], ...]
    size: int | None
    body: str | None


def span(seconds: float) -> str:
    """A length of time in its largest unit."""
    if seconds < 60:
        return f"{int(seconds)} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min"
    if seconds < 48 * 3600:
        return f"{int(seconds // 3600)} h"
    return f"{int(seconds // 86400)} days"


def when(moment: datetime | None, now: datetime) -> When | None:
    return None if moment is None else moment_words(moment, now)


def moment_words(moment: datetime, now: datetime) -> When:
    passed_s = (now - moment).total_seconds()
    words = f"{span(passed_s)} ago" if passed_s >= 0 else f"in {span(-passed_s)}"
    if abs(passed_s) < 1:
        words = "now"
    exact = moment.astimezone(UTC)
    return When(f"{exact:%Y-%m-%dT%H:%M:%SZ}", f"{exact:%Y-%m-%d %H:%M:%S} UTC", words)


def mark_of(task: Task, now: datetime) -> Mark:
    """The one thing to say about a task's state."""
    ended = {Outcome.SUCCEEDED: SUCCEEDED, Outcome.FAILED: FAILED, Outcome.UNRESOLVED: UNRESOLVED}
    if task.verdict.outcome in ended:
        return ended[task.verdict.outcome]
    status = task.state.reconciled_status
    if task.next_poll_at is not None and task.next_poll_at <= now - OVERDUE_AFTER:
        return OVERDUE
    if status.word == Status.CALLBACK_EXCEPTION:
        return CALLBACK_EXCEPTION
    if status.ends:
        return UNCONFIRMED
    return {Status.TEXT_SUCCESS.value: TEXT, Status.FIRST_SUCCESS.value: FIRST}.get(status.word, PENDING)


def flags_of(task: Task) -> tuple[Mark, ...]:
    flags = (
        (task.state.conflict, Mark("amber", "≠", "conflict")),
        (task.verdict.recovered, Mark("green", "↺", "recovered")),
        (task.verdict.lost_callback, Mark("amber", "∅", "lost callback")),
        (task.registered_at is None, Mark("slate", "◌", "orphan")),
    )
    return tuple(flag for holds, flag in flags if holds)


def task_row(task: Task, now: datetime) -> TaskRow:
    tracks = list(task.state.visible_tracks.values())
    titles = {str(claims["title"].value): None for claims in tracks if "title" in claims}
    return TaskRow(
        task_id=task.task_id,
        title=" / ".join(titles),
        label=task.label,
        mark=mark_of(task, now),
        flags=flags_of(task),
        told_by=_told_by(task),
        ready=sum("audioUrl" in claims for claims in tracks),
        tracks=len(tracks),
        first_seen=moment_words(task.first_seen_at, now),
        next_look=_next_look(task, now),
    )


def moments_of(task: Task, now: datetime) -> Sequence[tuple[str, When | None]]:
    return [
        ("First seen", when(task.first_seen_at, now)),
        ("Registered", when(task.registered_at, now)),
        ("Last callback", when(task.last_callback_at, now)),
        ("Last polled", when(task.last_polled_at, now)),
        ("Next look", _next_look(task, now)),
        ("Gave up", when(task.gave_up_at, now)),
        ("Settled", when(task.settled_at, now)),
    ]


def details_of(task: Task) -> tuple[Field, ...]:
    return _fields(DETAIL_FIELDS, task.state.details)


def track_cards(task: Task) -> list[TrackCard]:
    return [_track_card(claims) for _, claims in sorted(task.state.visible_tracks.items())]


def delivery_row(told: StoredDelivery, now: datetime) -> DeliveryRow:
    return DeliveryRow(
        id=told.id,
        task_id=told.task_id,
        source=told.source,
        received=moment_words(told.received_at, now),
        mark=RESULTS.get(told.result, Mark("slate", "○", told.result)),
        status=told.status,
        product=told.product,
        errors=tuple((where or "body", " ".join(map(str, texts))) for where, texts in _errors(told).items()),
        size=None if told.body is None else len(told.body),
        body=None if told.body is None else pretty(told.body),
    )


def pretty(body: bytes) -> str:
    """The body to read: indented where it is JSON, and cut where it is long."""
    text = body.decode(errors="replace")
    with suppress(ValueError, RecursionError):  # what is not JSON is shown as it came
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return text if len(text) <= LONGEST_BODY else f"{text[:LONGEST_BODY]}\n… cut here; the API gives the rest"


def web_address(value: object) -> str | None:
    """The value where it is a plain http(s) address; anything else could run in the page when followed."""
    return value if isinstance(value, str) and WEB_ADDRESS.fullmatch(value) else None


def _next_look(task: Task, now: datetime) -> When | None:
    planned = when(task.next_poll_at, now)
    return replace(planned, words=f"due {planned.words}") if planned and "ago" in planned.words else planned


def _told_by(task: Task) -> str:
    if task.callbacks and task.polls:
        return "both"
    return "callback" if task.callbacks else "poll" if task.polls else "nobody yet"


def _track_card(claims: Claims) -> TrackCard:
    links = [(name, web_address(claims[name].value)) for name in TRACK_FIELDS if name in claims]
    safe = {name: address for name, address in links if address and name.endswith("Url")}
    return TrackCard(
        title=str(claims["title"].value) if "title" in claims else "",
        image=safe.get("imageUrl") or safe.get("sourceImageUrl"),
        audio=safe.get("audioUrl") or safe.get("streamAudioUrl"),
        links=tuple(safe.items()),
        fields=_fields(tuple(name for name in TRACK_FIELDS if name not in safe), claims),
    )


def _fields(names: tuple[str, ...], claims: Claims) -> tuple[Field, ...]:
    known = [name for name in names if name in claims]
    return tuple(Field(name, str(claims[name].value), claims[name].confirmed) for name in known)


def _errors(told: StoredDelivery) -> Mapping[str, list[str]]:
    return told.errors or {}
