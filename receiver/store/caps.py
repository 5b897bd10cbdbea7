"""Every bound on what strangers may store."""

from collections.abc import Sequence

from receiver.store.body_cap import BodyCap
from receiver.store.cap import Cap
from receiver.store.database import Database
from receiver.store.orphan_cap import OrphanCap


def strangers_caps(database: Database) -> Sequence[Cap]:
    return BodyCap(database), OrphanCap(database)
