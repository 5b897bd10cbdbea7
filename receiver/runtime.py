"""What a process of the receiver works with: its settings, its database, and the way deliveries take into it."""

from dataclasses import dataclass

from receiver.intake import Intake
from receiver.metrics import Metrics
from receiver.settings import Settings
from receiver.store.database import Database


@dataclass(frozen=True, kw_only=True)
class Runtime:
    settings: Settings
    database: Database
    intake: Intake
    metrics: Metrics


def open_runtime(settings: Settings, *, migrate: bool) -> Runtime:
    """Open the database; starts nothing.

    `migrate` brings the tables to this program's version. Without it, `OutdatedTablesError` where they are older.
    Either way `NewerTablesError` where they are newer.
    """
    database = Database(settings.database_url)
    if migrate:
        database.migrate()
    else:
        database.require_current_tables()
    metrics = Metrics()
    intake = Intake(database, settings.rules, metrics=metrics)
    return Runtime(settings=settings, database=database, intake=intake, metrics=metrics)
