"""`POST /track` as a Flask service: flask-limiter, prometheus_client, psycopg 3 with a pool. Runs under gunicorn."""

import hmac
import os

from flask import Flask, request
from flask_limiter import Limiter
from psycopg_pool import ConnectionPool
from pydantic import ValidationError

import counters
from event import COLUMNS, Event, insert, stored

API_KEY = os.environ["MLOPS_API_KEY"].encode()
INSERT = insert(["%s"] * len(COLUMNS))

app = Flask(__name__)
limiter = Limiter(lambda: request.headers.get("X-API-Key", ""), app=app, storage_uri="memory://")
# One statement is one transaction, so nothing is asked of Postgres but the insert. The size is per worker.
size = int(os.environ["POOL_SIZE"])
pool = ConnectionPool(os.environ["DATABASE_URL"], min_size=size, max_size=size, kwargs={"autocommit": True}, open=True)


@app.get("/health")
def health():
    return {"status": "healthy", "worker": os.getpid()}


@app.post("/track")
@limiter.limit(os.environ["RATE_LIMIT_TRACK"])
def track():
    if not hmac.compare_digest(request.headers.get("X-API-Key", "").encode(), API_KEY):
        return {"error": "Forbidden", "message": "Invalid API key"}, 403
    try:
        event = Event.model_validate_json(request.get_data())
    except ValidationError as error:
        return {"error": "Invalid metrics data", "message": error.errors()[0]["msg"]}, 400
    with pool.connection() as connection:
        connection.execute(INSERT, event.row())
    counters.count(event)
    return stored()


@app.get("/metrics")
def metrics():
    return counters.exposition(), 200, {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
