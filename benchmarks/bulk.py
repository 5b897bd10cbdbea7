"""Many settled tasks in little time, each with one delivery: the database makes the rows itself."""

from datetime import datetime

from sqlalchemy import Connection, TextClause, text

STATE = (
    '{"answers":[],"details":{"errorMessage":[false,6,"All generated successfully."]},"status":[6,0,false,"SUCCESS"],'
    '"told":["end_by_callback","success","success_by_callback"],"tracks":{"a":{"audioUrl":[false,6,'
    '"https://cdn.example.org/a/0123456789abcdef0123456789abcdef.mp3"],"id":[false,6,"a"],"title":[false,6,"Tides"]}}}'
)
NUMBERS = """
    WITH RECURSIVE numbers(i) AS
    (SELECT CAST(:first AS bigint) UNION ALL SELECT i + 1 FROM numbers WHERE i < :last)
"""
TASKS = """
    INSERT INTO task (task_id, first_seen_at, last_callback_at, settled_at, poll_requested, poll_rank, attempt,
    callbacks, polls, version, status, outcome, conflict, recovered, lost_callback, words, state)
    <numbers> SELECT <id>, <at>, <at>, <at>, :no, 1, 0, 1, 0, 1, 'SUCCESS', 'succeeded', :no, :no, :no, 'tides', :state
    FROM numbers
"""
DELIVERIES = """
    INSERT INTO delivery (task_id, source, received_at, result, status, errors, change, digest, body)
    <numbers> SELECT <id>, 'callback', <at>, 'accepted', 'SUCCESS', '{}', '{}', <digest>, <body> FROM numbers
"""
SPELLINGS = {
    "sqlite": {
        "<id>": "substr('0000000000000000000000000000000' || i, -32)",
        "<at>": ":at",
        "<digest>": "randomblob(32)",
        "<body>": "CAST(:body AS blob)",
    },
    "postgresql": {
        "<id>": "lpad(CAST(i AS text), 32, '0')",
        "<at>": "CAST(:at AS timestamptz)",
        "<digest>": "sha256(CAST(CAST(i AS text) AS bytea))",
        "<body>": "CAST(:body AS bytea)",
    },
}


def insert_tasks(connection: Connection, count: int, *, at: datetime, first: int = 1, body: str = "") -> None:
    """So many settled tasks that one callback each has reported, numbered from `first` on."""
    store = connection.dialect.name
    moment = at.strftime("%Y-%m-%d %H:%M:%S.%f") if store == "sqlite" else at.isoformat()
    values = {"first": first, "last": first + count - 1, "at": moment}
    if count:
        connection.execute(_spelled(TASKS, store), {**values, "no": False, "state": STATE})
        connection.execute(_spelled(DELIVERIES, store), {**values, "body": body})


def _spelled(statement: str, store: str) -> TextClause:
    for place, spelling in {"<numbers>": NUMBERS, **SPELLINGS[store]}.items():
        statement = statement.replace(place, spelling)
    return text(statement)
