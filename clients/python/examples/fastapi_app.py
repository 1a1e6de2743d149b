# main.py: uvicorn main:app
import time
from contextlib import asynccontextmanager
from typing import AsyncIterator

from fastapi import Body, FastAPI

from mlops_service_client import AsyncClient

tracking = AsyncClient()  # One for the process.


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    # Sends what waits before the server ends: some versions of uvicorn end the process without leaving another chance.
    async with tracking:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/chat")
async def chat(message: str = Body(embed=True)) -> dict[str, str]:
    began = time.perf_counter()
    answer = f"You said: {message}"  # Your model answers here.
    tracking.track(business_id="acme", response_time_ms=(time.perf_counter() - began) * 1000, tokens_used=42)
    return {"answer": answer}
