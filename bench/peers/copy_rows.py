"""`COPY` of events into the service's table, from several connections, each chunk of rows committed by itself.

Takes the database, how many rows, how many of them in a chunk, and how many connections. All rows are made before the
time counts."""

import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg

COLUMNS = """event_id, created_at, business_id, conversation_id, session_id, response_time_ms, success_rate, tokens_used,
    prompt_tokens, completion_tokens, api_cost_usd, model_name, intent_detected, response_type, appointment_requested,
    appointment_booked, human_handoff_requested, user_message_length, ai_response_length"""
COPY = f"copy ai_metrics ({COLUMNS}) from stdin"

MODELS = ["gemini-1.5-flash", "gemini-1.5-pro", "gpt-4o-mini"]
INTENTS = ["appointment_booking"] * 4 + ["business_hours"] * 2 + ["pricing"] * 2 + ["greeting", "complaint"]
TYPES = ["text"] * 7 + ["appointment"] * 2 + ["error"]


def row(now):
    """An event as the service would store it, with the values of event.lua."""
    business, prompt, completion = random.randint(1, 20), random.randint(50, 900), random.randint(10, 400)
    values = [
        event_id(),
        now,
        f"business-{business}",
        f"conv-{random.getrandbits(64):016x}",
        f"session-{random.getrandbits(56):014x}",
        min(9000, int(150 + random.expovariate(1 / 1500))),
        f"0.{random.randint(50, 99)}",
        prompt + completion,
        prompt,
        completion,
        f"0.000{random.randint(0, 999):03}",
        MODELS[business % 3],
        random.choice(INTENTS),
        random.choice(TYPES),
        random.choice("tf"),
        "f",
        "f",
        random.randint(5, 300),
        random.randint(5, 300),
    ]
    return "\t".join(map(str, values)) + "\n"


def event_id():
    """A UUID that begins with the time, like those of the service."""
    return f"{time.time_ns() // 1_000_000:012x}7{random.getrandbits(76):019x}"


def copy(connection, chunks):
    """Copies chunks until there are none left."""
    with connection.cursor() as cursor:
        for chunk in chunks:
            with cursor.copy(COPY) as copy:
                copy.write(chunk)


def main():
    url, (rows, size, clients) = sys.argv[1], map(int, sys.argv[2:])
    now = datetime.now(UTC).replace(tzinfo=None)
    # One iterator for all: whoever is done with a chunk takes the next.
    chunks = iter(["".join(row(now) for _ in range(size)) for _ in range(rows // size)])
    connections = [psycopg.connect(url, autocommit=True) for _ in range(clients)]
    begun = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(copy, connections, [chunks] * clients))
    print(f"rows a second: {rows / (time.perf_counter() - begun):.1f}")


if __name__ == "__main__":
    main()
