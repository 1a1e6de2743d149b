"""What the caller is to be told: collected by whoever finds it out, told by the sender."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Any, Callable

from ._types import Drop, OnDrop, OnError, OnReject, Refusal

_WARNING_INTERVAL = 60.0
# Drops are told together, at most this often: `track` must return at once, however many there are.
DROP_INTERVAL = 0.1

_log = logging.getLogger("mlops_service_client")


class Notices:
    def __init__(self, on_reject: OnReject | None, on_drop: OnDrop | None, on_error: OnError | None) -> None:
        self._on_reject = on_reject
        self._on_drop = on_drop
        self._on_error = on_error
        self._warned: dict[str, float] = {}
        # Set when the process ends: logging may have ended before.
        self.quiet = False
        self.clear()

    def clear(self) -> None:
        self._waiting: deque[Callable[[], object]] = deque()
        self._dropped: dict[str, tuple[int, int]] = {}
        self._drops_told = 0.0

    def reject(self, event: Any, refusal: Refusal) -> None:
        tell = self._on_reject
        if tell is not None:
            self._waiting.append(lambda: tell(event, refusal))
        else:
            self._warn("reject", f"an event was refused: {refusal.error}")

    def error(self, error: Exception) -> None:
        tell = self._on_error
        if tell is not None:
            self._waiting.append(lambda: tell(error))
        else:
            self._warn("error", str(error))

    def drop(self, reason: str, events: int, size: int) -> bool:
        """Counts lost events. Returns whether they are the first since the last ones were told. The caller holds the lock."""
        before, bytes_before = self._dropped.get(reason, (0, 0))
        self._dropped[reason] = (before + events, bytes_before + size)
        return before == 0

    def _warn(self, kind: str, text: str) -> None:
        """Logs at most once a minute: whoever has no callback should still hear of it."""
        now = time.monotonic()
        if self.quiet or now < self._warned.get(kind, 0.0):
            return
        self._warned[kind] = now + _WARNING_INTERVAL
        self._waiting.append(lambda: self._log(text))

    def _log(self, text: str) -> None:
        if not self.quiet:
            _log.warning("%s", text)

    def __len__(self) -> int:
        return len(self._waiting)

    def wait(self, now: float) -> float | None:
        """Returns in how many seconds there is something to tell."""
        if self._waiting:
            return 0.0
        return max(self._drops_told + DROP_INTERVAL - now, 0.0) if self._dropped else None

    def take(self, now: float, all_of_them: bool) -> list[Callable[[], object]]:
        """Returns what to call. The caller holds the lock; it calls them without."""
        if self._dropped and (all_of_them or now >= self._drops_told + DROP_INTERVAL):
            self._drops_told = now
            drops, self._dropped = self._dropped, {}
            for reason, (events, size) in drops.items():
                self._tell_drop(Drop(reason, events, size))
        calls = list(self._waiting)
        self._waiting.clear()
        return calls

    def _tell_drop(self, drop: Drop) -> None:
        tell = self._on_drop
        if tell is not None:
            self._waiting.append(lambda: tell(drop))
        else:
            self._warn("drop", f"{drop.events} events were dropped ({drop.reason})")
