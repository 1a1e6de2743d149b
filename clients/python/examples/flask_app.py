# app.py: flask run
import time

from flask import Flask, request

from mlops_service_client import Client

app = Flask(__name__)
tracking = Client()  # One for the process.


@app.post("/chat")
def chat() -> dict[str, str]:
    began = time.perf_counter()
    answer = f"You said: {request.get_json()['message']}"  # Your model answers here.
    tracking.track(business_id="acme", response_time_ms=(time.perf_counter() - began) * 1000, tokens_used=42)
    return {"answer": answer}
