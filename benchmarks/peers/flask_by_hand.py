"""By hand: Flask-SQLAlchemy, an upsert and a commit a callback. On SQLite its file is in WAL mode."""

import os
from typing import Any

from flask import Flask, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite

FILE = os.environ.get("PEER_FILE")
INSERT: Any = sqlite.insert if FILE else postgresql.insert

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{FILE}" if FILE else "postgresql+psycopg://"
app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"connect_args": {"timeout": 30} if FILE else {}}
db = SQLAlchemy(app)


class Callback(db.Model):  # type: ignore[name-defined]
    task_id = db.Column(db.Text, primary_key=True)
    stage = db.Column(db.Text, nullable=False)
    body = db.Column(db.Text, nullable=False)


with app.app_context():
    if FILE:

        @event.listens_for(db.engine, "connect")
        def sync_each_commit(connection: Any, _: Any) -> None:
            connection.execute("PRAGMA synchronous=FULL")


@app.post("/callbacks")
def callback() -> dict[str, str]:
    data = request.get_json()["data"]
    row = {"task_id": data["task_id"], "stage": data["callbackType"], "body": request.get_data(as_text=True)}
    statement = INSERT(Callback).values(row)
    db.session.execute(statement.on_conflict_do_update(index_elements=["task_id"], set_=row))
    db.session.commit()
    return {"status": "received"}
