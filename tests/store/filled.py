"""A filled database of this version, written down for the tests of later ones.

Before a migration is added: `python -m tests.store.filled tests/store/versions/NNNN.json`, with the number of the
present version. It goes through the front door only, so that it runs in every version.
"""

import json
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select, text

from receiver.app import build_app
from receiver.intake import callback_delivery, poll_delivery
from receiver.polling.giving_up import give_up_late_tasks
from receiver.runtime import open_runtime
from receiver.settings import load_settings
from receiver.store.schema import metadata

PAYLOADS = Path(__file__).parent.parent / "payloads"
TOKEN = "callback-token-0001"
BEARER = {"Authorization": "Bearer api-token-000000001"}
SETTINGS = {
    "RECEIVER_CALLBACK_TOKENS": TOKEN,
    "RECEIVER_API_TOKENS": "api-token-000000001",
    "RECEIVER_ADMIN_PASSWORD": "correct horse",
    "RECEIVER_SECRET_KEY": "0123456789abcdef0123456789abcdef",
    "RECEIVER_UPSTREAM_API_KEY": "upstream-key",
    "RECEIVER_UPSTREAM_URL": "http://127.0.0.1:9",
}
T0 = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
TOLD = (
    "cb-music-complete-real-instrumental-two-rows",
    "cb-extend-first-docs-kie",
    "cb-music-text-observed-row-with-duration-but-no-audio",
    "cb-music-error-531-credits-refunded",
    "cb-wav-success-docs-camel",
    "cb-legacy2024-text-no-task-id",
)
ANSWERED = {
    "confirmed": "ri-music-success-real-kie",
    "failed": "ri-music-failed-413-cant-fetch-upload-real",
    "exception": "ri-music-callback-exception-with-tracks",
    "pending": "ri-music-pending-real",
    "nowhere": "ri-music-code200-data-null",
}


def callback(task_id: str, kind: str, title: str, audio: str = "") -> bytes:
    row = {"id": f"{task_id}-a", "title": title, "audio_url": audio}
    data = {"callbackType": kind, "task_id": task_id, "data": [row]}
    return json.dumps({"code": 200, "data": data}, ensure_ascii=False).encode()


def fill(url: str) -> dict[str, Any]:
    """Three days of a receiver's life; returns what the API then says."""
    runtime = open_runtime(load_settings(SETTINGS | {"RECEIVER_DATABASE_URL": url}), migrate=True)
    client = build_app(runtime).test_client()
    for task_id, label in (("confirmed", "заказ 17"), ("exception", None), ("pending", "waits")):
        client.post(
            "/api/tasks",
            json={"taskId": task_id, "label": label} if label else {"taskId": task_id},
            headers=BEARER,
        )
    hour = timedelta(hours=1)

    def hear(place: int, *bodies: bytes) -> None:
        now = T0 + place * hour
        runtime.intake.accept([callback_delivery(body, now=now, secrets=(TOKEN,)) for body in bodies])

    for place, name in enumerate(TOLD):
        body = (PAYLOADS / f"{name}.json").read_bytes()
        hear(place, body, body)
    hear(
        10,
        callback("confirmed", "first", "Северный ветер"),
        callback("both", "complete", "Iron Lanterns", "https://example.org/b.mp3"),
    )
    hear(11, b"<html>", b'{"code": 200}', b'{"code": 200, "data": {"task_id": "odd", "data": 5}}')
    hear(
        12, b'{"code": 400, "msg": "no", "data": {"callbackType": "error", "task_id": "both", "data": null}}'
    )
    for place, (task_id, name) in enumerate(ANSWERED.items(), start=30):
        body = json.loads((PAYLOADS / f"{name}.json").read_bytes())
        for part in (body.get("data"), (body.get("data") or {}).get("response")):
            if part:
                part["taskId"] = task_id
        answer = poll_delivery(json.dumps(body).encode(), task_id, now=T0 + place * hour, secrets=(TOKEN,))
        runtime.intake.accept([answer])
    hear(60, callback("late", "text", "Never finished"))
    give_up_late_tasks(
        runtime.database, runtime.settings.rules, first_seen_before=T0 + 2 * hour, now=T0 + 70 * hour
    )
    client.post("/api/tasks/pending/poll", headers=BEARER)
    recorded = views(client)
    runtime.database.engine.dispose()
    return recorded


def views(client: Any) -> dict[str, Any]:
    """Everything that the API tells, but for the poller and moments that lie in the future."""
    tasks = client.get("/api/tasks?limit=200", headers=BEARER).json["tasks"]
    ids = [task["taskId"] for task in tasks]
    stats = client.get("/api/stats", headers=BEARER).json
    return {
        "tasks": tasks,
        "deliveries": {key: client.get(f"/api/tasks/{key}/deliveries", headers=BEARER).json for key in ids},
        "quarantine": client.get("/api/quarantine?limit=200", headers=BEARER).json["deliveries"],
        "stats": {name: value for name, value in stats.items() if name != "poller"},
    }


def written(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return {"hex": value.hex()} if isinstance(value, bytes) else value


def main(target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/filled.db"
        recorded = fill(url)
        runtime = open_runtime(load_settings(SETTINGS | {"RECEIVER_DATABASE_URL": url}), migrate=True)
        with runtime.database.read() as connection:
            version = connection.scalar(text("SELECT version_num FROM alembic_version"))
            tables = {
                table.name: [
                    {name: written(value) for name, value in row.items()}
                    for row in connection.execute(select(table)).mappings()
                ]
                for table in metadata.sorted_tables
            }
        runtime.database.engine.dispose()
    rows = {name: found for name, found in tables.items() if found}
    target.write_text(
        json.dumps({"version": version, "rows": rows, "shown": recorded}, ensure_ascii=False, indent=0)
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
