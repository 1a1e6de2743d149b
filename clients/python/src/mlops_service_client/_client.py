"""The client for threads."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from . import _lifecycle
from ._base import BaseClient
from ._batch import Ended, Wait
from ._driver import Wake, advance, drain, tell
from ._post import Poster

# How long `close` waits for the thread, which has nothing left to do.
_JOIN = 1.0


class Client(BaseClient):
    """Buffers events and sends them in a background thread. Threads may share it."""

    def _prepare(self) -> None:
        self._starting = threading.RLock()
        self._sender: threading.Thread | None = None
        self._poster: Poster | None = None
        self._wake = Wake()

    def flush(self, timeout: float | None = None) -> bool:
        """Sends what is buffered. Returns whether all of it was answered, at the latest after `timeout` seconds; None: eight.

        Returns earlier if the service asked for a longer wait.
        """
        timeout = self._timings.wait if timeout is None else timeout
        if threading.current_thread() is self._sender:
            # From a callback: the thread would wait for itself.
            return self._engine.is_done(None)
        self._start()
        if self._sender is None and self._engine.waiting:
            # No thread can be started any more: the process is ending.
            drain(self._engine, self._settings, timeout)
        done = Wake()
        waiter = self._engine.wait_for_all(timeout, done.set)
        if waiter is not None:
            self._wake_sender()
            done.wait(max(timeout, 0.0))
            self._engine.give_up(waiter)
        tell(self._engine.notices(all_of_them=True))
        return self._engine.is_done(waiter)

    def close(self) -> None:
        """Flushes and ends the client. What is tracked later is dropped."""
        self.flush()
        self._end()

    def __enter__(self) -> Client:
        self._start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _wake_sender(self) -> None:
        self._start()
        self._wake.set()

    def _start(self) -> None:
        """Starts the thread if there is none. Not done before it is needed: a process that forks should have no threads."""
        if self._sender is not None:
            return
        with self._starting:
            if self._sender is not None:
                return
            self._poster = poster = Poster(self._settings)
            self._wake = Wake()
            arguments = (self._engine.begin_run(), poster, self._wake)
            sender = threading.Thread(target=self._send, args=arguments, name="mlops-service-client", daemon=True)
            self._sender = sender
            try:
                sender.start()
            except RuntimeError:
                # The process is ending, and sends what waits itself; or it has too many threads, and the next event tries again.
                self._sender = None

    def _send(self, run: int, poster: Poster, wake: Wake) -> None:
        engine = self._engine
        while True:
            try:
                step = advance(engine, run, poster)
                tell(engine.notices())
                if isinstance(step, Ended):
                    break
                if isinstance(step, Wait):
                    wake.wait(step.seconds)
            except Exception as error:
                # A bug here must not end the thread: the events would wait for ever.
                engine.report(error)
                time.sleep(self._timings.first_retry)
        poster.close()
        if self._sender is threading.current_thread():
            self._sender = None

    def _end(self) -> None:
        sender = self._sender
        self._engine.end()
        if self._poster is not None:
            self._poster.abort()
        self._wake.set()
        if sender is not None and sender is not threading.current_thread():
            sender.join(_JOIN)
        tell(self._engine.notices(all_of_them=True))
        _lifecycle.remove(self)

    def _leave(self, timeout: float, interrupting: bool) -> None:
        self._engine.quiet()
        sender = self._sender
        if not interrupting and sender is not None and sender.is_alive():
            self.flush(timeout)
            return
        # The thread may wait for a lock that the interrupted code holds, so it is not relied on.
        self._sender = None
        if self._engine.waiting:
            if self._poster is not None:
                self._poster.abort()
            drain(self._engine, self._settings, timeout)

    def _resume(self) -> None:
        self._wake.set()
        self._wake_sender()

    def _after_fork(self) -> None:
        if self._poster is not None:
            self._poster.abandon()
        self._engine.after_fork()
        self._prepare()
