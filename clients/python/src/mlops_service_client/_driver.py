"""What the drivers have in common."""

from __future__ import annotations

import inspect
import threading
import time
from typing import Callable, Iterable

from ._batch import Batch, Ended, Step
from ._engine import Engine
from ._options import Settings
from ._post import Poster


class Wake:
    """Wakes one thread, also if it is not waiting yet.

    Made of a lock's single operations, so that the handler of a signal may interrupt any of them. `threading.Event` may not be.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        try:
            self._lock.release()
        except RuntimeError:
            # It was set already.
            pass

    def wait(self, seconds: float | None) -> None:
        self._lock.acquire(timeout=-1 if seconds is None else min(seconds, threading.TIMEOUT_MAX))


def tell(calls: Iterable[Callable[[], object]]) -> None:
    """Calls the caller's functions. What they raise must not keep events from being sent."""
    for call in calls:
        try:
            result = call()
            if inspect.iscoroutine(result):
                # There is no loop to run it.
                result.close()
        except (Exception, SystemExit):
            pass


def advance(engine: Engine, run: int, poster: Poster) -> Step:
    """Does the next step, except for waiting and telling. Takes as long as an attempt to send."""
    engine.upkeep(run)
    step = engine.step(run)
    if isinstance(step, Batch):
        engine.apply(run, step, poster.post(step.body, step.compress, step.timeout))
    return step


def drain(engine: Engine, settings: Settings, timeout: float) -> None:
    """Sends what waits, in this thread, whoever was sending it before."""
    run = engine.begin_run()
    deadline = time.monotonic() + timeout
    poster = Poster(settings)
    try:
        while True:
            tell(engine.notices())
            left = deadline - time.monotonic()
            if left <= 0 or not engine.waiting:
                break
            step = engine.step(run, hurry=True)
            if isinstance(step, Batch):
                engine.apply(run, step, poster.post(step.body, step.compress, min(step.timeout, left)))
            elif isinstance(step, Ended) or step.seconds is None or step.seconds > left:
                break
            else:
                time.sleep(step.seconds)
    finally:
        poster.close()
        engine.end_run(run)
