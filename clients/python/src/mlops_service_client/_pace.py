"""When the next batch is sent. All times are seconds."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Callable, Mapping

_LONGEST_LINGER = 60.0


@dataclass(frozen=True)
class Timings:
    # How long an event waits for others to be sent with.
    linger: float = 1.0
    # How long an attempt may take. The service gives up on its database after at most 2.5 s.
    timeout: float = 10.0
    # How long `flush`, `close` and the exit wait. Shorter than the ten seconds between SIGTERM and SIGKILL that containers usually get.
    wait: float = 8.0
    first_retry: float = 0.5
    last_retry: float = 30.0
    # The least wait after a response that asks for another setting.
    setup_retry: float = 30.0


# After a fork two processes have the same state of the shared generator; this one asks the system.
_random = random.SystemRandom().random


def backoff(timings: Timings, failures: int, rand: Callable[[], float] = _random) -> float:
    """Returns the wait before the next attempt.

    It doubles with each failure, and half of it is random, so that clients do not all come back at once.
    """
    full = min(timings.last_retry, timings.first_retry * 2.0 ** min(failures - 1, 30))
    return full / 2 + full / 2 * rand()


def obey(retry_after: float, rand: Callable[[], float] = _random) -> float:
    """Returns the wait for `Retry-After`: never less than asked for, and up to a tenth or five seconds more."""
    return retry_after + min(retry_after / 10, 5) * rand()


def linger(timings: Timings, headers: Mapping[str, str], now: float) -> float:
    """Returns how long to collect events for the next batch.

    Once half of the quota is used, the rest is spread over the time until the window closes: it is better to send a little later each
    time than not at all for the rest of an hour.
    """
    try:
        limit, remaining, reset = (int(headers[f"x-ratelimit-{name}"]) for name in ("limit", "remaining", "reset"))
    except (KeyError, ValueError):
        return timings.linger
    left = reset - now
    if not 0 < remaining < limit / 2 or left <= 0:
        return timings.linger
    return min(max(left / remaining, timings.linger), _LONGEST_LINGER)
