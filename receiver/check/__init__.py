"""Diagnose a deployment, in plain sentences for a person at a terminal."""

from collections.abc import Mapping
from datetime import datetime

from receiver.check.external import check_from_outside
from receiver.check.finding import Finding, Level, fail, is_database_usable, ok, warning
from receiver.check.local import check_database, check_files, check_upstream
from receiver.settings import Settings, SettingsError, load_settings
from receiver.settings.advice import settings_warnings

__all__ = ["Finding", "Level", "check_settings", "run_checks"]


def check_settings(environment: Mapping[str, str]) -> list[Finding]:
    """The settings alone: nothing else is opened."""
    return _settings(environment)[0]


def run_checks(environment: Mapping[str, str], *, url: str | None, now: datetime) -> list[Finding]:
    """All findings, or the settings' alone when these are wrong. `url` is where the upstream reaches us."""
    found, settings = _settings(environment)
    if settings is None:
        return found
    found += check_files(settings)
    if is_database_usable(found):
        found += check_database(settings, now)
    readable = is_database_usable(found)
    found += check_upstream(settings, now, note=readable)
    return [*found, *check_from_outside(settings, url, readable=readable, now=now)]


def _settings(environment: Mapping[str, str]) -> tuple[list[Finding], Settings | None]:
    try:
        settings = load_settings(environment)
    except SettingsError as error:
        return [fail("settings", str(error))], None
    warned = [warning("settings", f"{name}: {sentence}") for name, sentence in settings_warnings(settings)]
    return [ok("settings", "complete and valid"), *warned], settings
