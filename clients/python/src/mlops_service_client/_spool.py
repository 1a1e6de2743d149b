"""The spool: waiting events in files, one event a line.

An event is written before `track` returns, so that a crash of the process loses none; after a power failure, up to the last second may
be missing. Beside a file stands how many of its events are done with. `append`, `settle` and `close` are called under the client's lock,
`recover`, `touch` and `sync` by the sender.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from dataclasses import dataclass
from typing import Callable, Iterable

from ._encode import to_json
from ._errors import reason_of
from ._spool_name import Name, file_name, is_gone, parse_name, this_process

_MAX_SEGMENT_BYTES = 256 * 1024
_NOTE = ".settled"
# Events may name customers' sessions: nobody else may read them.
_FILE_MODE = 0o600
_DIRECTORY_MODE = 0o700
# Where there is such a flag, a line's end would be changed without it.
_BINARY: int = getattr(os, "O_BINARY", 0)


@dataclass(eq=False)
class Segment:
    """A file of the spool."""

    path: str
    begun: int
    number: int
    # The open file, while events are added.
    file: int | None = None
    events: int = 0
    size: int = 0
    # How many of its events are done with.
    settled: int = 0


class Spool:
    def __init__(self, directory: str, on_error: Callable[[Exception], None]) -> None:
        self._directory = os.path.abspath(directory)
        os.makedirs(self._directory, _DIRECTORY_MODE, exist_ok=True)
        self._on_error = on_error
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._own = this_process()
        self._segments: set[Segment] = set()
        self._current: Segment | None = None
        self._numbers = itertools.count()
        self._unsynced = False
        self.more_left = False

    def append(self, event: str) -> Segment | None:
        """Writes an event. Returns the file that has it, or None if that failed."""
        try:
            segment = self._current
            if segment is None or segment.file is None or segment.size > _MAX_SEGMENT_BYTES:
                segment = self._begin()
            line = event.encode("ascii") + b"\n"
            assert segment.file is not None
            if os.write(segment.file, line) != len(line):
                raise OSError("the disk is full")
        except OSError as error:
            self._report("write to", error)
            # The next event begins a new file: this one may end in half a line.
            self._end_current()
            return None
        segment.events += 1
        segment.size += len(line)
        self._unsynced = True
        return segment

    def settle(self, segments: Iterable[Segment]) -> None:
        """Notes that one event of each given file is done with, and deletes files that are done with."""
        changed = set()
        for segment in segments:
            segment.settled += 1
            changed.add(segment)
        for segment in changed:
            if segment.settled < segment.events:
                self._note(segment)
            else:
                self._delete(segment)

    def recover(self, room: Callable[[], tuple[int, int]]) -> list[tuple[str, Segment]]:
        """Takes over events that other processes left, oldest first, as far as there is room for so many events and bytes.

        `more_left` says afterwards whether there was not.
        """
        found: list[tuple[str, Segment]] = []
        self.more_left = False
        try:
            names = sorted(os.listdir(self._directory))
        except OSError as error:
            self._report("read", error)
            return found
        for name in names:
            if name.endswith(_NOTE) and name[: -len(_NOTE)] not in names:
                # A note whose file is gone: the process ended between deleting the two.
                _quietly(os.unlink, os.path.join(self._directory, name))
                continue
            events, size = room()
            found += self._take(name, events - len(found), size - sum(len(line) for line, _ in found))
        return found

    def touch(self) -> None:
        """Tells other processes that this one is alive."""
        for segment in list(self._segments):
            _quietly(os.utime, segment.path)

    def sync(self, duplicate: int | None) -> None:
        """Brings what was written to the disk. `duplicate` comes from `to_sync`."""
        if duplicate is None:
            return
        try:
            os.fsync(duplicate)
        except OSError as error:
            self._report("write to", error)
        finally:
            os.close(duplicate)

    def to_sync(self) -> int | None:
        """Returns the open file if something was written, as a descriptor of its own: `append` may close the file meanwhile."""
        if not self._unsynced or self._current is None or self._current.file is None:
            return None
        self._unsynced = False
        return os.dup(self._current.file)

    @property
    def unsynced(self) -> bool:
        return self._unsynced

    def close(self) -> None:
        """Leaves what is not settled to whoever opens the spool next."""
        self._end_current()
        self.leave(list(self._segments))

    def leave(self, segments: Iterable[Segment]) -> None:
        """Leaves files to whoever opens the spool next."""
        for segment in segments:
            self._segments.discard(segment)
            path = os.path.join(self._directory, file_name(Name(segment.begun, segment.number, None)))
            if os.path.exists(path):
                # Another client's file of the same millisecond. This one is taken over once its owner is gone.
                continue
            # The note first: without it, events that are done with would be sent again.
            _quietly(os.rename, segment.path + _NOTE, path + _NOTE)
            _quietly(os.rename, segment.path, path)

    def after_fork(self) -> None:
        """In the child: the files are the parent's."""
        if self._current is not None and self._current.file is not None:
            _quietly(os.close, self._current.file)
        self._begin_anew()

    def _begin(self) -> Segment:
        self._end_current()
        begun, number = time.time_ns() // 1_000_000, next(self._numbers)
        path = os.path.join(self._directory, file_name(Name(begun, number, self._own)))
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | _BINARY, _FILE_MODE)
        segment = self._current = Segment(path, begun, number, file)
        self._segments.add(segment)
        return segment

    def _end_current(self) -> None:
        """Closes the file that events are added to."""
        segment, self._current = self._current, None
        if segment is None or segment.file is None:
            return
        file, segment.file = segment.file, None
        _quietly(os.close, file)
        if segment.settled >= segment.events:
            self._delete(segment)

    def _delete(self, segment: Segment) -> None:
        if segment is self._current:
            self._end_current()
            return
        self._segments.discard(segment)
        # The events first: without the note they would only be sent again.
        _quietly(os.unlink, segment.path)
        if segment.settled > 0:
            _quietly(os.unlink, segment.path + _NOTE)

    def _note(self, segment: Segment) -> None:
        try:
            file = os.open(segment.path + _NOTE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _FILE_MODE)
            try:
                os.write(file, b"%d" % segment.settled)
            finally:
                os.close(file)
        except OSError as error:
            self._report("write to", error)

    def _take(self, name: str, room: int, room_bytes: int) -> list[tuple[str, Segment]]:
        """Takes over a file if its owner is gone and there is room for its events."""
        parsed = parse_name(name)
        if parsed is None:
            return []
        path = os.path.join(self._directory, name)
        try:
            status = os.stat(path)
            if not is_gone(parsed.owner, status.st_mtime, self._own):
                return []
            # With nothing else waiting it is taken in any case, or it might never be.
            if status.st_size > room_bytes and self._segments:
                self.more_left = True
                return []
            with open(path, "rb") as file:
                whole_lines = file.read().split(b"\n")[:-1]
            settled = _settled(path)
        except OSError:
            # Another process was faster.
            return []
        lines = [event for event in map(_event, whole_lines[settled:]) if event is not None]
        if len(lines) > room and self._segments:
            self.more_left = True
            return []
        segment = self._claim(path, parsed.begun, settled, len(lines))
        if segment is None:
            return []
        if not lines:
            self._delete(segment)
        return [(line, segment) for line in lines]

    def _claim(self, path: str, begun: int, settled: int, events: int) -> Segment | None:
        """Renames a file to one of this process; of several that try, one succeeds."""
        number = next(self._numbers)
        own = os.path.join(self._directory, file_name(Name(begun, number, self._own)))
        try:
            os.rename(path, own)
        except OSError:
            return None
        _quietly(os.rename, path + _NOTE, own + _NOTE)
        # From now on it is alive.
        _quietly(os.utime, own)
        segment = Segment(own, begun, number, events=settled + events, settled=settled)
        self._segments.add(segment)
        return segment

    def _report(self, what: str, error: OSError) -> None:
        # Not the whole error: it has the name of the file in it, and that changes.
        self._on_error(OSError(f"Cannot {what} the spool {self._directory}: {error.strerror or reason_of(error)}"))


def _settled(path: str) -> int:
    try:
        with open(path + _NOTE, "rb") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def _event(line: bytes) -> str | None:
    """Returns a line's event, or None if it is not a whole one: a crash may leave the last one unfinished."""
    try:
        event = json.loads(line)
        return to_json(event) if isinstance(event, dict) else None
    except (ValueError, TypeError, RecursionError):
        return None


def _quietly(work: Callable[..., object], *arguments: object) -> None:
    """For a file that may be gone already, or was never written."""
    try:
        work(*arguments)
    except OSError:
        pass
