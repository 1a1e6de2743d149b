"""Errors for `on_error`. None of them has an event or the key in it."""

from __future__ import annotations

import math


class SendError(Exception):
    """Why an attempt to send failed, and when the next one follows. The events wait."""

    def __init__(self, reason: str, status: int | None, retry_in: float) -> None:
        super().__init__(f"{reason}. Trying again in {math.ceil(retry_in)} s.")
        # The status of the response, if there was one.
        self.status = status
        # Seconds until the next attempt.
        self.retry_in = retry_in


def reason_of(error: BaseException) -> str:
    """Returns what an exception says, or what it is if it says nothing."""
    return str(error) or type(error).__name__
