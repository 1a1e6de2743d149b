"""A Flask app that reports each answer. Start it with: flask --app flask_app run"""

import time

from flask import Flask, request

from mlops_service_client import Client

app = Flask(__name__)
# One for the process. It reads MLOPS_SERVICE_URL and MLOPS_API_KEY, and flushes when the process ends.
tracking = Client()


@app.post("/chat")
def chat() -> dict[str, str]:
    began = time.perf_counter()
    message = str(request.get_json()["message"])
    answer = f"You said: {message}"  # Your model answers here.
    tracking.track(
        business_id="acme",
        response_time_ms=(time.perf_counter() - began) * 1000,
        tokens_used=len(message + answer) // 4,
        tokens_estimated=True,
        user_message_length=len(message),
        ai_response_length=len(answer),
    )
    return {"answer": answer}
