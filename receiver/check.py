"""Is this deployment set up right: plain sentences, for a person at a terminal."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from receiver.core.payloads import Trouble
from receiver.settings import Settings, SettingsError, load_settings
from receiver.store import lease
from receiver.store.database import Database, StoreUnavailableError
from receiver.store.probe import probe_write
from receiver.upstream.client import Answer, UpstreamClient

NOBODY = "receiver-check-no-such-task"


@dataclass(frozen=True, kw_only=True)
class Finding:
    name: str
    ok: bool
    detail: str


def run_checks(environment: Mapping[str, str], *, now: datetime) -> list[Finding]:
    """All findings, or the settings' alone when these are wrong."""
    try:
        settings = load_settings(environment)
    except SettingsError as error:
        return [Finding(name="settings", ok=False, detail=str(error))]
    found = [Finding(name="settings", ok=True, detail="complete and valid")]
    return [*found, *_database(settings, now), _upstream(settings, now)]


def _database(settings: Settings, now: datetime) -> Iterator[Finding]:
    database = Database(settings.database_url)
    try:
        if database.pending_migrations():
            detail = "its tables are of another version: run `receiver upgrade`"
            yield Finding(name="database", ok=False, detail=detail)
            return
        with database.write() as connection:
            probe_write(connection, now=now)
            held = lease.read(connection)
    except StoreUnavailableError as error:
        yield Finding(name="database", ok=False, detail=f"cannot be used: {error}")
        return
    yield Finding(name="database", ok=True, detail="takes writes, tables are of this version")
    alive = held is not None and held.valid(now)
    detail = f"held by {held.holder}" if held and alive else "nobody polls now: is the server running?"
    yield Finding(name="poller", ok=alive, detail=detail)


def _upstream(settings: Settings, now: datetime) -> Finding:
    """Ask about a task that cannot exist: whoever may ask is told that it does not."""
    if not settings.upstream_api_key:
        detail = "no RECEIVER_UPSTREAM_API_KEY: callbacks only, nothing is polled or confirmed"
        return Finding(name="upstream", ok=True, detail=detail)
    client = UpstreamClient(
        url=settings.upstream_url,
        api_key=settings.upstream_api_key,
        timeout_s=settings.poll_timeout,
        concurrency=1,
    )
    told = client.fetch(NOBODY, now=now)
    client.close()
    if isinstance(told, Answer):
        return Finding(name="upstream", ok=True, detail=f"{settings.upstream_url} accepts the key")
    if told.trouble is Trouble.REFUSED:
        return Finding(
            name="upstream", ok=False, detail="the API key is refused: check RECEIVER_UPSTREAM_API_KEY"
        )
    return Finding(
        name="upstream", ok=False, detail=f"{settings.upstream_url}: {told.trouble.value} ({told.detail})"
    )
