"""The counters of the lab, safe with several processes: each keeps its own in a file of PROMETHEUS_MULTIPROC_DIR."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

BUSINESS = ["business_id"]
MODEL = ["business_id", "model_name"]

requests = Counter("ai_requests_total", "AI interactions tracked.", ["business_id", "response_type", "intent"])
response_time = Histogram("ai_response_time_seconds", "Time the AI took.", buckets=[0.1, 0.5, 1, 2, 5, 10])
success_rate = Gauge("ai_success_rate", "The last one sent.", BUSINESS, multiprocess_mode="mostrecent")
tokens = Counter("ai_tokens_used_total", "Tokens used.", MODEL)
cost = Counter("ai_api_cost_usd_total", "What it cost.", MODEL)
appointments_requested = Counter("appointments_requested_total", "Appointments asked for.", BUSINESS)
appointments_booked = Counter("appointments_booked_total", "Appointments made.", BUSINESS)
handoffs = Counter("human_handoffs_total", "Handed to a person.", ["business_id", "reason"])


def count(event):
    """Adds an event that is stored."""
    business = event.business_id
    requests.labels(business, event.response_type, event.intent_detected).inc()
    response_time.observe(event.response_time_ms / 1000)
    success_rate.labels(business).set(event.success_rate)
    tokens.labels(business, event.model_name).inc(event.tokens_used)
    cost.labels(business, event.model_name).inc(event.api_cost_usd)
    if event.appointment_requested:
        appointments_requested.labels(business).inc()
    if event.appointment_booked:
        appointments_booked.labels(business).inc()
    if event.human_handoff_requested:
        reason = "error" if event.response_type == "error" else "complex_query"
        handoffs.labels(business, reason).inc()


def exposition():
    """The text for Prometheus: what all processes counted together."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return generate_latest(registry)
