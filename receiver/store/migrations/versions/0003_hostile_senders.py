"""What keeps one sender or one task from harming the others: ranks for polling, and a callback's query string."""

import sqlalchemy as sa
from alembic import op

from receiver.store.schema import Moment

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    _add_poll_rank()
    _add_query()
    _add_alarms()


def _add_poll_rank() -> None:
    """0: a person asked; 1: registered; 2: an orphan, which waits behind the others."""
    op.drop_index("task_due", "task")
    op.add_column("task", sa.Column("poll_rank", sa.SmallInteger(), nullable=False, server_default="1"))
    is_requested = "poll_requested = 1" if op.get_context().dialect.name == "sqlite" else "poll_requested"
    op.execute(
        f"UPDATE task SET poll_rank = CASE WHEN {is_requested} THEN 0 ELSE 2 END"
        f" WHERE {is_requested} OR registered_at IS NULL"
    )
    planned = sa.text("next_poll_at IS NOT NULL")
    op.create_index(
        "task_due", "task", ["poll_rank", "next_poll_at"], sqlite_where=planned, postgresql_where=planned
    )


def _add_query() -> None:
    op.add_column("delivery", sa.Column("query", sa.Text()))
    op.add_column("task", sa.Column("query", sa.Text()))


def _add_alarms() -> None:
    """What tells that something is wrong: recent failures, and a probe of full size."""
    op.create_table(
        "recent_failure",
        sa.Column("minute", Moment(), primary_key=True),
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("count", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "probe_body",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
    )
