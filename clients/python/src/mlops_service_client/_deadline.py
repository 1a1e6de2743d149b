"""A socket whose reads and writes share one deadline.

The timeout of a socket begins anew with each byte: a server that sends one now and then would hold a request for ever.
"""

from __future__ import annotations

import io
import socket
import time
from typing import Any


class DeadlineSocket:
    """As much of a socket as `http.client` uses."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self.sock = sock
        self.deadline = deadline

    def rearm(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self.sock.settimeout(left)

    def sendall(self, data: Any) -> None:
        view = memoryview(data).cast("B")
        while view:
            self.rearm()
            view = view[self.sock.send(view) :]

    def makefile(self, *_args: Any, **_kwargs: Any) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self))

    def close(self) -> None:
        self.sock.close()


class _Reader(io.RawIOBase):
    def __init__(self, sock: DeadlineSocket) -> None:
        self._sock = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.rearm()
        return self._sock.sock.recv_into(buffer)
