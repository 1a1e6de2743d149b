"""Events as they wait, and as they are sent.

An event waits as a snapshot that takes a fraction of the time of writing JSON, so that most of the work is the sender's. What has no
snapshot, and what goes into a spool, is JSON at once.
"""

from __future__ import annotations

import json
import marshal
import math
from decimal import Decimal
from typing import Any, Mapping, Union
from uuid import UUID

Encoded = Union[bytes, str]


def snapshot(event: dict[str, Any]) -> Encoded:
    """Returns the event as it is now, whatever the caller does to it later. Raises if it cannot be JSON."""
    try:
        return marshal.dumps(event)
    except ValueError:
        # A value of another type than Python's own.
        return to_json(event)


def restore(encoded: Encoded) -> Any:
    """Returns the event of which a snapshot was taken."""
    return marshal.loads(encoded) if isinstance(encoded, bytes) else json.loads(encoded)


def text_of(encoded: Encoded) -> str:
    """Returns an event's JSON. Raises if it cannot be JSON."""
    return to_json(marshal.loads(encoded)) if isinstance(encoded, bytes) else encoded


def _default(value: object) -> object:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Decimal):
        return float(value)
    # Numbers of NumPy and the like.
    item = getattr(value, "item", None)
    if callable(item):
        return item()
    raise TypeError(f"{type(value).__name__} is not JSON")


_encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=_default)


def to_json(event: Mapping[str, Any]) -> str:
    """Returns JSON in ASCII, so that its length is its size."""
    try:
        return _encoder.encode(event)
    except ValueError:
        # JSON has no NaN. In a field that may be absent it means that there is no value.
        return _encoder.encode({name: None if _is_nan(value) else value for name, value in event.items()})


def _is_nan(value: object) -> bool:
    return isinstance(value, (float, Decimal)) and not math.isfinite(value)
