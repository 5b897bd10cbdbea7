"""All settings, read once from the environment and checked whole."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import limits
from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from receiver.core.cadence import Cadence
from receiver.core.payloads.tracks import flat_errors
from receiver.core.settlement import Confirm, Policy
from receiver.core.task import Rules

PREFIX = "RECEIVER_"
# Neither JSON nor a URL escapes these, so that a token can be found and removed wherever it comes back.
TOKEN = validate.Regexp(
    r"\A[\w.~-]{16,}\Z", flags=256, error="16 characters or more, of A-Z a-z 0-9 . _ ~ -."
)
POSITIVE = validate.Range(
    min=0, min_inclusive=False, max=1e8, error="Must be more than 0, and 100000000 at most."
)
AT_LEAST_ONE = validate.Range(min=1, max=10**9, error="Must be 1 or more.")
ADDRESS = validate.Regexp(
    r"\A(unix:/.+|(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+):[0-9]{1,5})\Z",
    error="Must be host:port or unix:/a/path.",
)
PRINTABLE = validate.Regexp(r"\A[!-~]*\Z", error="Must be printable ASCII without white space.")
BARE_URL = validate.Regexp(r"\A[^?#@]*\Z", error="Must be a URL without user, query or fragment.")
API_PATH = re.compile(r"(/api/v1)*/?\Z", re.IGNORECASE)
MOST_CALLS = 10_000


class SettingsError(Exception):
    """Settings are wrong or missing; the message names every one and what it should be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PollLimit:
    """At most `amount` record-info calls in any `period_s` seconds, over all processes."""

    amount: int
    period_s: float

    def __str__(self) -> str:
        return f"{self.amount} per {self.period_s:g} s"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What contract section 3 lists; seconds end in `_s` where the name does not tell the unit."""

    bind: str
    workers: int
    threads: int
    database_url: str
    upstream_url: str
    upstream_api_key: str
    callback_tokens: tuple[str, ...]
    api_tokens: tuple[str, ...]
    admin_password: str
    secret_key: str
    signing_key: str
    signature_tolerance: float
    confirm: Confirm
    callback_grace: float
    poll_interval: float
    poll_max_interval: float
    poll_limit: PollLimit
    poll_concurrency: int
    poll_timeout: float
    poll_tick: float
    poller: bool
    give_up_after: float
    max_body_bytes: int
    trusted_proxies: int
    retention_days: float
    log_format: str

    @property
    def rules(self) -> Rules:
        return Rules(
            policy=Policy(confirm=self.confirm, can_confirm=bool(self.upstream_api_key)),
            cadence=Cadence(
                grace_s=self.callback_grace,
                interval_s=self.poll_interval,
                max_interval_s=self.poll_max_interval,
                give_up_after_s=self.give_up_after,
            ),
        )


class Tokens(fields.String):
    """Comma-separated tokens, each checked; at least one."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        tokens = tuple(part.strip() for part in str(value).split(",") if part.strip())
        if not tokens:
            raise ValidationError("At least one token is needed.")
        for token in tokens:
            TOKEN(token)
        return tokens


