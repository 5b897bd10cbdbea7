"""FastAPI and asyncpg, with a pool; a statement is a transaction."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from fastapi import FastAPI, Request

UPSERT = """INSERT INTO callback (task_id, stage, body) VALUES ($1, $2, $3)
ON CONFLICT (task_id) DO UPDATE SET stage = excluded.stage, body = excluded.body"""


@asynccontextmanager
async def connected(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(max_size=16) as app.state.pool:
        yield


app = FastAPI(lifespan=connected)


@app.post("/callbacks")
async def callback(request: Request) -> dict[str, str]:
    data = (await request.json())["data"]
    values = (data["task_id"], data["callbackType"], (await request.body()).decode())
    await app.state.pool.execute(UPSERT, *values)
    return {"status": "received"}
