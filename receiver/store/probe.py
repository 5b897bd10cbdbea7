"""A write that proves that writes are taken."""

from datetime import datetime

from sqlalchemy import Connection

from receiver.store.schema import probe
from receiver.store.upsert import insert_into


def probe_write(connection: Connection, *, now: datetime) -> None:
    fresh = insert_into(connection, probe).values(id=1, written_at=now)
    connection.execute(
        fresh.on_conflict_do_update(index_elements=["id"], set_={"written_at": fresh.excluded.written_at})
    )
