"""What a response means for the events of a batch."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Mapping, Union


@dataclass(frozen=True)
class Response:
    status: int
    # Names in lower case.
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Failure:
    """No response came, and why."""

    reason: str


@dataclass(frozen=True)
class Answered:
    """The events are done with, those in `refused` because they never will be stored; but those in `again` are sent again."""

    status: int
    duplicates: int = 0
    # The reason by the event's index in the batch.
    refused: Mapping[int, str] = field(default_factory=dict)
    again: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Split:
    """The batch is too much, or something in it is: its events are sent in smaller ones."""

    status: int


@dataclass(frozen=True)
class Uncompressed:
    """The same events are sent again, without compression."""

    status: int
    reason: str


@dataclass(frozen=True)
class Retry:
    """Sent again later."""

    reason: str
    status: int | None = None
    # What the service asked for, in seconds.
    retry_after: float = 0.0
    # Somebody must change a setting first.
    setup: bool = False


Verdict = Union[Answered, Split, Uncompressed, Retry]

_DAY = 24 * 3600.0
# Errors of events that the service could not store, while it stored others of the batch.
_NOT_STORED = ("Failed to store metrics in database", "Service Unavailable", "Internal Server Error")


def judge(response: Response | Failure, count: int, compressed: bool, now: float) -> Verdict:
    """Judges the response to a batch of `count` events."""
    if isinstance(response, Failure):
        return Retry(response.reason)
    status = response.status
    body = _parse(response.body)
    if status in (200, 202):
        # 202: the service has the events in its own spool.
        return _answered(body, count, status) or Retry(f"Status {status}, but not with the service's response", status)
    error, message = body.get("error"), body.get("message")
    if not isinstance(error, str) or not isinstance(message, str):
        error = message = ""
    if status == 400 and error:
        return _bad_request(error, message, count, compressed)
    if status == 403 and message == "API key is not valid for this business":
        return _all_refused(message, count, status)
    if status == 413:
        return Split(status) if count > 1 else _all_refused(error or "Payload Too Large", count, status)
    reason = f"Status {status}: {error}, {message}" if error else f"Status {status}"
    if status == 415 and compressed:
        return Uncompressed(status, reason)
    return Retry(reason, status, retry_after(response.headers, now), _needs_setup(status))


def _answered(body: dict[str, Any], count: int, status: int) -> Answered | None:
    accepted, rejected = body.get("accepted"), body.get("rejected")
    if body.get("status") not in ("success", "accepted") or not isinstance(accepted, int) or not isinstance(rejected, list):
        return None
    errors: dict[int, str] = {}
    for entry in rejected:
        index = entry.get("index") if isinstance(entry, dict) else None
        if isinstance(index, int) and 0 <= index < count:
            errors[index] = str(entry.get("error"))
    known = body.get("duplicates")
    duplicates = known if isinstance(known, int) else 0
    # Anything else is the response to another batch, from a cache on the way.
    if accepted + duplicates + len(errors) != count:
        return None
    again = frozenset(index for index, error in errors.items() if error in _NOT_STORED)
    return Answered(status, duplicates, {index: error for index, error in errors.items() if index not in again}, again)


def _bad_request(error: str, message: str, count: int, compressed: bool) -> Verdict:
    if error == "Bad Request":
        # The body did not arrive as it was sent.
        reason = f"Status 400: {message}"
        return Uncompressed(400, reason) if compressed else Retry(reason, 400)
    if count == 1 or message.startswith("Every event in the batch was rejected"):
        return _all_refused(error, count, 400)
    return Split(400)


def _all_refused(error: str, count: int, status: int) -> Answered:
    """Every event is refused. Of a batch the service gives the reason for the first one only."""
    of_others = error if status == 403 else f"Refused, as all events of its batch; the first one: {error}"
    return Answered(status, 0, {at: error if at == 0 else of_others for at in range(count)})


def _needs_setup(status: int) -> bool:
    """Statuses that no later attempt changes, unless somebody changes the key, the address, or a proxy on the way."""
    return 300 <= status < 500 and status not in (408, 425, 429)


def retry_after(headers: Mapping[str, str], now: float) -> float:
    """Returns `Retry-After`, seconds or a date, in seconds from now; at most a day."""
    value = headers.get("retry-after", "").strip()
    try:
        wait = float(int(value)) if value.isdecimal() else parsedate_to_datetime(value).timestamp() - now
    # OverflowError: a number or a year that no float holds; the others depend on the version of Python.
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
    return min(max(wait, 0.0), _DAY)


def _parse(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    # RecursionError: a deeply nested body, which is not the service's.
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
