"""What keeps one sender or task from harming the others, a callback's query string, and tasks in order of change."""

import sqlalchemy as sa
from alembic import op

from receiver.store.change_clock import time_of_change
from receiver.store.schema import Moment

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    _add_poll_rank()
    _add_query()
    _add_changed_at()


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


def _add_changed_at() -> None:
    """Of old tasks: when they settled, else the latest time that is known of them."""
    op.add_column("task", sa.Column("changed_at", Moment()))
    latest = "max" if op.get_context().dialect.name == "sqlite" else "greatest"
    known = ("registered_at", "last_callback_at", "last_polled_at")
    times = ", ".join(f"coalesce({name}, first_seen_at)" for name in known)
    op.execute(f"UPDATE task SET changed_at = coalesce(settled_at, {latest}({times}))")
    op.create_index("task_changed", "task", ["changed_at", "task_id"])
    # Only a command could give a longer one, which does not fit into an index.
    op.execute("UPDATE task SET label = substr(label, 1, 200) WHERE length(label) > 200")
    labelled = sa.text("label IS NOT NULL")
    columns = ["label", "first_seen_at", "task_id"]
    op.create_index("task_label", "task", columns, sqlite_where=labelled, postgresql_where=labelled)
    op.create_table(
        "change_clock",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("microseconds", sa.BigInteger(), nullable=False),
    )
    task = sa.table("task", sa.column("changed_at", Moment()))
    last = op.get_bind().scalar(sa.select(sa.func.max(task.c.changed_at)))
    if last is not None:
        time_of_change(op.get_bind(), last)
