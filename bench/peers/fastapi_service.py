"""`POST /track` as a FastAPI service: slowapi, prometheus_client, asyncpg with a pool. Runs under uvicorn."""

import hmac
import os
from contextlib import asynccontextmanager
from typing import Annotated

import asyncpg
from fastapi import FastAPI, Header, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from slowapi import Limiter, _rate_limit_exceeded_handler
from slowapi.errors import RateLimitExceeded

import counters
from event import COLUMNS, Event, insert, stored

API_KEY = os.environ["MLOPS_API_KEY"].encode()
INSERT = insert([f"${number + 1}" for number in range(len(COLUMNS))])


async def keep(connection):
    """Nothing of a session is ever changed, so that Postgres need not be asked to reset it after every insert."""


@asynccontextmanager
async def lifespan(app):
    size = int(os.environ["POOL_SIZE"])
    pool = asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=size, max_size=size, reset=keep)
    async with pool as app.state.pool:
        yield


app = FastAPI(lifespan=lifespan)
limiter = app.state.limiter = Limiter(lambda request: request.headers.get("x-api-key", ""), storage_uri="memory://")
app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)


@app.exception_handler(RequestValidationError)
async def invalid(request, error):
    return JSONResponse({"error": "Invalid metrics data", "message": error.errors()[0]["msg"]}, 400)


@app.get("/health")
async def health():
    return {"status": "healthy", "worker": os.getpid()}


@app.post("/track")
@limiter.limit(os.environ["RATE_LIMIT_TRACK"])
async def track(request: Request, event: Event, x_api_key: Annotated[str, Header()] = ""):
    if not hmac.compare_digest(x_api_key.encode(), API_KEY):
        raise HTTPException(403, "Invalid API key")
    await app.state.pool.execute(INSERT, *event.row())
    counters.count(event)
    return stored()


@app.get("/metrics")
def metrics():
    return Response(counters.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")
