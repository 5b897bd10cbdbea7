"""A write that proves that writes are taken."""

import os
from datetime import datetime

from sqlalchemy import Connection

from receiver.store.schema import probe, probe_body
from receiver.store.upsert import insert_into

MAX_PROBE_BYTES = 4 * 2**20  # however large a callback may be


def probe_write(connection: Connection, *, now: datetime) -> None:
    """A small write: whether there is a database that takes any."""
    fresh = insert_into(connection.dialect.name, probe).values(id=1, written_at=now)
    connection.execute(
        fresh.on_conflict_do_update(index_elements=["id"], set_={"written_at": fresh.excluded.written_at})
    )


def probe_write_body(connection: Connection, *, size: int) -> None:
    """A write as large as the largest callback's: a disk that is nearly full still takes small ones.

    It is written over the one before. Its bytes are random, so that no file system makes less of them.
    """
    fresh = insert_into(connection.dialect.name, probe_body).values(
        id=1, body=os.urandom(min(size, MAX_PROBE_BYTES))
    )
    connection.execute(fresh.on_conflict_do_update(index_elements=["id"], set_={"body": fresh.excluded.body}))
