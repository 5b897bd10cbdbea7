"""The tables. Deliveries are the truth; a task's row is derived from them and from what its owner said."""

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)


class Moment(TypeDecorator[datetime]):
    """An aware UTC datetime everywhere; SQLite keeps it as text that sorts by time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return (
            value if value is None or dialect.name != "sqlite" else value.astimezone(UTC).replace(tzinfo=None)
        )

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)


metadata = MetaData()
ID = BigInteger().with_variant(Integer, "sqlite")  # only an INTEGER key numbers itself in SQLite

task = Table(
    "task",
    metadata,
    Column("task_id", String(200), primary_key=True),
    Column("label", Text),
    Column("registered_at", Moment),
    Column("first_seen_at", Moment, nullable=False),
    Column("last_callback_at", Moment),
    Column("last_polled_at", Moment),
    Column("gave_up_at", Moment),
    Column("settled_at", Moment),
    Column("next_poll_at", Moment),
    Column("poll_requested", Boolean, nullable=False),
    Column("claimed_until", Moment),
    Column("attempt", Integer, nullable=False),
    Column("callbacks", Integer, nullable=False),
    Column("polls", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("conflict", Boolean, nullable=False),
    Column("recovered", Boolean, nullable=False),
    Column("lost_callback", Boolean, nullable=False),
    Column("titles", Text, nullable=False),
    Index("task_newest", "first_seen_at", "task_id"),
    Index("task_outcome", "outcome", "first_seen_at", "task_id"),
    # Only what is to be polled: stays small, however many tasks have settled.
    Index(
        "task_due",
        "poll_requested",
        "next_poll_at",
        sqlite_where=text("next_poll_at IS NOT NULL"),
        postgresql_where=text("next_poll_at IS NOT NULL"),
    ),
    Index(
        "task_unsettled",
        "first_seen_at",
        sqlite_where=text("outcome = 'in_progress'"),
        postgresql_where=text("outcome = 'in_progress'"),
    ),
)

delivery = Table(
    "delivery",
    metadata,
    Column("id", ID, primary_key=True, autoincrement=True),
    Column("task_id", String(200)),
    Column("source", String(16), nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("result", String(16), nullable=False),
    Column("status", Text, nullable=False),
    Column("product", String(32)),
    Column("errors", Text, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("body", LargeBinary),
    Index("delivery_of_task", "task_id", "id"),
    Index("delivery_digest", "task_id", "source", "digest"),
    Index(
        "delivery_quarantine",
        "id",
        sqlite_where=text("result = 'quarantined'"),
        postgresql_where=text("result = 'quarantined'"),
    ),
    sqlite_autoincrement=True,
)

# How often what happened, by hour: `subject` is a delivery's source, `name` its result or why it was refused.
tally = Table(
    "tally",
    metadata,
    Column("hour", Moment, primary_key=True),
    Column("subject", String(16), primary_key=True),
    Column("name", String(32), primary_key=True),
    Column("count", BigInteger, nullable=False),
)

lease = Table(
    "lease",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("holder", Text, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("heartbeat_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
)

# As many rows as calls are allowed in the limit's period; a call takes one until a whole period after its end.
poll_slot = Table(
    "poll_slot",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("free_at", Moment, nullable=False),
)

# One row: how the upstream is doing. `failures` in a row; while it is not 0, one probe call decides.
upstream = Table(
    "upstream",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("failures", Integer, nullable=False),
    Column("trouble", String(32)),
    Column("detail", Text),
    Column("paused_until", Moment),
    Column("failed_at", Moment),
)

# One row, written by `/readyz` to see whether writes are taken.
probe = Table(
    "probe",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("written_at", Moment, nullable=False),
)
