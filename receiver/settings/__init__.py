"""All settings, read once from the environment and checked whole."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate, validates_schema

from receiver.core.cadence import Cadence
from receiver.core.payloads.errors import flat_errors
from receiver.core.settlement import Confirm, Policy
from receiver.core.task import Rules
from receiver.settings.environment import PREFIX, collect
from receiver.settings.field_types import (
    PRINTABLE,
    REQUIRED,
    Address,
    DatabaseUrl,
    Limit,
    PollLimit,
    Tokens,
    UpstreamUrl,
    between,
    seconds,
    secret,
    whole,
)

DAY = 86_400
EXAMPLE = Path(__file__).with_name("receiver.env.example")  # every setting, with its default
# Each opens something else, so that one which leaks must not open the others.
MUST_DIFFER = (
    "callback_tokens",
    "api_tokens",
    "admin_password",
    "secret_key",
    "signing_key",
    "upstream_api_key",
)


class SettingsError(Exception):
    """Settings are wrong or missing; the message names every one and what it should be."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings; times are in seconds, `retention_days` in days. docs/configuration.md describes each."""

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


class SettingsSchema(Schema):
    """The settings by name, without their prefix."""

    class Meta:
        unknown = RAISE

    error_messages = {"unknown": "No such setting: check the spelling."}  # noqa: RUF012

    bind = Address(load_default="127.0.0.1:8000")
    workers = whole(2, most=256)
    threads = whole(32, most=1024)
    database_url = DatabaseUrl(load_default="sqlite:///instance/receiver.db", metadata={"secret": True})
    upstream_url = UpstreamUrl(load_default="https://api.apikley.ru")
    upstream_api_key = fields.String(load_default="", validate=PRINTABLE, metadata={"secret": True})
    callback_tokens = Tokens(required=True, error_messages=REQUIRED, metadata={"secret": True})
    api_tokens = Tokens(required=True, error_messages=REQUIRED, metadata={"secret": True})
    admin_password = secret(required=True, at_least=8)
    secret_key = secret(required=True, at_least=32)
    signing_key = secret(required=False, at_least=16)
    signature_tolerance = seconds(300, least=1, most=DAY)
    confirm = fields.Enum(Confirm, by_value=True, load_default=Confirm.SUSPECT)
    callback_grace = seconds(90, least=0.01, most=7 * DAY)
    poll_interval = seconds(30, least=0.01, most=7 * DAY)
    poll_max_interval = seconds(900, least=0.01, most=30 * DAY)
    poll_limit = Limit(load_default=PollLimit(amount=2, period_s=1.0))
    poll_concurrency = whole(8, most=256)
    poll_timeout = seconds(10, least=0.05, most=300)
    poll_tick = seconds(1, least=0.01, most=60)
    poller = fields.Boolean(
        load_default=True, truthy={"on"}, falsy={"off"}, error_messages={"invalid": "on or off."}
    )
    give_up_after = seconds(DAY, least=0.01, most=366 * DAY)
    max_body_bytes = whole(1048576, most=16 * 1024 * 1024)
    trusted_proxies = whole(0, least=0, most=10)
    retention_days = fields.Float(load_default=30, validate=between(1e-7, 36_500, "days"))
    log_format = fields.String(
        load_default="text", validate=validate.OneOf(("text", "json"), error="text or json.")
    )

    # Also where another setting is wrong: one message names all that are.
    @validates_schema(skip_on_field_errors=False)
    def check_together(self, values: dict[str, Any], **_: Any) -> None:
        problems = dict(_equal_secrets(values))
        interval, longest = values.get("poll_interval"), values.get("poll_max_interval")
        if interval is not None and longest is not None and interval > longest:
            problems["poll_max_interval"] = [f"Must not be less than {PREFIX}POLL_INTERVAL."]
        if problems:
            raise ValidationError(problems)

    @post_load
    def freeze(self, values: dict[str, Any], **_: Any) -> Settings:
        return Settings(**values)


SCHEMA = SettingsSchema()
SECRETS = {name for name, field in SCHEMA.fields.items() if field.metadata.get("secret")}
NAMES = sorted(PREFIX + name.upper() for name in SCHEMA.fields)


def load_settings(environment: Mapping[str, str]) -> Settings:
    """The settings in these variables; `SettingsError` names all that are wrong, missing or unknown."""
    values, problems = collect(environment, secrets=SECRETS)
    try:
        settings: Settings = SCHEMA.load(values)
    except ValidationError as error:
        problems = {name: list(texts) for name, texts in flat_errors(error.messages).items()} | problems
        settings = None  # type: ignore[assignment]
    if problems:
        lines = [
            f"  {PREFIX}{name.upper()}: {' '.join(map(str, texts))}"
            for name, texts in sorted(problems.items())
        ]
        raise SettingsError(
            "\n".join(["These settings are wrong:", *lines, "`receiver settings` lists all."])
        )
    return settings


def with_database(settings: Settings, url: str) -> Settings:
    """The settings on another database. Raises ValueError with what is wrong about the URL."""
    try:
        return replace(settings, database_url=SCHEMA.fields["database_url"].deserialize(url))
    except ValidationError as error:
        raise ValueError(" ".join(map(str, error.messages))) from None


def _equal_secrets(values: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """The settings that have a value in common, without that value."""
    held = {name: _values_of(values[name]) for name in MUST_DIFFER if values.get(name)}
    for name, mine in held.items():
        same = [PREFIX + other.upper() for other in held if other != name and mine & held[other]]
        if same:
            yield name, [f"Must not have the same value as {' and '.join(same)}."]


def _values_of(setting: str | tuple[str, ...]) -> set[str]:
    return {setting} if isinstance(setting, str) else set(setting)
