"""What callers see alike in both clients."""

from __future__ import annotations

import os
from abc import abstractmethod
from typing import Any, Mapping

from . import _lifecycle
from ._engine import Engine
from ._notices import Notices
from ._options import MAX_BYTES, MAX_EVENTS, read_options
from ._pace import Timings
from ._spool import Spool
from ._types import OnDrop, OnError, OnReject, Stats


class BaseClient(_lifecycle.Living):
    """A client without a driver, which is the thread of a `Client` or the task of an `AsyncClient`."""

    _timings = Timings()

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        max_events: int = MAX_EVENTS,
        max_bytes: int = MAX_BYTES,
        spool_dir: str | os.PathLike[str] | None = None,
        on_reject: OnReject | None = None,
        on_drop: OnDrop | None = None,
        on_error: OnError | None = None,
    ) -> None:
        """Raises ValueError if an argument is invalid, and OSError if `spool_dir` cannot be made.

        url: where the service is; by default MLOPS_SERVICE_URL, or http://localhost:5001.
        api_key: by default MLOPS_API_KEY. Without one, no key is sent.
        max_events, max_bytes: how much may wait.
        spool_dir: a directory that keeps waiting events across a crash.
        on_reject: called as on_reject(event, refusal) once for each refused event.
        on_drop: called as on_drop(drop) when events are lost, once for many.
        on_error: called as on_error(error) for each failed attempt to send. The events wait and are sent again.

        An `AsyncClient` calls them in the loop, and they may be coroutine functions.
        """
        self._settings = read_options(url, api_key, max_events, max_bytes)
        notices = Notices(on_reject, on_drop, on_error)
        spool = Spool(os.fspath(spool_dir), notices.error) if spool_dir else None
        self._engine = Engine(self._settings, notices, spool, self._timings, self._wake_sender)
        self._prepare()
        _lifecycle.add(self)

    def track(self, report: Mapping[str, object] | None = None, **fields: Any) -> str:
        """Buffers a report: a mapping, keywords, or both. Returns its `event_id` at once, and never raises."""
        return self._engine.track(report, fields)

    def stats(self) -> Stats:
        """Returns what became of the events so far."""
        return self._engine.stats()

    @abstractmethod
    def _prepare(self) -> None:
        """Sets what belongs to the driver, which does not exist yet, or is that of the parent process."""

    @abstractmethod
    def _wake_sender(self) -> None:
        """Has the driver look for what is to be done."""
