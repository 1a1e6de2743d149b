"""The client for asyncio."""

from __future__ import annotations

import asyncio
import inspect
import threading
from types import TracebackType
from typing import Any, Callable, Iterable, Mapping, TypeVar

from . import _lifecycle
from ._base import BaseClient
from ._batch import Ended, Step, Wait
from ._driver import advance, drain, tell
from ._post import Poster

_T = TypeVar("_T")


class AsyncClient(BaseClient):
    """Buffers events and sends them in a task of the running loop.

    A request itself, with its compression, is made in a thread, so that the loop never waits for it. `track` may be called in any thread
    once the client is in use in a loop; `async with` is the simplest way to that.
    """

    def _prepare(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake: asyncio.Event | None = None
        self._poster: Poster | None = None
        # Kept so that they are not collected before they are done.
        self._callbacks: set[asyncio.Future[Any]] = set()

    def track(self, report: Mapping[str, object] | None = None, **fields: Any) -> str:
        event_id = self._engine.track(report, fields)
        if self._loop is not None and self._loop.is_closed():
            self._wake_sender()
        return event_id

    async def flush(self, timeout: float | None = None) -> bool:
        """Sends what is buffered. Returns whether all of it was answered, at the latest after `timeout` seconds; None: eight.

        Returns earlier if the service asked for a longer wait.
        """
        timeout = self._timings.wait if timeout is None else timeout
        self._wake_sender()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        waiter = self._engine.wait_for_all(timeout, lambda: _in_loop(loop, _resolve, done, None))
        if waiter is not None:
            self._wake_sender()
            try:
                await asyncio.wait_for(done, timeout)
            except asyncio.TimeoutError:
                pass
            finally:
                self._engine.give_up(waiter)
        self._tell(self._engine.notices(all_of_them=True))
        return self._engine.is_done(waiter)

    async def close(self) -> None:
        """Flushes and ends the client. What is tracked later is dropped."""
        await self.flush()
        self._engine.end()
        self._stop()
        self._tell(self._engine.notices(all_of_them=True))
        _lifecycle.remove(self)
        if self._callbacks:
            await asyncio.wait(self._callbacks, timeout=self._timings.wait)

    async def __aenter__(self) -> AsyncClient:
        self._wake_sender()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    def _wake_sender(self) -> None:
        """Called in any thread. Without a loop, what waits is sent once there is one, or when the process ends."""
        try:
            running: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        loop = self._loop
        if loop is None or loop.is_closed():
            if running is None:
                return
            self._loop = loop = running
            self._task = None
        if running is loop:
            self._start_or_wake()
        else:
            _in_loop(loop, self._start_or_wake)

    def _start_or_wake(self) -> None:
        if self._task is not None and self._wake is not None:
            self._wake.set()
            return
        assert self._loop is not None
        self._wake = asyncio.Event()
        if self._poster is None or self._poster.aborted:
            self._poster = Poster(self._settings)
        self._task = self._loop.create_task(self._send(self._engine.begin_run(), self._poster, self._wake))

    async def _send(self, run: int, poster: Poster, wake: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                wake.clear()
                try:
                    step: Step = await _in_thread(loop, lambda: advance(self._engine, run, poster))
                except Exception as error:
                    # A bug here must not end the task: the events would wait for ever.
                    self._engine.report(error)
                    step = Wait(self._timings.first_retry)
                self._tell(self._engine.notices())
                if isinstance(step, Ended) or (isinstance(step, Wait) and step.seconds is None and not wake.is_set()):
                    # Nothing waits. A task that waited for it would keep a loop from ending in silence.
                    break
                if isinstance(step, Wait):
                    try:
                        await asyncio.wait_for(wake.wait(), step.seconds)
                    except asyncio.TimeoutError:
                        pass
        except BaseException:
            # Cancelled: what is being sent is broken off. It is sent again by the next task, or when the process ends.
            poster.abort()
            raise
        finally:
            self._engine.end_run(run)
            if self._task is asyncio.current_task():
                self._task = None

    def _tell(self, calls: Iterable[Callable[[], object]]) -> None:
        for call in calls:
            try:
                result = call()
                if inspect.isawaitable(result):
                    callback = asyncio.ensure_future(result)
                    self._callbacks.add(callback)
                    callback.add_done_callback(self._told)
            except Exception:
                # A broken callback must not keep events from being sent.
                pass

    def _told(self, callback: asyncio.Future[Any]) -> None:
        self._callbacks.discard(callback)
        if not callback.cancelled():
            # Looked at, so that it is not reported as forgotten.
            callback.exception()

    def _stop(self) -> None:
        if self._poster is not None:
            self._poster.abort()
        if self._wake is not None:
            self._wake.set()

    def _end(self) -> None:
        self._engine.end()
        tell(self._engine.notices(all_of_them=True))
        _lifecycle.remove(self)

    def _leave(self, timeout: float, interrupting: bool) -> None:
        # The loop does not run any more, or not while this does.
        self._engine.quiet()
        if self._engine.waiting:
            if self._poster is not None:
                self._poster.abort()
            drain(self._engine, self._settings, timeout)

    def _resume(self) -> None:
        loop, wake = self._loop, self._wake
        if loop is None or wake is None:
            return
        # The task of before finds that its run is over.
        _in_loop(loop, wake.set)
        self._task = None
        _in_loop(loop, self._start_or_wake)

    def _after_fork(self) -> None:
        if self._poster is not None:
            self._poster.abandon()
        self._engine.after_fork()
        self._prepare()


def _in_loop(loop: asyncio.AbstractEventLoop, call: Callable[..., object], *arguments: object) -> None:
    try:
        loop.call_soon_threadsafe(call, *arguments)
    except RuntimeError:
        # The loop is closed: nobody waits there any more.
        pass


def _resolve(future: asyncio.Future[_T], value: _T) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: asyncio.Future[_T], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


async def _in_thread(loop: asyncio.AbstractEventLoop, work: Callable[[], _T]) -> _T:
    """As `asyncio.to_thread`, but neither the loop's end nor the process's waits for the thread."""
    future: asyncio.Future[_T] = loop.create_future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            _in_loop(loop, _fail, future, error)
        else:
            _in_loop(loop, _resolve, future, result)

    threading.Thread(target=run, name="mlops-service-client", daemon=True).start()
    return await future
