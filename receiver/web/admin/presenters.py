"""Tasks, tracks and deliveries as a page shows them. Pure: `now` is handed in."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from receiver.core.claims import Claims
from receiver.core.observation import DETAIL_FIELDS, TRACK_FIELDS, is_audio_file
from receiver.core.task import Task
from receiver.core.task_change import TaskChange
from receiver.store.deliveries import StoredDelivery
from receiver.web.admin.badges import Badge, cause_badge, flags_of, result_badge, task_badge
from receiver.web.admin.body_preview import MAX_BODY_CHARS, Body, body_of
from receiver.web.admin.media import HTTPS, may_load
from receiver.web.admin.times import Timestamp, humanize, timestamp

WEB_ADDRESS = re.compile(r"https?://[^\s\\\x00-\x1f\x7f]+", re.IGNORECASE)
LAST_YEAR = 9999  # some days after it there are no more dates
# "Generated files are retained for 14 days" (the upstream's page on generating music)
RETAINED = timedelta(days=14)


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRow:
    task_id: str
    title: str
    label: str | None
    mark: Badge
    flags: tuple[Badge, ...]
    sources: str
    ready: int
    tracks: int
    first_seen: Timestamp
    next_poll: Timestamp | None


@dataclass(frozen=True, slots=True)
class Field:
    """A value, and whether record-info said so or only a callback."""

    name: str
    value: str
    confirmed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackCard:
    """A track; its addresses are only those that are safe to link to. `gone`: its files have vanished.

    What is not confirmed the browser loads only when a person asks for it: anybody may have sent the address.
    """

    key: str
    title: str
    image: str | None
    image_confirmed: bool
    audio: str | None
    audio_confirmed: bool
    vanishes: Timestamp
    gone: bool
    links: tuple[tuple[str, str], ...]
    fields: tuple[Field, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryRow:
    id: int
    task_id: str | None
    source: str
    received: Timestamp
    mark: Badge
    cause: Badge | None
    seen: Timestamp | None
    status: str
    product: str | None
    query: str | None
    errors: tuple[tuple[str, str], ...]
    change: TaskChange
    repeats: int | None
    body: Body | None


def task_row(task: Task, now: datetime, *, late: datetime | None) -> TaskRow:
    """A look that was planned before `late` is overdue; None: nobody looks."""
    tracks = list(task.tracks.values())
    titles = {str(claims["title"].value): None for claims in tracks if "title" in claims}
    return TaskRow(
        task_id=task.task_id,
        title=" / ".join(titles),
        label=task.display_label,
        mark=task_badge(task, late=late),
        flags=flags_of(task),
        sources=_sources(task),
        ready=task.state.count_playable(),
        tracks=len(tracks),
        first_seen=humanize(task.first_seen_at, now),
        next_poll=_next_poll(task, now) if late else None,
    )


def moments_of(task: Task, now: datetime) -> Sequence[tuple[str, Timestamp | None]]:
    return [
        ("First seen", timestamp(task.first_seen_at, now)),
        ("Registered", timestamp(task.registered_at, now)),
        ("Last callback", timestamp(task.last_callback_at, now)),
        ("Last polled", timestamp(task.last_polled_at, now)),
        ("Next look", _next_poll(task, now)),
        ("Gave up", timestamp(task.gave_up_at, now)),
        ("Settled", timestamp(task.settled_at, now)),
    ]


def details_of(task: Task) -> tuple[Field, ...]:
    return _fields(DETAIL_FIELDS, task.state.visible_details)


def track_cards(task: Task, now: datetime, *, origins: tuple[str, ...] = (HTTPS,)) -> list[TrackCard]:
    """Covers and players are only those of these `origins`; all safe addresses are links."""
    tracks = sorted(task.tracks.items())
    seen = task.first_seen_at
    return [_track_card(key, claims, seen=seen, now=now, origins=origins) for key, claims in tracks]


def delivery_row(told: StoredDelivery, now: datetime, *, longest: int = MAX_BODY_CHARS) -> DeliveryRow:
    mark = result_badge(told.result)
    return DeliveryRow(
        id=told.id,
        task_id=told.task_id,
        source=told.source,
        received=humanize(told.received_at, now),
        mark=mark,
        cause=cause_badge(told.cause) if told.cause else None,
        seen=timestamp(told.acknowledged_at, now),
        status=told.status,
        product=told.product,
        query=told.query,
        errors=error_rows(told.errors),
        change=told.change,
        repeats=told.repeats,
        body=None if told.body is None else body_of(told.body, longest=longest),
    )


def error_rows(errors: Mapping[str, list[str]] | None) -> tuple[tuple[str, str], ...]:
    return tuple((where or "body", " ".join(map(str, texts))) for where, texts in (errors or {}).items())


def web_address(value: object) -> str | None:
    """The value where it is a plain http(s) address; anything else could run in the page when followed."""
    return value if isinstance(value, str) and WEB_ADDRESS.fullmatch(value) else None


def _next_poll(task: Task, now: datetime) -> Timestamp | None:
    planned = timestamp(task.next_poll_at, now)
    return replace(planned, words=f"due {planned.words}") if planned and "ago" in planned.words else planned


def _sources(task: Task) -> str:
    if task.callbacks and task.polls:
        return "both"
    return "callback" if task.callbacks else "poll" if task.polls else "nobody yet"


def _track_card(
    key: str, claims: Claims, *, seen: datetime, now: datetime, origins: tuple[str, ...]
) -> TrackCard:
    links = [(name, web_address(claims[name].value)) for name in TRACK_FIELDS if name in claims]
    safe = {name: address for name, address in links if address and name.endswith("Url")}
    source = ["sourceAudioUrl"] if is_audio_file(safe.get("sourceAudioUrl")) else []
    media = {name: address for name, address in safe.items() if may_load(address, origins)}
    image = _media(media, claims, "imageUrl", "sourceImageUrl")
    audio = _media(media, claims, "audioUrl", *source, "streamAudioUrl")
    vanishes = _created(claims, seen) + RETAINED
    return TrackCard(
        key=key,
        title=str(claims["title"].value) if "title" in claims else "",
        image=safe[image] if image else None,
        image_confirmed=bool(image) and claims[image].confirmed,
        audio=safe[audio] if audio else None,
        audio_confirmed=bool(audio) and claims[audio].confirmed,
        vanishes=humanize(vanishes, now),
        gone=vanishes <= now,
        links=tuple(safe.items()),
        fields=_fields(tuple(name for name in TRACK_FIELDS if name not in safe), claims),
    )


def _media(media: Mapping[str, str], claims: Claims, *names: str) -> str:
    """The first of these fields that a page may show by itself, else the first that it may load; or none."""
    loadable = [name for name in names if name in media]
    return next((name for name in loadable if claims[name].confirmed), next(iter(loadable), ""))


def _created(claims: Claims, seen: datetime) -> datetime:
    """When the files were made: as told where the zone is known, else when the task was seen first."""
    try:
        told = datetime.fromisoformat(str(claims["createTime"].value))
        return told.astimezone(UTC) if told.tzinfo and told.year < LAST_YEAR else seen
    except (KeyError, ValueError, OverflowError):
        return seen


def _fields(names: tuple[str, ...], claims: Claims) -> tuple[Field, ...]:
    known = [name for name in names if name in claims]
    return tuple(Field(name, str(claims[name].value), claims[name].confirmed) for name in known)
