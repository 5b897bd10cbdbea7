"""Engines: how SQLite and PostgreSQL are connected to."""

import os
import sqlite3
import weakref
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.pool import ConnectionPoolEntry

from receiver.store.open_file import OpenFile
from receiver.store.private_files import make_private

BUSY_TIMEOUT_S = 2
POOL_TIMEOUT_S = 4.0
# PostgreSQL. Each process opens at most POOL_SIZE + POOL_OVERFLOW connections: see docs/scaling.md.
POOL_SIZE = 4
POOL_OVERFLOW = 4
# A network that is cut answers nothing: libpq must find out by itself, in time for a 503. What the URL says wins.
CONNECT_ARGS = {
    "connect_timeout": 3,
    "tcp_user_timeout": 5000,
    "keepalives_idle": 3,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "prepare_threshold": None,  # a prepared statement belongs to one session, which pgbouncer gives to others
    "application_name": "receiver",
}


def is_write_transaction(connection: Connection) -> bool:
    """Whether this is the connection of a writing transaction, whose rows are locked as they are read."""
    return bool(connection.get_execution_options().get("immediate"))


def driver_connection(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def postgresql_engine(url: URL) -> Engine:
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=POOL_TIMEOUT_S,
        pool_pre_ping=True,
        connect_args={name: value for name, value in CONNECT_ARGS.items() if name not in url.query},
    )
    _leave_to_parent(engine)
    return engine


def sqlite_engine(url: URL, file: OpenFile) -> Engine:
    assert url.database
    Path(url.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = {"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}
    engine = create_engine(url, hide_parameters=True, connect_args=options)

    @event.listens_for(engine, "do_connect")
    def _before_connecting(*_: object) -> None:
        assert url.database
        file.before_connecting()  # refuses where the database was there and is gone, before an empty one is made
        make_private(Path(url.database))

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # we begin transactions, not the driver
        connection.execute("PRAGMA synchronous=FULL")
        # Else each transaction that inserts many rows makes a file of the pages to undo, and writes them there.
        connection.execute("PRAGMA temp_store=MEMORY")
        # 16 MB: what each transaction writes again goes to the database once for many of them, and is synced once.
        connection.execute("PRAGMA wal_autocheckpoint=4000")
        file.connected(connection, record.info)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        driver_connection(connection).execute(
            "BEGIN IMMEDIATE" if is_write_transaction(connection) else "BEGIN"
        )

    _leave_to_parent(engine)
    return engine


def _leave_to_parent(engine: Engine) -> None:
    """A forked child opens its own connections. A registered function lives for good, and must not hold the engine."""
    reference = weakref.ref(engine)

    def dispose() -> None:
        engine = reference()
        if engine is not None:
            engine.dispose(close=False)

    os.register_at_fork(after_in_child=dispose)
