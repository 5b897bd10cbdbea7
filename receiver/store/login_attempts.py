"""Login attempts by network, and sessions of the admin page, shared by all processes."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select

from receiver.core.login_throttle import RESET_AFTER, Lockout, LoginAttempts
from receiver.store.engines import is_write_transaction
from receiver.store.schema import admin_session, sign_in
from receiver.store.upsert import insert_into

EVERYBODY = "*"
LOCKOUT = "*lockout"  # a row whose columns are those of `Lockout`, in their order


def load_attempts(connection: Connection, networks: list[str]) -> Mapping[str, LoginAttempts]:
    """The attempts of each of these networks, locked until the end of the transaction where it writes.

    There it creates missing rows: what does not exist cannot be locked, and many new networks at once would each
    be the first.
    """
    if is_write_transaction(connection):
        missing = [{"network": network, "failures": 0} for network in sorted(networks)]
        connection.execute(insert_into(connection.dialect.name, sign_in).on_conflict_do_nothing(), missing)
    query = select(sign_in).where(sign_in.c.network.in_(sorted(networks))).order_by(sign_in.c.network)
    rows = connection.execute(query.with_for_update() if is_write_transaction(connection) else query)
    attempts = {
        row.network: LoginAttempts(
            failures=row.failures, failed_at=row.failed_at, succeeded_at=row.succeeded_at
        )
        for row in rows
    }
    return {network: attempts.get(network, LoginAttempts()) for network in networks}


def save_attempts(connection: Connection, changed: Mapping[str, LoginAttempts]) -> None:
    for network, attempts in sorted(changed.items()):
        values = {
            "failures": attempts.failures,
            "failed_at": attempts.failed_at,
            "succeeded_at": attempts.succeeded_at,
        }
        fresh = insert_into(connection.dialect.name, sign_in).values(network=network, **values)
        connection.execute(fresh.on_conflict_do_update(index_elements=["network"], set_=values))


def load_lockout(connection: Connection) -> Lockout:
    """When new networks were last slowed down. Writers hold the row of `EVERYBODY`, and so this one."""
    row = connection.execute(select(sign_in).where(sign_in.c.network == LOCKOUT)).first()
    if row is None:
        return Lockout()
    return Lockout(networks=row.failures, began_at=row.failed_at, ended_at=row.succeeded_at)


def read_lockout(connection: Connection, *, now: datetime) -> Lockout:
    """The lockout by now, for those who only read."""
    everybody = load_attempts(connection, [EVERYBODY])[EVERYBODY]
    return load_lockout(connection).updated(everybody, now=now)


def save_lockout(connection: Connection, lockout: Lockout) -> None:
    row = LoginAttempts(failures=lockout.networks, failed_at=lockout.began_at, succeeded_at=lockout.ended_at)
    save_attempts(connection, {LOCKOUT: row})


def count_failing_networks(connection: Connection, *, now: datetime) -> int:
    """The number of networks with wrong passwords lately."""
    lately = (sign_in.c.failed_at > now - RESET_AFTER) & (sign_in.c.failures > 0)
    query = select(func.count()).where(lately, sign_in.c.network.not_in((EVERYBODY, LOCKOUT)))
    return connection.scalar(query) or 0


def delete_old_attempts(connection: Connection, *, before: datetime) -> None:
    """Delete networks without any attempt since `before`; they are new again."""
    silent = (sign_in.c.failed_at.is_(None) | (sign_in.c.failed_at < before)) & (
        sign_in.c.succeeded_at.is_(None) | (sign_in.c.succeeded_at < before)
    )
    connection.execute(delete(sign_in).where(silent))


def open_session(connection: Connection, key: str, *, expires_at: datetime, now: datetime) -> None:
    """Store the session of a browser that signed in, and delete expired ones."""
    connection.execute(delete(admin_session).where(admin_session.c.expires_at <= now))
    connection.execute(insert(admin_session).values(id=key, expires_at=expires_at))


def session_open(connection: Connection, key: str, *, now: datetime) -> bool:
    query = select(admin_session.c.id).where(admin_session.c.id == key, admin_session.c.expires_at > now)
    return connection.execute(query).first() is not None


def close_session(connection: Connection, key: str) -> None:
    connection.execute(delete(admin_session).where(admin_session.c.id == key))
