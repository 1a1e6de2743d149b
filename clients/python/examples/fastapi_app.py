# main.py: uvicorn main:app
import time

from fastapi import Body, FastAPI

from mlops_service_client import AsyncClient

app = FastAPI()
tracking = AsyncClient()  # One for the process.


@app.post("/chat")
async def chat(message: str = Body(embed=True)) -> dict[str, str]:
    began = time.perf_counter()
    answer = f"You said: {message}"  # Your model answers here.
    tracking.track(business_id="acme", response_time_ms=(time.perf_counter() - began) * 1000, tokens_used=42)
    return {"answer": answer}
