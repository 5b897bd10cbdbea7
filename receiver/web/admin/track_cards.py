"""Tracks as a page shows them, with their cover, player and links. Pure: `now` is passed in."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from receiver.core.claims import Claims
from receiver.core.observation import TRACK_FIELDS, is_audio_file
from receiver.core.task import Task
from receiver.core.times import Timestamp, humanize
from receiver.web.admin.media import HTTPS, may_load
from receiver.web.admin.presenters import UNTITLED, Field, fields_of, web_address

LAST_YEAR = 9999  # some days after it there are no more dates
# "Generated files are retained for 14 days" (the upstream's page on generating music)
RETAINED = timedelta(days=14)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackCard:
    """A track; its links are only the URLs that are safe to link to.

    The browser loads what is not confirmed only when a person asks for it: anybody may have sent the URL.
    """

    key: str
    title: str
    image: str | None
    image_confirmed: bool
    audio: str | None
    audio_confirmed: bool
    expires: Timestamp
    links: tuple[tuple[str, str], ...]
    fields: tuple[Field, ...]


def track_cards(task: Task, now: datetime, *, origins: tuple[str, ...] = (HTTPS,)) -> list[TrackCard]:
    """Covers and audio come from these `origins` alone; all safe URLs are links."""
    tracks = sorted(task.tracks.items())
    seen_at = task.first_seen_at
    return [_track_card(key, claims, seen_at=seen_at, now=now, origins=origins) for key, claims in tracks]


def _track_card(
    key: str, claims: Claims, *, seen_at: datetime, now: datetime, origins: tuple[str, ...]
) -> TrackCard:
    urls = [(name, web_address(claims[name].value)) for name in TRACK_FIELDS if name in claims]
    links = {name: url for name, url in urls if url and name.endswith("Url")}
    source = ["sourceAudioUrl"] if is_audio_file(links.get("sourceAudioUrl")) else []
    media = {name: url for name, url in links.items() if may_load(url, origins)}
    image = _preferred(media, claims, "imageUrl", "sourceImageUrl")
    audio = _preferred(media, claims, "audioUrl", *source, "streamAudioUrl")
    return TrackCard(
        key=key,
        title=str(claims["title"].value) if "title" in claims else UNTITLED,
        image=links[image] if image else None,
        image_confirmed=bool(image) and claims[image].confirmed,
        audio=links[audio] if audio else None,
        audio_confirmed=bool(audio) and claims[audio].confirmed,
        expires=humanize(_created(claims, seen_at) + RETAINED, now),
        links=tuple(links.items()),
        fields=fields_of(tuple(name for name in TRACK_FIELDS if name not in links), claims),
    )


def _preferred(media: Mapping[str, str], claims: Claims, *names: str) -> str:
    """The first of these fields that is confirmed, else the first that may be loaded; or none."""
    loadable = [name for name in names if name in media]
    return next((name for name in loadable if claims[name].confirmed), next(iter(loadable), ""))


def _created(claims: Claims, seen_at: datetime) -> datetime:
    """When the files were made: the reported time where it has a time zone, else when the task was first seen."""
    try:
        created = datetime.fromisoformat(str(claims["createTime"].value))
        return created.astimezone(UTC) if created.tzinfo and created.year < LAST_YEAR else seen_at
    except (KeyError, ValueError, OverflowError):
        return seen_at
