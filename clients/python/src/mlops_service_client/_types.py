"""The types that callers see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, Optional, TypedDict


class Report(TypedDict, total=False):
    """One finished AI interaction, as `POST /track` takes it; the first three are required.

    What is absent or None has the service's default.
    """

    business_id: str
    response_time_ms: float
    tokens_used: int
    conversation_id: Optional[str]
    session_id: Optional[str]
    success_rate: Optional[float]
    prompt_tokens: Optional[int]
    completion_tokens: Optional[int]
    # Those of `prompt_tokens` that came from a cache, and those of `completion_tokens` that the model used for reasoning.
    cached_tokens: Optional[int]
    reasoning_tokens: Optional[int]
    # Whether the numbers of tokens are estimates.
    tokens_estimated: Optional[bool]
    # US dollars. Without it, the service computes the cost from its price table.
    api_cost_usd: Optional[float]
    model_name: Optional[str]
    intent_detected: Optional[str]
    response_type: Optional[str]
    appointment_requested: Optional[bool]
    appointment_booked: Optional[bool]
    human_handoff_requested: Optional[bool]
    handoff_reason: Optional[str]
    user_message_length: Optional[int]
    ai_response_length: Optional[int]
    # 0 to 1; the service ignores any other value and keeps the event.
    user_satisfaction: Optional[float]
    # A UUID that names the event, if the caller has one. Without it, `track` makes a UUIDv7.
    event_id: Optional[str]


@dataclass(frozen=True)
class Refusal:
    """Why an event was refused. It was not stored, and is not sent again."""

    # The status of the response, or 0 if the event could not be sent at all.
    status: int
    # The service's reason, such as `Invalid value for field: tokens_used`.
    error: str


@dataclass(frozen=True)
class Drop:
    """Events that are lost.

    The reason is `full`: the buffer was; `closed`: they were tracked after `close`; or `exit`: they were still waiting when the client
    or the process ended.
    """

    reason: str
    events: int
    bytes: int


@dataclass(frozen=True)
class Stats:
    """Counts since the client was created; in a forked process, since the fork.

    Each event is in one place: tracked + recovered = sent + duplicates + refused + dropped + waiting.
    """

    # Events given to `track`, and events that an ended process had left in the spool.
    tracked: int
    recovered: int
    # Events that the service took, and those that it had already from an attempt whose response was lost.
    sent: int
    duplicates: int
    refused: int
    dropped: int
    waiting: int
    waiting_bytes: int
    # Attempts to send, and how many of them failed.
    requests: int
    failures: int


OnReject = Callable[[Dict[str, Any], Refusal], object]
OnDrop = Callable[[Drop], object]
OnError = Callable[[Exception], object]
