"""FastAPI and aiosqlite, one connection a process: the commits of those who wait coincide."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiosqlite
from fastapi import FastAPI, Request

UPSERT = """INSERT INTO callback (task_id, stage, body) VALUES (?, ?, ?)
ON CONFLICT (task_id) DO UPDATE SET stage = excluded.stage, body = excluded.body"""


@asynccontextmanager
async def connected(app: FastAPI) -> AsyncIterator[None]:
    async with aiosqlite.connect(os.environ["PEER_FILE"], timeout=30) as app.state.db:
        await app.state.db.execute("PRAGMA synchronous=FULL")
        yield


app = FastAPI(lifespan=connected)


@app.post("/callbacks")
async def callback(request: Request) -> dict[str, str]:
    data = (await request.json())["data"]
    values = (data["task_id"], data["callbackType"], (await request.body()).decode())
    await app.state.db.execute(UPSERT, values)
    await app.state.db.commit()
    return {"status": "received"}
