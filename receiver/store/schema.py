"""The tables. Deliveries are the record; a task's row is derived from them and from its registration."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

from receiver.store.utc_datetime import UtcDateTime

metadata = MetaData()
UNREADABLE = "result = 'quarantined'"
MAX_ID = 2**63 - 1
ID = BigInteger().with_variant(Integer, "sqlite")  # only an INTEGER key numbers itself in SQLite


def _partial(name: str, *columns: str, where: str) -> Index:
    """An index of only these rows; a query must say `where` to the letter as the database knows it."""
    is_one = text(where.replace("IS true", "IS 1"))
    return Index(name, *columns, sqlite_where=is_one, postgresql_where=text(where))


# `state` stands last but for the seldom read `query`: a row is read up to the last column that is asked for.
task = Table(
    "task",
    metadata,
    Column("number", ID, primary_key=True, autoincrement=True),
    # Compared byte by byte, so that the tasks whose ids begin alike stand side by side in the index.
    Column("task_id", String(200).with_variant(String(200, "C"), "postgresql"), nullable=False, unique=True),
    Column("label", Text),
    Column("registered_at", UtcDateTime),
    Column("first_seen_at", UtcDateTime, nullable=False),
    Column("last_callback_at", UtcDateTime),
    Column("last_polled_at", UtcDateTime),
    Column("gave_up_at", UtcDateTime),
    Column("settled_at", UtcDateTime),
    Column("changed_at", UtcDateTime),
    Column("next_poll_at", UtcDateTime),
    Column("poll_requested", Boolean, nullable=False),
    Column("poll_rank", SmallInteger, nullable=False),
    Column("claimed_until", UtcDateTime),
    Column("slowed_at", UtcDateTime),
    Column("expedited_at", UtcDateTime),
    Column("attempt", Integer, nullable=False),
    Column("callbacks", Integer, nullable=False),
    Column("polls", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("acknowledged_version", Integer),
    Column("status", Text, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("conflict", Boolean, nullable=False),
    Column("recovered", Boolean, nullable=False),
    Column("lost_callback", Boolean, nullable=False),
    Column("problem", String(16)),
    Column("words", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("query", Text),
    Column("capped_bytes", Integer),  # about the row's size while it counts against what strangers may store
    Index("task_newest", "first_seen_at", "task_id"),
    Index("task_outcome", "outcome", "first_seen_at", "task_id"),
    Index("task_status", "status", "first_seen_at", "task_id"),
    _partial("task_label", "label", "first_seen_at", "task_id", where="label IS NOT NULL"),
    Index("task_changed", "changed_at", "task_id"),
    # Only what is to be polled: stays small, however many tasks have settled.
    _partial("task_due", "poll_rank", "next_poll_at", where="next_poll_at IS NOT NULL"),
    _partial("task_unsettled", "first_seen_at", where="outcome = 'in_progress'"),
    _partial("task_problem", "first_seen_at", "task_id", "problem", where="problem IS NOT NULL"),
    _partial("task_conflict", "first_seen_at", "task_id", where="conflict IS true"),
    _partial("task_recovered", "first_seen_at", "task_id", where="recovered IS true"),
    _partial("task_lost_callback", "first_seen_at", "task_id", where="lost_callback IS true"),
    _partial("task_orphan", "first_seen_at", "task_id", where="registered_at IS NULL"),
    _partial("task_capped", "outcome", "number", "capped_bytes", where="capped_bytes IS NOT NULL"),
)

delivery = Table(
    "delivery",
    metadata,
    Column("id", ID, primary_key=True, autoincrement=True),
    Column("task_id", String(200)),
    Column("source", String(16), nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("result", String(16), nullable=False),
    Column("cause", String(16)),
    Column("acknowledged_at", UtcDateTime),
    Column("status", Text, nullable=False),
    Column("product", String(32)),
    Column("errors", Text, nullable=False),
    Column("change", Text, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("body", LargeBinary),
    Column("query", Text),
    Column("capped_bytes", Integer),  # the body's size while it counts against what strangers may store
    Index("delivery_of_task", "task_id", "id"),
    # With the id at its end, so that the first of a thousand repetitions is found as fast as the first of two.
    Index("delivery_digest", "task_id", "source", "digest", "id"),
    _partial("delivery_capped", "id", "capped_bytes", where="capped_bytes IS NOT NULL"),
    _partial("delivery_quarantine", "id", where=UNREADABLE),
    # `acknowledged_at` is always null here; only with it first does SQLite see what the index is for.
    _partial(
        "delivery_unread", "acknowledged_at", "id", "cause", where=f"{UNREADABLE} AND acknowledged_at IS NULL"
    ),
    sqlite_autoincrement=True,
)

# How often what happened, by hour. `subject` says what is counted:
#   callback, poll   deliveries by result, and callbacks refused by reason
#   task             tasks by outcome, recovered and lost_callback; the hour is that of their first sight
#   settling         tasks by the span from first sight to settled, as a bucket's number; the hour is the same
#   call, pause      calls of record-info by what came of them; seconds of pause by trouble
#   dropped          bodies of strangers, and orphans
#   reread           deliveries by source that have left the quarantine, whose count they have left, too
tally = Table(
    "tally",
    metadata,
    Column("subject", String(16), primary_key=True),
    Column("hour", UtcDateTime, primary_key=True),
    Column("name", String(32), primary_key=True),
    Column("count", BigInteger, nullable=False),
    sqlite_with_rowid=False,  # rows stand in the order in which they are asked for
)

# Callbacks that were refused (by reason) or failed, by minute, of the last hour only: what `tally` is too coarse for.
recent_failure = Table(
    "recent_failure",
    metadata,
    Column("minute", UtcDateTime, primary_key=True),
    Column("name", String(32), primary_key=True),
    Column("count", BigInteger, nullable=False),
)

lease = Table(
    "lease",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("holder", Text, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("heartbeat_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)

# One row: the time of the last change of any task, since 1970.
change_clock = Table(
    "change_clock",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("microseconds", BigInteger, nullable=False),
)

# As many rows as calls are allowed in the limit's period; a call takes one until a whole period after its end.
poll_slot = Table(
    "poll_slot",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("free_at", UtcDateTime, nullable=False),
)

# One row: how the upstream is doing. `failures` are its pauses in a row; while it is not 0, single probes decide.
upstream = Table(
    "upstream",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("failures", Integer, nullable=False),
    Column("trouble", String(32)),
    Column("detail", Text),
    Column("paused_until", UtcDateTime),
    Column("failed_at", UtcDateTime),
    Column("failed_task", String(200)),
    Column("refused_task", String(200)),
    Column("answered_at", UtcDateTime),
    Column("paused_since", UtcDateTime),
)

# One row, written by `/readyz` to see whether writes are taken.
probe = Table(
    "probe",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("written_at", UtcDateTime, nullable=False),
)

# One row, as large as the largest callback, rewritten to see whether one of that size could be stored.
probe_body = Table(
    "probe_body",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
)

# What a person did: `via` the admin page, the API or a command; `task_id` where it was about one task.
action = Table(
    "action",
    metadata,
    Column("id", ID, primary_key=True, autoincrement=True),
    Column("at", UtcDateTime, nullable=False),
    Column("via", String(16), nullable=False),
    Column("address", Text),
    Column("kind", String(32), nullable=False),
    Column("task_id", String(200)),
    Column("detail", Text, nullable=False),
    _partial("action_of_task", "task_id", "id", where="task_id IS NOT NULL"),
    _partial("action_refused", "at", where="kind = 'sign_in_refused'"),
    sqlite_autoincrement=True,
)

# Who tried the admin password, by network, and all together under "*".
sign_in = Table(
    "sign_in",
    metadata,
    Column("network", String(64), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("failed_at", UtcDateTime),
    Column("succeeded_at", UtcDateTime),
)

# A row for each browser that is signed in: who signs out is out, whoever has a copy of the cookie.
admin_session = Table(
    "admin_session",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("expires_at", UtcDateTime, nullable=False),
)
