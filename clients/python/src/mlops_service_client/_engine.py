"""What both clients have in common: the buffer, and the decision what is sent when. It neither waits nor sends; drivers do.

A driver is the thread of a `Client`, the task of an `AsyncClient`, or whoever ends the process. It begins a run, asks `step` again and
again, and does what that says. A new run ends the one before: what that still sends is sent again, and the service knows it by its ids.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from itertools import islice
from typing import Any, Callable, Mapping
from uuid import UUID

from ._batch import BATCH_BYTES, BATCH_EVENTS, Batch, Ended, Step, Wait, Waiter, texts_of
from ._encode import Encoded, restore, snapshot, to_json
from ._errors import SendError, reason_of
from ._notices import Notices
from ._options import Settings
from ._pace import Timings, backoff, linger, obey
from ._spool import Segment, Spool
from ._types import Refusal, Stats
from ._uuid7 import uuid7_maker
from ._verdict import Answered, Failure, Response, Retry, Split, Uncompressed, judge

# How often a spool says that it is in use, and looks for what other processes left; and how often it goes to the disk.
_UPKEEP_INTERVAL = 15.0
_SYNC_INTERVAL = 1.0


class Engine:
    def __init__(self, settings: Settings, notices: Notices, spool: Spool | None, timings: Timings, wake: Callable[[], None]) -> None:
        self._settings = settings
        self._notices = notices
        self._spool = spool
        self._timings = timings
        self._wake = wake
        self._begin_anew()

    def _begin_anew(self) -> None:
        # A lock that its holder may take again: a signal's handler may interrupt `track`, and send what waits.
        self._lock = threading.RLock()
        self._next_id = uuid7_maker()
        self._queue: deque[tuple[Encoded, Segment | None]] = deque()
        self._bytes = 0
        # `track` wakes the driver when this many events or bytes wait.
        self._wake_events: float = 1
        self._wake_bytes: float = math.inf
        self._run = 0
        self._closed = False
        # Whether events were dropped at the end.
        self._lost = False
        self._waiters: list[Waiter] = []
        self._released: list[Waiter] = []
        self._failures_in_a_row = 0
        self._not_before = 0.0
        self._linger = self._timings.linger
        self._linger_until: float | None = None
        self._limit = BATCH_EVENTS
        self._ceiling = BATCH_EVENTS
        self._compress = True
        self._compress_next = True
        # Whether what an ended process left in the spool is known.
        self._looked = self._spool is None
        self._next_upkeep = 0.0
        self._next_sync = 0.0
        self._tracked = self._recovered = self._sent = self._duplicates = 0
        self._refused = self._dropped = self._requests = self._failures = 0

    # What callers do.

    def track(self, report: Mapping[str, object] | None, fields: dict[str, Any]) -> str:
        """Buffers a report. Returns its id. Never raises."""
        try:
            return self._track(report, fields)
        except Exception as error:
            # Reached by a mapping of the caller's that raises. Not counted: there is no event.
            self._notices.error(error)
            self._wake()
            return ""

    def _track(self, report: Mapping[str, object] | None, fields: dict[str, Any]) -> str:
        event: dict[str, Any]
        try:
            event = fields if report is None else {**report, **fields}
        except TypeError:
            self._refuse_unsent(report, "Metrics data must be a JSON object")
            return self._next_id()
        event_id: str
        given = event.get("event_id")
        if type(given) is str:
            event_id = given
        else:
            event_id = event["event_id"] = str(given) if isinstance(given, (UUID, str)) else self._next_id()
        try:
            entry = snapshot(event) if self._spool is None else to_json(event)
        except Exception as error:
            self._refuse_unsent(event, f"The event is not JSON: {reason_of(error)}")
            return event_id
        size = len(entry)
        with self._lock:
            self._tracked += 1
            queue = self._queue
            waiting = len(queue) + 1
            total = self._bytes + size
            if self._closed:
                wake = self._drop("closed", 1, size)
            elif waiting > self._settings.max_events or total > self._settings.max_bytes:
                wake = self._drop("full", 1, size)
            else:
                # Written to the spool under the lock, so that its order is the buffer's.
                queue.append((entry, None if self._spool is None else self._spool.append(entry)))  # type: ignore[arg-type]
                self._bytes = total
                wake = waiting >= self._wake_events or total >= self._wake_bytes
        if wake:
            self._wake()
        return event_id

    def _refuse_unsent(self, event: object, error: str) -> None:
        with self._lock:
            self._tracked += 1
            # Nobody may have been told of earlier ones yet, and these have no bound of their own.
            if len(self._notices) >= self._settings.max_events:
                self._drop("full", 1, 0)
            else:
                self._refused += 1
                self._notices.reject(event, Refusal(0, error))
        self._wake()

    def _drop(self, reason: str, events: int, size: int) -> bool:
        self._dropped += events
        return self._notices.drop(reason, events, size)

    def wait_for_all(self, timeout: float, done: Callable[[], None]) -> Waiter | None:
        """Has all that waits now sent without delay, and calls `done` then, or when that cannot be in time.

        Returns None if there is nothing to wait for.
        """
        with self._lock:
            deadline = time.monotonic() + timeout
            waiter = Waiter(len(self._queue), deadline, done)
            if self._is_over(waiter) or self._not_before > deadline or self._closed:
                return None
            self._waiters.append(waiter)
        return waiter

    def give_up(self, waiter: Waiter) -> None:
        with self._lock:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def is_done(self, waiter: Waiter | None) -> bool:
        """Returns whether everything was answered that `waiter` waited for; without one, that was ever buffered."""
        with self._lock:
            if waiter is not None:
                return self._is_over(waiter)
            return self._looked and not self._queue and not self._lost

    def stats(self) -> Stats:
        with self._lock:
            return Stats(
                tracked=self._tracked,
                recovered=self._recovered,
                sent=self._sent,
                duplicates=self._duplicates,
                refused=self._refused,
                dropped=self._dropped,
                waiting=len(self._queue),
                waiting_bytes=self._bytes,
                requests=self._requests,
                failures=self._failures,
            )

    def end(self, reason: str = "exit") -> None:
        """Ends the run and all waiting. What still waits is dropped, but what is in the spool stays there."""
        with self._lock:
            self._run += 1
            self._closed = True
            lost = [entry for entry, segment in self._queue if segment is None]
            self._lost = self._lost or bool(lost)
            if lost:
                self._drop(reason, len(lost), sum(map(len, lost)))
            kept = [(entry, segment) for entry, segment in self._queue if segment is not None]
            self._queue = deque(kept)
            self._bytes = sum(len(entry) for entry, _ in kept)
            if self._spool is not None:
                self._spool.close()
            self._release(lambda _: True)

    def after_fork(self) -> None:
        """In the child: what waits is the parent's, and is sent there."""
        self._begin_anew()
        self._notices.clear()
        if self._spool is not None:
            self._spool.after_fork()

    # What drivers do.

    def begin_run(self) -> int:
        with self._lock:
            self._run += 1
            return self._run

    def end_run(self, run: int) -> None:
        """The next event wakes a driver again."""
        with self._lock:
            if run == self._run:
                self._run += 1
                self._wake_events = 1

    def notices(self, all_of_them: bool = False) -> list[Callable[[], object]]:
        """Returns what is to be called: the caller's callbacks, and then whoever waits for the events that these are about."""
        with self._lock:
            released, self._released = self._released, []
            return self._notices.take(time.monotonic(), all_of_them) + [waiter.done for waiter in released]

    def report(self, error: Exception) -> None:
        """Tells the caller of an error that is not about one attempt."""
        self._notices.error(error)

    def quiet(self) -> None:
        """From now on nothing is logged."""
        self._notices.quiet = True

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def step(self, run: int, hurry: bool = False) -> Step:
        """Returns what is to be done next."""
        while True:
            with self._lock:
                if run != self._run:
                    return Ended()
                now = time.monotonic()
                wait = self._wait(now, hurry)
                if self._closed and wait is None:
                    return Ended()
                if wait is None or wait > 0:
                    return Wait(wait)
                entries = list(islice(self._queue, self._limit))
                self._requests += 1
            # Without the lock, because `track` would wait for it. Only a run takes events from the queue, and there is one run.
            texts, broken = texts_of(entries)
            if texts:
                return Batch(texts, self._compress and self._compress_next, self._timings.timeout)
            with self._lock:
                if run != self._run:
                    return Ended()
                self._requests -= 1
                self._settle(1, Answered(0, 0, {0: broken}), [entries[0][0]])

    def _wait(self, now: float, hurry: bool) -> float | None:
        """Returns in how many seconds a batch is due, or something else is to be done; None if nothing is known yet."""
        due: list[float] = []
        self._wake_events = self._wake_bytes = math.inf
        if self._queue and not self._closed:
            urgent = hurry or bool(self._waiters) or len(self._queue) >= self._limit or self._bytes >= BATCH_BYTES
            if self._linger_until is None:
                self._linger_until = now + self._linger
            at = max(self._not_before, now if urgent else self._linger_until)
            if at <= now:
                return 0.0
            if not urgent:
                self._wake_events, self._wake_bytes = self._limit, BATCH_BYTES
            due.append(at - now)
        else:
            self._linger_until = None
            self._wake_events = 1
        told = self._notices.wait(now)
        if told is not None:
            # Never zero, which means a batch.
            due.append(max(told, 0.001))
        if self._spool is not None and not self._closed:
            due.append(max(self._next_upkeep - now, 0.001))
            if self._spool.unsynced:
                due.append(max(self._next_sync - now, 0.001))
        return min(due) if due else None

    def upkeep(self, run: int) -> None:
        """Looks after the spool. Reads and writes files."""
        spool = self._spool
        if spool is None:
            return
        now = time.monotonic()
        duplicate: int | None = None
        recover = False
        with self._lock:
            if run != self._run or self._closed:
                return
            if now >= self._next_sync:
                self._next_sync = now + _SYNC_INTERVAL
                duplicate = spool.to_sync()
            if now >= self._next_upkeep:
                self._next_upkeep = now + _UPKEEP_INTERVAL
                recover = True
        spool.sync(duplicate)
        if recover:
            spool.touch()
            self._add_recovered(run, spool, spool.recover(self._room))

    def _room(self) -> tuple[int, int]:
        """Returns how many old events and bytes may be taken over.

        Half of the buffer stays free for new events: they would be dropped, while those in files can wait.
        """
        with self._lock:
            return self._settings.max_events // 2 - len(self._queue), self._settings.max_bytes // 2 - self._bytes

    def _add_recovered(self, run: int, spool: Spool, found: list[tuple[str, Segment]]) -> None:
        with self._lock:
            if run != self._run or self._closed:
                # Too late: the first events of the queue may be another run's batch by now.
                spool.leave({segment for _, segment in found})
                return
            # Events that were tracked meanwhile may have taken the room. A file that is larger than the buffer comes into an empty one.
            while self._queue and found and not self._fits(found):
                last = found[-1][1]
                spool.leave([last])
                spool.more_left = True
                found = [(entry, segment) for entry, segment in found if segment is not last]
            self._looked = not spool.more_left
            # They are older than what waits.
            self._queue.extendleft(reversed(found))
            self._bytes += sum(len(entry) for entry, _ in found)
            self._recovered += len(found)
            for waiter in self._waiters:
                waiter.left += len(found)
            self._release(self._is_over)

    def _fits(self, found: list[tuple[str, Segment]]) -> bool:
        size = self._bytes + sum(len(entry) for entry, _ in found)
        return len(self._queue) + len(found) <= self._settings.max_events and size <= self._settings.max_bytes

    def apply(self, run: int, batch: Batch, response: Response | Failure) -> None:
        """Takes the response to a batch."""
        count = len(batch.texts)
        now = time.time()
        verdict = judge(response, count, batch.compress, now)
        with self._lock:
            # Another run has taken over. It sends the same events.
            if run != self._run:
                return
            if isinstance(response, Response):
                self._linger = linger(self._timings, response.headers, now)
            self._compress_next = True
            if isinstance(verdict, Answered):
                self._settle(count, verdict, batch.texts)
            elif isinstance(verdict, Split):
                self._limit = max(1, count // 2)
                if verdict.status == 413:
                    self._ceiling = self._limit
            elif isinstance(verdict, Uncompressed):
                self._compress = self._compress and verdict.status != 415
                self._compress_next = False
                self._fail(verdict.reason, verdict.status, 0)
            else:
                assert isinstance(verdict, Retry)
                least = self._timings.setup_retry if verdict.setup else 0
                self._fail(verdict.reason, verdict.status, max(obey(verdict.retry_after), least))

    def _settle(self, count: int, answer: Answered, entries: list[Any]) -> None:
        taken = [self._queue.popleft() for _ in range(count)]
        again = [self._anew(*taken[index]) for index in sorted(answer.again)]
        self._queue.extendleft(reversed(again))
        self._bytes -= sum(len(entry) for at, (entry, _) in enumerate(taken) if at not in answer.again)
        for index, error in answer.refused.items():
            self._notices.reject(restore(entries[index]), Refusal(answer.status, error))
        done = count - len(again)
        self._refused += len(answer.refused)
        self._duplicates += answer.duplicates
        self._sent += done - len(answer.refused) - answer.duplicates
        for waiter in self._waiters:
            waiter.left -= sum(index not in answer.again for index in range(min(count, waiter.left)))
        if self._spool is not None:
            self._spool.settle([segment for _, segment in taken if segment is not None])
        if done:
            # The wait grows only while nothing gets through: an event that always fails must not slow down the others more and more.
            self._failures_in_a_row = 0
        if again:
            self._fail(f"The service could not store {len(again)} of {count} events", answer.status, 0)
        self._limit = min(self._ceiling, self._limit * 2)
        self._linger_until = time.monotonic() + self._linger
        if not self._looked and not self._queue:
            # There is room for more of what the spool has.
            self._next_upkeep = 0.0
        self._release(self._is_over)

    def _is_over(self, waiter: Waiter) -> bool:
        return waiter.left == 0 and self._looked

    def _anew(self, entry: Encoded, segment: Segment | None) -> tuple[Encoded, Segment | None]:
        """Returns an entry that is sent again while others behind it are done with: a file counts these from its beginning."""
        if segment is None or self._spool is None or not isinstance(entry, str):
            return entry, None
        return entry, self._spool.append(entry)

    def _fail(self, reason: str, status: int | None, least: float) -> None:
        self._failures += 1
        self._failures_in_a_row += 1
        wait = max(backoff(self._timings, self._failures_in_a_row), least)
        self._not_before = time.monotonic() + wait
        self._notices.error(SendError(reason, status, wait))
        self._release(lambda waiter: waiter.deadline < self._not_before)

    def _release(self, which: Callable[[Waiter], bool]) -> None:
        self._released += [waiter for waiter in self._waiters if which(waiter)]
        self._waiters = [waiter for waiter in self._waiters if waiter not in self._released]
