"""What the process does to its clients: it ends, or it forks."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from abc import ABC, abstractmethod
from types import FrameType

from ._pace import Timings


class Living(ABC):
    """What a process does to a client."""

    @abstractmethod
    def _leave(self, timeout: float, interrupting: bool) -> None:
        """Sends what waits. `interrupting`: this thread may be in the middle of `track`."""

    @abstractmethod
    def _resume(self) -> None:
        """The process goes on after all."""

    @abstractmethod
    def _end(self) -> None:
        """Ends the client, and counts what could not be sent."""

    @abstractmethod
    def _after_fork(self) -> None:
        """Leaves what waits to the parent process."""


class _Finalizer:
    """Something that `multiprocessing` can refer to weakly."""


# Held until they are closed, so that what waits is sent even if the caller has let go of them.
_living: set[Living] = set()
_finalizer = _Finalizer()
_finalized_pid = 0


def add(client: Living) -> None:
    _living.add(client)
    _finalize_with_multiprocessing()
    _catch_sigterm()


def remove(client: Living) -> None:
    _living.discard(client)


def _leave_all(interrupting: bool) -> None:
    deadline = time.monotonic() + Timings.wait
    for client in list(_living):
        client._leave(max(deadline - time.monotonic(), 0.0), interrupting)


def _end_all() -> None:
    for client in list(_living):
        client._end()
    _living.clear()


def _at_exit() -> None:
    _leave_all(interrupting=False)
    _end_all()


def _finalize_with_multiprocessing(_: object = None) -> None:
    """A child of `multiprocessing` ends without `atexit`, but has a list of its own."""
    global _finalized_pid
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is None or process is None or process.parent_process() is None or _finalized_pid == os.getpid():
        return
    _finalized_pid = os.getpid()
    # The lowest priority: after everything else that might still track.
    util.Finalize(None, _at_exit, exitpriority=-1000)


def _catch_sigterm() -> None:
    """Flushes on SIGTERM if nothing else is done on it: without a handler the process would end without `atexit`.

    A handler of the process's own is left alone, and may replace this one at any time; such a process flushes when it exits.
    """
    if os.name != "posix" or threading.current_thread() is not threading.main_thread():
        return
    try:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _on_sigterm)
    except ValueError:
        # A thread that calls itself the main one, or another interpreter in this process.
        pass


def _on_sigterm(_signum: int, _frame: FrameType | None) -> None:
    # Another handler may have replaced this one and call it before it does what it wants to do.
    ends = signal.getsignal(signal.SIGTERM) is _on_sigterm and not _is_first_process()
    if ends:
        # A second signal ends the process at once.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _leave_all(interrupting=True)
    if ends:
        _end_all()
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        for client in list(_living):
            client._resume()


def _is_first_process() -> bool:
    """Whether this is the first process of a container, which a signal without a handler does not end."""
    return os.getpid() == 1


def _after_fork() -> None:
    for client in list(_living):
        client._after_fork()
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        # If `multiprocessing` forked, it empties its list of what to do at the end, and then runs this.
        util.register_after_fork(_finalizer, _finalize_with_multiprocessing)


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
