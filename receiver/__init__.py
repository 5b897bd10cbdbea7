"""A callback receiver for Suno-style music generation APIs: one reconciled state per task."""

from receiver.app import create_app
from receiver.settings import Settings, SettingsError, load_settings
from receiver.store.schema_version import NewerTablesError

__all__ = ["NewerTablesError", "Settings", "SettingsError", "create_app", "load_settings"]
