"""What a driver is told to do, and which events fit into a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Union

from ._encode import Encoded, text_of
from ._errors import reason_of
from ._spool import Segment

# The service takes at most 1,000 events and 1 MiB.
BATCH_EVENTS = 1000
BATCH_BYTES = 1024 * 1024 - 64


@dataclass(frozen=True)
class Batch:
    """Send this."""

    texts: list[str]
    compress: bool
    timeout: float

    @property
    def body(self) -> str:
        return '{"events":[' + ",".join(self.texts) + "]}"


@dataclass(frozen=True)
class Wait:
    """Wait for so many seconds, or until something is to be done."""

    seconds: float | None


@dataclass(frozen=True)
class Ended:
    """This run is over."""


Step = Union[Batch, Wait, Ended]


@dataclass(eq=False)
class Waiter:
    """Somebody waits until events are done with."""

    # How many it still waits for. They are the oldest in the queue.
    left: int
    deadline: float
    done: Callable[[], None]


def texts_of(entries: list[tuple[Encoded, Segment | None]]) -> tuple[list[str], str]:
    """Returns the JSON of the first events, as many as fit; and why the one after them can never be sent, if that is so."""
    texts: list[str] = []
    size = 0
    for entry, _ in entries:
        try:
            text = text_of(entry)
        except Exception as error:
            return texts, f"The event is not JSON: {reason_of(error)}"
        # One more for the comma.
        size += len(text) + 1
        if size > BATCH_BYTES:
            return texts, "Payload Too Large"
        texts.append(text)
    return texts, ""
