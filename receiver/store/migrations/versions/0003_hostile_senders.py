"""What keeps one sender or task from harming the others, a callback's query string, and tasks in order of change."""

import sqlalchemy as sa
from alembic import op

from receiver.store.change_clock import time_of_change
from receiver.store.orphan_cap import INDEXES, TASK_OVERHEAD_BYTES, WORDS_TIMES
from receiver.store.utc_datetime import UtcDateTime

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    _add_poll_rank()
    _add_query()
    _cap_bodies()
    _index_for_flat_costs()
    _add_alarms()
    _add_troubles()
    _add_changed_at()
    _cap_orphans()


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


def _cap_bodies() -> None:
    """Bodies of tasks that nobody registered and record-info never reported: anybody can make more of them."""
    op.add_column("delivery", sa.Column("capped_bytes", sa.Integer()))
    op.execute(
        "UPDATE delivery SET capped_bytes = length(body) WHERE body IS NOT NULL AND source = 'callback'"
        " AND NOT EXISTS (SELECT 1 FROM task"
        " WHERE task.task_id = delivery.task_id AND task.registered_at IS NOT NULL)"
        " AND NOT EXISTS (SELECT 1 FROM delivery AS answer WHERE answer.task_id = delivery.task_id"
        " AND answer.source = 'poll' AND answer.result = 'accepted')"
    )
    capped = sa.text("capped_bytes IS NOT NULL")
    op.create_index(
        "delivery_capped", "delivery", ["id", "capped_bytes"], sqlite_where=capped, postgresql_where=capped
    )


def _index_for_flat_costs() -> None:
    """So that no statement on the way in, or of the housekeeping, walks over what is stored."""
    op.drop_index("delivery_digest", "delivery")
    op.create_index("delivery_digest", "delivery", ["task_id", "source", "digest", "id"])
    refused = sa.text("kind = 'sign_in_refused'")
    op.create_index("action_refused", "action", ["at"], sqlite_where=refused, postgresql_where=refused)


def _add_alarms() -> None:
    """What tells that something is wrong: recent failures, and a probe of full size."""
    op.create_table(
        "recent_failure",
        sa.Column("minute", UtcDateTime(), primary_key=True),
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("count", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "probe_body",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
    )


def _add_troubles() -> None:
    """Whose trouble a failed call is, since when polling is paused, and when a callback brought a poll forward."""
    op.add_column("task", sa.Column("slowed_at", UtcDateTime()))
    op.add_column("task", sa.Column("expedited_at", UtcDateTime()))
    for name in ("failed_task", "refused_task"):
        op.add_column("upstream", sa.Column(name, sa.String(200)))
    for name in ("answered_at", "paused_since"):
        op.add_column("upstream", sa.Column(name, UtcDateTime()))
    op.execute("UPDATE upstream SET paused_since = failed_at WHERE failures > 0")


def _add_changed_at() -> None:
    """Of old tasks: when they settled, else the latest time that is known of them."""
    op.add_column("task", sa.Column("changed_at", UtcDateTime()))
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
    task = sa.table("task", sa.column("changed_at", UtcDateTime()))
    last = op.get_bind().scalar(sa.select(sa.func.max(task.c.changed_at)))
    if last is not None:
        time_of_change(op.get_bind(), last)


def _cap_orphans() -> None:
    """Tasks that nobody registered or labelled and record-info never confirmed: anybody can make more of them."""
    op.add_column("task", sa.Column("capped_bytes", sa.Integer()))
    op.execute(
        f"UPDATE task SET capped_bytes = {TASK_OVERHEAD_BYTES} + {INDEXES} * length(task_id) + length(state)"
        f" + {WORDS_TIMES} * length(words) WHERE registered_at IS NULL AND label IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM delivery AS answer WHERE answer.task_id = task.task_id"
        " AND answer.source = 'poll' AND answer.result = 'accepted')"
    )
    capped = sa.text("capped_bytes IS NOT NULL")
    columns = ["outcome", "number", "capped_bytes"]
    op.create_index("task_capped", "task", columns, sqlite_where=capped, postgresql_where=capped)
