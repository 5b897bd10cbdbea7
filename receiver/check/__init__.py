"""Is this deployment set up right: plain sentences, for a person at a terminal."""

from collections.abc import Mapping
from datetime import datetime

from receiver.check.finding import Finding, Level, bad, ok
from receiver.check.inside import look_at_database, look_at_files, look_at_upstream
from receiver.check.outside import look_from_outside
from receiver.settings import Settings, SettingsError, load_settings

__all__ = ["Finding", "Level", "check_settings", "run_checks"]


def check_settings(environment: Mapping[str, str]) -> Finding:
    """The settings alone: nothing else is opened."""
    return _settings(environment)[0]


def run_checks(environment: Mapping[str, str], *, url: str | None, now: datetime) -> list[Finding]:
    """All findings, or the settings' alone when these are wrong. `url` is where the upstream reaches us."""
    first, settings = _settings(environment)
    if settings is None:
        return [first]
    found = [first, *look_at_files(settings)]
    if found[-1].level is not Level.BAD:
        found += look_at_database(settings, now)
    readable = not any(one.name == "database" and one.level is Level.BAD for one in found)
    found += look_at_upstream(settings, now, note=readable)
    return [*found, *look_from_outside(settings, url, readable=readable, now=now)]


def _settings(environment: Mapping[str, str]) -> tuple[Finding, Settings | None]:
    try:
        settings = load_settings(environment)
    except SettingsError as error:
        return bad("settings", str(error)), None
    return ok("settings", "complete and valid"), settings
