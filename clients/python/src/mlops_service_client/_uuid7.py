"""UUIDs of version 7 (RFC 9562): they begin with the time, so ids made one after another sort in that order."""

from __future__ import annotations

import os
import time
from typing import Callable, Iterator

# The last 62 bits of 128 ids are fetched and written out at once, which costs a fraction of doing it for each.
_POOL = 128
_DIGITS = 16
_COUNTER = [f"{n:03x}" for n in range(0x1000)]


def uuid7_maker(clock: Callable[[], int] = time.time_ns) -> Callable[[], str]:
    """Returns a function that makes UUIDs, in one thread each greater than the one before.

    Threads may share it: two that meet may take the same time and counter, but never the same random bits. Processes may not: after a
    fork, each needs its own.
    """
    tails: list[str] = []
    last = 0
    counter = 0
    prefix = ""

    def make() -> str:
        nonlocal last, counter, prefix
        now = clock() // 1_000_000
        if now > last:
            last, counter = now, 0
            prefix = _prefix(now)
        else:
            # The clock may have been set back: the ids go on from where they were.
            counter += 1
            if counter > 0xFFF:
                last, counter = last + 1, 0
                prefix = _prefix(last)
        try:
            tail = tails.pop()
        except IndexError:
            fresh = _tails()
            tail = next(fresh)
            tails.extend(fresh)
        # Of two threads that count at once, one may read the other's step beyond the end.
        return prefix + _COUNTER[counter & 0xFFF] + tail

    return make


def _prefix(milliseconds: int) -> str:
    return f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-7"


def _tails() -> Iterator[str]:
    digits = os.urandom(_POOL * _DIGITS // 2).hex()
    for at in range(0, len(digits), _DIGITS):
        variant = "89ab"[int(digits[at], 16) & 3]
        yield f"-{variant}{digits[at + 1:at + 4]}-{digits[at + 4:at + _DIGITS]}"
