"""A FastAPI app that reports each answer. Start it with: uvicorn fastapi_app:app"""

import time
from contextlib import asynccontextmanager
from typing import AsyncIterator

from fastapi import FastAPI
from pydantic import BaseModel

from mlops_service_client import AsyncClient

# One for the process. It reads MLOPS_SERVICE_URL and MLOPS_API_KEY.
tracking = AsyncClient()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with tracking:
        yield


app = FastAPI(lifespan=lifespan)


class Chat(BaseModel):
    message: str


@app.post("/chat")
async def chat(chat: Chat) -> dict[str, str]:
    began = time.perf_counter()
    answer = f"You said: {chat.message}"  # Your model answers here.
    tracking.track(
        business_id="acme",
        response_time_ms=(time.perf_counter() - began) * 1000,
        tokens_used=len(chat.message + answer) // 4,
        tokens_estimated=True,
        user_message_length=len(chat.message),
        ai_response_length=len(answer),
    )
    return {"answer": answer}
