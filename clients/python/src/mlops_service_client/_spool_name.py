"""Names of the spool's files: which process a file belongs to, and whether that process is gone."""

from __future__ import annotations

import os
import re
import socket
import time
from dataclasses import dataclass

_SUFFIX = ".events"
# A process touches its files every fifteen seconds.
_STALE = 60.0
# How far apart two readings of the start of one process may be, in seconds.
_SAME_START = 3
_NAME = re.compile(r"(\d+)_(\d+)_(?:left|([^~_]+)~(\d+)~(\d+)~([^~_]+))\.events")

_started = time.time()


@dataclass(frozen=True)
class Owner:
    host: str
    pid: int
    # When the process started, in seconds since 1970. Containers give the same process id to one process after another.
    start: int
    # Tells the clients of one process apart.
    client: str


@dataclass(frozen=True)
class Name:
    # Milliseconds since 1970 at which the file was begun, and the file's number.
    begun: int
    number: int
    owner: Owner | None


def this_process() -> Owner:
    return Owner(_host(), os.getpid(), round(_started), os.urandom(4).hex())


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname()) or "host"


def file_name(name: Name) -> str:
    """Returns a file's name. Names sort by the time at which the files were begun."""
    of = name.owner
    owner = "left" if of is None else f"{of.host}~{of.pid}~{of.start}~{of.client}"
    return f"{name.begun:015d}_{name.number:06d}_{owner}{_SUFFIX}"


def parse_name(text: str) -> Name | None:
    """Returns None if it is no file of a spool."""
    match = _NAME.fullmatch(text)
    if match is None:
        return None
    begun, number, host, pid, start, client = match.groups()
    owner = Owner(host, int(pid), int(start), client) if host else None
    return Name(int(begun), int(number), owner)


def is_gone(owner: Owner | None, touched: float, own: Owner) -> bool:
    """Whether the owner of a file that was touched at `touched` has ended, as far as can be seen.

    If it has not, its events are sent twice, and counted once.
    """
    if owner is None or time.time() - touched > _STALE:
        return True
    if owner.host != own.host:
        return False
    if owner.pid != own.pid:
        return not _is_running(owner.pid)
    return abs(owner.start - own.start) > _SAME_START


def _is_running(pid: int) -> bool:
    if os.name != "posix":
        # Elsewhere the question would end the process that is asked for. Its files are taken once they are stale.
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        # It runs, as somebody else.
        return True
    return True