class Limit(fields.String):
    """One rate in the notation of `limits`, such as `2/second` or `20 per 10 seconds`."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        try:
            (rate,) = limits.parse_many(str(value))
        except ValueError:
            raise ValidationError('One rate such as "2/second" or "20 per 10 seconds".') from None
        if not 1 <= rate.amount <= MOST_CALLS:
            raise ValidationError(f"Must allow 1 to {MOST_CALLS} calls.")
        return PollLimit(amount=rate.amount, period_s=float(rate.get_expiry()))


class DatabaseUrl(fields.String):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        hint = "sqlite:///a/file.db or postgresql+psycopg://user:password@host/name."
        try:
            url = make_url(str(value))
        except ArgumentError:
            raise ValidationError(f"Must be {hint}") from None
        nowhere = url.drivername == "sqlite" and url.database in (None, "", ":memory:")
        if url.drivername not in ("sqlite", "postgresql+psycopg") or nowhere:
            raise ValidationError(f"Must be {hint}")
        if url.drivername == "postgresql+psycopg" and find_spec("psycopg") is None:
            raise ValidationError("PostgreSQL needs its driver: pip install 'receiver[postgresql]'.")
        return str(value)


def secret(*, required: bool, longer_than: int = 0) -> fields.String:
    check = validate.Length(min=longer_than, error=f"Must have {longer_than} characters or more.")
    if required:
        return fields.String(required=True, validate=check, metadata={"secret": True})
    return fields.String(
        load_default="", validate=lambda value: not value or check(value), metadata={"secret": True}
    )


def seconds(default: float) -> fields.Float:
    return fields.Float(load_default=default, validate=POSITIVE)


def whole(default: int) -> fields.Integer:
    return fields.Integer(load_default=default, validate=AT_LEAST_ONE)


class SettingsSchema(Schema):
    """The names of contract section 3 without their prefix."""

    class Meta:
        unknown = RAISE

    error_messages = {"unknown": "No such setting: check the spelling."}  # noqa: RUF012

    bind = fields.String(load_default="127.0.0.1:8000", validate=ADDRESS)
    workers = whole(2)
    threads = whole(32)
    database_url = DatabaseUrl(load_default="sqlite:///instance/receiver.db", metadata={"secret": True})
    upstream_url = fields.Url(
        load_default="https://api.apikley.ru", schemes={"http", "https"}, require_tld=False, validate=BARE_URL
    )
    upstream_api_key = fields.String(load_default="", validate=PRINTABLE, metadata={"secret": True})
    callback_tokens = Tokens(required=True, metadata={"secret": True})
    api_tokens = Tokens(required=True, metadata={"secret": True})
    admin_password = secret(required=True, longer_than=8)
    secret_key = secret(required=True, longer_than=32)
    signing_key = secret(required=False)
    signature_tolerance = seconds(300)
    confirm = fields.Enum(Confirm, by_value=True, load_default=Confirm.SUSPECT)
    callback_grace = seconds(90)
    poll_interval = seconds(30)
    poll_max_interval = seconds(900)
    poll_limit = Limit(load_default=PollLimit(amount=2, period_s=1.0))
    poll_concurrency = whole(8)
    poll_timeout = seconds(10)
    poll_tick = seconds(1)
    poller = fields.Boolean(
        load_default=True, truthy={"on"}, falsy={"off"}, error_messages={"invalid": "on or off."}
    )
    give_up_after = seconds(86400)
    max_body_bytes = whole(262144)
    trusted_proxies = fields.Integer(
        load_default=0, validate=validate.Range(min=0, error="Must be 0 or more.")
    )
    retention_days = seconds(30)
    log_format = fields.String(
        load_default="text", validate=validate.OneOf(("text", "json"), error="text or json.")
    )

    @post_load
    def freeze(self, values: dict[str, Any], **_: Any) -> Settings:
        return Settings(**values | {"upstream_url": _without_api_path(values["upstream_url"])})


def _without_api_path(url: str) -> str:
    """The upstream's address without the `/api/v1` that the vendors' documents and clients write at its end."""
    return API_PATH.sub("", re.sub("(?<!:)/{2,}", "/", url))


SCHEMA = SettingsSchema()
SECRETS = {name for name, field in SCHEMA.fields.items() if field.metadata.get("secret")}
NAMES = sorted(PREFIX + name.upper() for name in SCHEMA.fields)


def load_settings(environment: Mapping[str, str]) -> Settings:
    """The settings in these variables; `SettingsError` names all that are wrong, missing or unknown."""
    values, problems = _collect(environment)
    try:
        settings: Settings = SCHEMA.load(values)
    except ValidationError as error:
        problems |= {name: list(texts) for name, texts in flat_errors(error.messages).items()}
        settings = None  # type: ignore[assignment]
    if problems:
        lines = [
            f"  {PREFIX}{name.upper()}: {' '.join(map(str, texts))}"
            for name, texts in sorted(problems.items())
        ]
        raise SettingsError(
            "\n".join(["These settings are wrong:", *lines, "config/receiver.env.example lists all."])
        )
    return settings


def _collect(environment: Mapping[str, str]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The values by name without prefix, with those of `_FILE` variables read, and what was wrong with these."""
    values: dict[str, str] = {}
    problems: dict[str, list[str]] = {}
    for variable, text in environment.items():
        if not variable.startswith(PREFIX) or text == "":
            continue
        name = variable.removeprefix(PREFIX).lower()
        plain = name.removesuffix("_file")
        if plain == name or plain not in SECRETS:
            values[name] = text
        elif environment.get(PREFIX + plain.upper()):
            problems[name] = [f"Set either this or {PREFIX}{plain.upper()}, not both."]
        else:
            try:
                values[plain] = Path(text).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                problems[name] = [f"Cannot be read: {getattr(error, 'strerror', None) or error}."]
    return values, problems
