"""Every cap on unregistered data: what strangers sent."""

from collections.abc import Sequence

from receiver.store.body_cap import BodyCap
from receiver.store.cap import Cap
from receiver.store.database import Database
from receiver.store.orphan_cap import OrphanCap


def caps_on_unregistered_data(database: Database) -> Sequence[Cap]:
    return BodyCap(database), OrphanCap(database)
