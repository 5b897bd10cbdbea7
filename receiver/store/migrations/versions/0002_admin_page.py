"""What the admin page works with: words to search, problems, causes, changes, people's actions, sign-ins.

SQLite's tables are made anew, so that the large columns stand last: a row is read up to the last column asked for.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from receiver.core.histogram import bucket
from receiver.core.search_terms import search_terms
from receiver.store.schema import ID
from receiver.store.utc_datetime import UtcDateTime

revision = "0002"
down_revision = "0001"

AT_ONCE = 1000
KEPT_TASK = (
    "task_id, label, registered_at, first_seen_at, last_callback_at, last_polled_at, gave_up_at, settled_at,"
    " next_poll_at, poll_requested, claimed_until, attempt, callbacks, polls, version, status, outcome, conflict,"
    " recovered, lost_callback, state"
)
KEPT_DELIVERY = "id, task_id, source, received_at, result, status, product, errors, digest, body"
CAUSE = (
    "CASE WHEN result <> 'quarantined' THEN NULL WHEN errors LIKE '%Not JSON%' THEN 'not_json'"
    " WHEN task_id IS NULL THEN 'no_task_id' ELSE 'unreadable' END"
)
PROBLEM = "CASE WHEN outcome = 'unresolved' THEN 'unresolved' WHEN conflict {is_true} THEN 'conflict' END"


def upgrade() -> None:
    sqlite = op.get_context().dialect.name == "sqlite"
    if sqlite:
        _recreate_task()
        _recreate_delivery()
        _recreate_tally()
    else:
        _alter_task()
        _alter_delivery()
        _alter_tally()
    _create_indexes(is_true="IS 1" if sqlite else "IS true")
    _create_search(sqlite=sqlite)
    _create_actions()
    _fill_in()


def _recreate_task() -> None:
    for name in ("task_newest", "task_outcome", "task_due", "task_unsettled"):
        op.drop_index(name, "task")
    op.rename_table("task", "old_task")
    op.create_table(
        "task",
        sa.Column("number", ID, primary_key=True, autoincrement=True),
        sa.Column("task_id", sa.String(200), nullable=False, unique=True),
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
        sa.Column("acknowledged_version", sa.Integer()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("conflict", sa.Boolean(), nullable=False),
        sa.Column("recovered", sa.Boolean(), nullable=False),
        sa.Column("lost_callback", sa.Boolean(), nullable=False),
        sa.Column("problem", sa.String(16)),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
    )
    op.execute(
        f"INSERT INTO task ({KEPT_TASK}, problem, words)"
        f" SELECT {KEPT_TASK}, {PROBLEM.format(is_true='IS 1')}, titles"
        " FROM old_task ORDER BY first_seen_at, task_id"
    )
    op.drop_table("old_task")


def _recreate_delivery() -> None:
    for name in ("delivery_of_task", "delivery_digest", "delivery_quarantine"):
        op.drop_index(name, "delivery")
    op.rename_table("delivery", "old_delivery")
    op.create_table(
        "delivery",
        sa.Column("id", ID, primary_key=True, autoincrement=True),
        sa.Column("task_id", sa.String(200)),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("result", sa.String(16), nullable=False),
        sa.Column("cause", sa.String(16)),
        sa.Column("acknowledged_at", UtcDateTime()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("product", sa.String(32)),
        sa.Column("errors", sa.Text(), nullable=False),
        sa.Column("change", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("body", sa.LargeBinary()),
        sqlite_autoincrement=True,
    )
    op.execute(
        f"INSERT INTO delivery ({KEPT_DELIVERY}, cause, change)"
        f" SELECT {KEPT_DELIVERY}, {CAUSE}, '{{}}' FROM old_delivery ORDER BY id"
    )
    op.drop_table("old_delivery")
    op.create_index("delivery_of_task", "delivery", ["task_id", "id"])
    op.create_index("delivery_digest", "delivery", ["task_id", "source", "digest"])
    where = sa.text("result = 'quarantined'")
    op.create_index("delivery_quarantine", "delivery", ["id"], sqlite_where=where)


def _recreate_tally() -> None:
    op.rename_table("tally", "old_tally")
    op.create_table(
        "tally",
        sa.Column("subject", sa.String(16), primary_key=True),
        sa.Column("hour", UtcDateTime(), primary_key=True),
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO tally SELECT subject, hour, name, count FROM old_tally")
    op.drop_table("old_tally")


def _alter_task() -> None:
    op.drop_constraint("task_pkey", "task")
    op.execute("ALTER TABLE task ADD COLUMN number BIGSERIAL PRIMARY KEY")
    op.execute('ALTER TABLE task ALTER COLUMN task_id TYPE VARCHAR(200) COLLATE "C"')
    op.create_unique_constraint("task_task_id_key", "task", ["task_id"])
    op.add_column("task", sa.Column("acknowledged_version", sa.Integer()))
    op.add_column("task", sa.Column("problem", sa.String(16)))
    op.alter_column("task", "titles", new_column_name="words")
    op.execute(f"UPDATE task SET problem = {PROBLEM.format(is_true='IS true')}")
    for name in ("task_newest", "task_outcome", "task_due", "task_unsettled"):
        op.drop_index(name, "task")


def _alter_delivery() -> None:
    op.add_column("delivery", sa.Column("cause", sa.String(16)))
    op.add_column("delivery", sa.Column("acknowledged_at", UtcDateTime()))
    op.add_column("delivery", sa.Column("change", sa.Text(), nullable=False, server_default="{}"))
    op.alter_column("delivery", "change", server_default=None)
    op.execute(f"UPDATE delivery SET cause = {CAUSE} WHERE result = 'quarantined'")


def _alter_tally() -> None:
    op.drop_constraint("tally_pkey", "tally")
    op.create_primary_key("tally_pkey", "tally", ["subject", "hour", "name"])


def _create_indexes(*, is_true: str) -> None:
    def partial(name: str, table: str, columns: list[str], predicate: str) -> None:
        where = sa.text(predicate)
        op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)

    newest = ["first_seen_at", "task_id"]
    op.create_index("task_newest", "task", newest)
    op.create_index("task_outcome", "task", ["outcome", *newest])
    op.create_index("task_status", "task", ["status", *newest])
    partial("task_due", "task", ["poll_requested", "next_poll_at"], "next_poll_at IS NOT NULL")
    partial("task_unsettled", "task", ["first_seen_at"], "outcome = 'in_progress'")
    partial("task_problem", "task", [*newest, "problem"], "problem IS NOT NULL")
    for flag in ("conflict", "recovered", "lost_callback"):
        partial(f"task_{flag}", "task", newest, f"{flag} {is_true}")
    partial("task_orphan", "task", newest, "registered_at IS NULL")
    unread = "result = 'quarantined' AND acknowledged_at IS NULL"
    partial("delivery_unread", "delivery", ["acknowledged_at", "id", "cause"], unread)


def _create_search(*, sqlite: bool) -> None:
    """An index of the tasks' words; SQLite's follows the table by triggers, as its documentation shows."""
    if not sqlite:
        op.execute(
            "CREATE INDEX task_words ON task USING gin (array_to_tsvector(string_to_array(words, ' ')))"
        )
        return
    op.execute(
        "CREATE VIRTUAL TABLE task_words USING fts5(words, content='task', content_rowid='number',"
        " prefix='2 3', tokenize='unicode61 remove_diacritics 0')"
    )
    add = "INSERT INTO task_words(rowid, words) VALUES (new.number, new.words);"
    drop = "INSERT INTO task_words(task_words, rowid, words) VALUES ('delete', old.number, old.words);"
    op.execute(f"CREATE TRIGGER task_words_added AFTER INSERT ON task BEGIN {add} END")
    op.execute(f"CREATE TRIGGER task_words_dropped AFTER DELETE ON task BEGIN {drop} END")
    changed = "AFTER UPDATE OF words ON task WHEN old.words <> new.words"
    op.execute(f"CREATE TRIGGER task_words_changed {changed} BEGIN {drop} {add} END")


def _create_actions() -> None:
    op.create_table(
        "action",
        sa.Column("id", ID, primary_key=True, autoincrement=True),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("via", sa.String(16), nullable=False),
        sa.Column("address", sa.Text()),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("task_id", sa.String(200)),
        sa.Column("detail", sa.Text(), nullable=False),
        sqlite_autoincrement=True,
    )
    known = sa.text("task_id IS NOT NULL")
    op.create_index("action_of_task", "action", ["task_id", "id"], sqlite_where=known, postgresql_where=known)
    op.create_table(
        "sign_in",
        sa.Column("network", sa.String(64), primary_key=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failed_at", UtcDateTime()),
        sa.Column("succeeded_at", UtcDateTime()),
    )
    op.create_table(
        "admin_session",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
    )


def _fill_in() -> None:
    """Words out of the titles (which were moved into `words`) and labels, and the tasks' counts by hour."""
    connection = op.get_bind()
    task = sa.table("task", sa.column("number"), sa.column("words"))
    update = sa.update(task).where(task.c.number == sa.bindparam("key")).values(words=sa.bindparam("terms"))
    if op.get_context().dialect.name == "sqlite":  # the index must know what a trigger takes out of it
        connection.execute(sa.text("INSERT INTO task_words(task_words) VALUES ('rebuild')"))
    counts: Counter[tuple[datetime, str, str]] = Counter()
    for rows in _every_task(connection):
        updates = [
            {"key": row.number, "terms": search_terms(row.label or "", *row.words.split("\n"))}
            for row in rows
        ]
        connection.execute(update, updates)
        for row in rows:
            hour = row.first_seen_at.replace(minute=0, second=0, microsecond=0)
            counts.update((hour, subject, name) for subject, name in _counted(row))
    tally = sa.table(
        "tally",
        sa.column("hour", UtcDateTime()),
        *(sa.column(name) for name in ("subject", "name", "count")),
    )
    fresh = [
        {"hour": hour, "subject": subject, "name": name, "count": count}
        for (hour, subject, name), count in sorted(counts.items())
    ]
    if fresh:
        connection.execute(sa.insert(tally), fresh)


def _every_task(connection: sa.Connection) -> Iterator[list[sa.Row[Any]]]:
    task = sa.table(
        "task",
        *(sa.column(name) for name in ("number", "label", "words", "outcome")),
        sa.column("recovered", sa.Boolean()),
        sa.column("lost_callback", sa.Boolean()),
        sa.column("first_seen_at", UtcDateTime()),
        sa.column("settled_at", UtcDateTime()),
    )
    last = 0
    while True:
        query = sa.select(task).where(task.c.number > last).order_by(task.c.number).limit(AT_ONCE)
        rows = list(connection.execute(query))
        if not rows:
            return
        last = rows[-1].number
        yield rows


def _counted(row: sa.Row[Any]) -> Iterator[tuple[str, str]]:
    yield "task", row.outcome
    for flag in ("recovered", "lost_callback"):
        if getattr(row, flag):
            yield "task", flag
    if row.settled_at is not None:
        yield "settling", str(bucket((row.settled_at - row.first_seen_at).total_seconds()))
