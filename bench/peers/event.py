"""The report of one AI interaction, as both Python peers read and keep it."""

import math
from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MAX = 2_147_483_647

Count = Annotated[int, Field(ge=0, le=MAX)]


def text(longest, shortest=0):
    """A string without control characters."""
    return Annotated[str, Field(min_length=shortest, max_length=longest, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]


class Event(BaseModel):
    """Types and bounds are those of the service; fields that are not listed are ignored."""

    model_config = ConfigDict(strict=True)

    business_id: text(255, shortest=1)
    response_time_ms: Annotated[float, Field(ge=0, le=MAX)]
    tokens_used: Count
    conversation_id: text(255) | None = None
    session_id: text(255) = "unknown"
    success_rate: Annotated[float, Field(ge=0, le=1)] = 1.0
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    api_cost_usd: Annotated[float, Field(ge=0, le=9999.999999)] = 0.0
    model_name: text(100) = "gemini-1.5-flash"
    intent_detected: text(50) = "unknown"
    response_type: text(50) = "unknown"
    appointment_requested: bool = False
    appointment_booked: bool = False
    human_handoff_requested: bool = False
    user_message_length: Count = 0
    ai_response_length: Count = 0

    def row(self):
        """The values in the order of the table's columns, which have the names of the fields."""
        return [*(self.__dict__ | {"response_time_ms": math.floor(self.response_time_ms + 0.5)}).values()]


COLUMNS = [*Event.model_fields]


def insert(placeholders):
    """The statement that keeps an event, with the placeholders of a driver."""
    return f"insert into ai_metrics ({', '.join(COLUMNS)}) values ({', '.join(placeholders)})"


def stored():
    """The answer to an event that is in the table."""
    return {
        "status": "success",
        "message": "Metrics tracked successfully",
        "prometheus_updated": True,
        "database_stored": True,
        "timestamp": datetime.now(UTC).isoformat(),
    }
