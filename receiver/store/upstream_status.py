"""The upstream's health, stored for every process and machine."""

from dataclasses import asdict, fields

from sqlalchemy import Connection, insert, select, update

from receiver.core.upstream_health import UpstreamHealth
from receiver.store.schema import upstream

HEALTH = tuple(field.name for field in fields(UpstreamHealth))
_READ = select(upstream).where(upstream.c.id == 1)


def read_health(connection: Connection) -> UpstreamHealth:
    row = connection.execute(_READ).mappings().one_or_none()
    return UpstreamHealth(**{name: row[name] for name in HEALTH}) if row else UpstreamHealth()


def save_health(connection: Connection, upstream_health: UpstreamHealth) -> None:
    values = asdict(upstream_health)
    changed = connection.execute(update(upstream).where(upstream.c.id == 1).values(**values))
    if changed.rowcount == 0:
        connection.execute(insert(upstream).values(id=1, **values))
