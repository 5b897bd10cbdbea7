"""Settings that are allowed and probably a mistake, each with a sentence."""

import ipaddress
import logging
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from receiver.core.weak_secrets import why_weak
from receiver.settings import DAY, MUST_DIFFER, Settings
from receiver.settings.environment import PREFIX

log = logging.getLogger(__name__)

SHORT_PASSWORD = 12
SMALL_BODY = 64 * 1024
Warned = tuple[str, str]

LATE = "Much longer than usual"
# The setting, when it is warned about, and in what words.
TIME_RULES: tuple[tuple[str, Callable[[Settings], bool], str], ...] = (
    (
        "give_up_after",
        lambda it: it.give_up_after < it.callback_grace,
        f"Less than {PREFIX}CALLBACK_GRACE: a task without a callback is given up at its first poll.",
    ),
    (
        "give_up_after",
        lambda it: it.give_up_after > 30 * DAY,
        f"{LATE}: a task that never ends is polled for that long.",
    ),
    (
        "callback_grace",
        lambda it: it.callback_grace > DAY / 2,
        f"{LATE}: a lost callback is noticed only then.",
    ),
    (
        "poll_interval",
        lambda it: it.poll_interval < 1,
        "Less than a second: tasks that take minutes use up the quota.",
    ),
    (
        "poll_max_interval",
        lambda it: it.poll_max_interval > DAY,
        f"{LATE}: an end may be noticed a day late.",
    ),
    (
        "poll_limit",
        lambda it: it.poll_limit.amount * 60 < it.poll_limit.period_s,
        "Less than a call a minute: tasks wait long for their polls.",
    ),
    (
        "poll_timeout",
        lambda it: it.poll_timeout > 20,
        "More than 20 seconds: a call under way is cut off when the server stops.",
    ),
    (
        "poll_timeout",
        lambda it: it.poll_timeout < 1,
        "Less than a second: slow answers count as failures.",
    ),
    (
        "poll_tick",
        lambda it: it.poll_tick > 5,
        "More than 5 seconds: another process takes over polling after more than 15 seconds.",
    ),
    (
        "poll_tick",
        lambda it: it.poll_tick < 0.05,
        "Each pass queries the database: this many passes keep it busy.",
    ),
    (
        "signature_tolerance",
        lambda it: it.signature_tolerance > 3600,
        "Over an hour: a recorded signed callback can be replayed for that long.",
    ),
    (
        "signature_tolerance",
        lambda it: it.signature_tolerance < 10,
        "Less than 10 seconds: callbacks are refused when the clocks differ a little.",
    ),
)


def settings_warnings(settings: Settings) -> list[Warned]:
    """Warnings for the operator, by the setting's whole name; no sentence holds a secret."""
    return [
        (PREFIX + name.upper(), sentence)
        for check in (_secrets, _way_in, _way_to_upstream, _times, _sizes)
        for name, sentence in check(settings)
    ]


def log_settings_warnings(settings: Settings) -> None:
    for name, sentence in settings_warnings(settings):
        log.warning("%s: %s", name, sentence)


def _secrets(settings: Settings) -> Iterator[Warned]:
    for name in MUST_DIFFER:
        held = getattr(settings, name)
        for secret in (held,) if isinstance(held, str) else held:
            why = why_weak(secret) if secret else None
            if why:
                yield name, f"Easy to guess: it {why}. Make a random one."
                break
    if len(settings.admin_password) < SHORT_PASSWORD:
        yield "admin_password", f"Fewer than {SHORT_PASSWORD} characters: use a longer one."


def _way_in(settings: Settings) -> Iterator[Warned]:
    host = settings.bind.rpartition(":")[0]
    if not settings.trusted_proxies and not settings.bind.startswith("unix:") and not is_loopback(host):
        advice = f"put nginx or Caddy in front of it and set {PREFIX}TRUSTED_PROXIES=1."
        yield "bind", f"Other machines reach this port, and their requests are not encrypted: {advice}"
    if settings.trusted_proxies > 3:
        yield (
            "trusted_proxies",
            "More proxies than usual are trusted; a client that passes fewer of them can forge its address.",
        )


def _way_to_upstream(settings: Settings) -> Iterator[Warned]:
    parts = urlsplit(settings.upstream_url)
    if settings.upstream_api_key and parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        yield "upstream_url", "http:// exposes the API key on the network: use https://."


def _times(settings: Settings) -> Iterator[Warned]:
    yield from ((name, sentence) for name, holds, sentence in TIME_RULES if holds(settings))


def _sizes(settings: Settings) -> Iterator[Warned]:
    if settings.max_body_bytes < SMALL_BODY:
        yield "max_body_bytes", "Callbacks with lyrics may be larger; they are refused."
    if settings.retention_days < 1:
        yield "retention_days", "Less than a day: bodies are deleted before anybody can inspect them."
    if settings.retention_days > 3650:
        yield "retention_days", "More than ten years: the database only grows."
    if settings.workers * settings.threads > 2048:
        yield "threads", f"{settings.workers} x {settings.threads} threads are more than one machine can use."
    if settings.poll_concurrency > 64:
        yield (
            "poll_concurrency",
            "Each call in flight is a thread; few are enough to reach RECEIVER_POLL_LIMIT.",
        )


def is_loopback(host: str) -> bool:
    """Whether this names this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.casefold() == "localhost"
