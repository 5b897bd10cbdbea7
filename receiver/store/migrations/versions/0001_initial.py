"""Tasks, deliveries, tallies, and the poller's lease, slots and view of the upstream."""

import sqlalchemy as sa
from alembic import op

from receiver.store.schema import ID
from receiver.store.utc_datetime import UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    _create_task()
    _create_delivery()
    op.create_table(
        "tally",
        sa.Column("hour", UtcDateTime(), primary_key=True),
        sa.Column("subject", sa.String(16), primary_key=True),
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("count", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "lease",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("heartbeat_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
    )
    op.create_table(
        "poll_slot",
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("free_at", UtcDateTime(), nullable=False),
    )
    op.create_table(
        "upstream",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("trouble", sa.String(32)),
        sa.Column("detail", sa.Text()),
        sa.Column("paused_until", UtcDateTime()),
        sa.Column("failed_at", UtcDateTime()),
    )
    op.create_table(
        "probe",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("written_at", UtcDateTime(), nullable=False),
    )


def _create_task() -> None:
    op.create_table(
        "task",
        sa.Column("task_id", sa.String(200), primary_key=True),
        sa.Column("label", sa.Text()),
        sa.Column("registered_at", UtcDateTime()),
        sa.Column("first_seen_at", UtcDateTime(), nullable=False),
        sa.Column("last_callback_at", UtcDateTime()),
        sa.Column("last_polled_at", UtcDateTime()),
        sa.Column("gave_up_at", UtcDateTime()),
        sa.Column("settled_at", UtcDateTime()),
        sa.Column("next_poll_at", UtcDateTime()),
        sa.Column("poll_requested", sa.Boolean(), nullable=False),
        sa.Column("claimed_until", UtcDateTime()),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("callbacks", sa.Integer(), nullable=False),
        sa.Column("polls", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("conflict", sa.Boolean(), nullable=False),
        sa.Column("recovered", sa.Boolean(), nullable=False),
        sa.Column("lost_callback", sa.Boolean(), nullable=False),
        sa.Column("titles", sa.Text(), nullable=False),
    )
    due, unsettled = sa.text("next_poll_at IS NOT NULL"), sa.text("outcome = 'in_progress'")
    op.create_index("task_newest", "task", ["first_seen_at", "task_id"])
    op.create_index("task_outcome", "task", ["outcome", "first_seen_at", "task_id"])
    op.create_index(
        "task_due", "task", ["poll_requested", "next_poll_at"], sqlite_where=due, postgresql_where=due
    )
    op.create_index(
        "task_unsettled", "task", ["first_seen_at"], sqlite_where=unsettled, postgresql_where=unsettled
    )


def _create_delivery() -> None:
    op.create_table(
        "delivery",
        sa.Column("id", ID, primary_key=True, autoincrement=True),
        sa.Column("task_id", sa.String(200)),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("result", sa.String(16), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("product", sa.String(32)),
        sa.Column("errors", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("body", sa.LargeBinary()),
        sqlite_autoincrement=True,
    )
    quarantined = sa.text("result = 'quarantined'")
    op.create_index("delivery_of_task", "delivery", ["task_id", "id"])
    op.create_index("delivery_digest", "delivery", ["task_id", "source", "digest"])
    op.create_index(
        "delivery_quarantine", "delivery", ["id"], sqlite_where=quarantined, postgresql_where=quarantined
    )
