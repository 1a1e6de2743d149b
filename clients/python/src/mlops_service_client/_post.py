"""Sends one body and reads the response."""

from __future__ import annotations

import encodings.idna  # noqa: F401  # Resolving a name loads it, which must not happen while the interpreter ends.
import gzip
import http.client
import os
import socket
import ssl
import time

from ._deadline import DeadlineSocket
from ._errors import reason_of
from ._options import Settings
from ._verdict import Failure, Response

# A body that fits into one packet gains nothing from compression.
_SMALL = 1024
# The highest level takes three times as long for a tenth less.
_GZIP_LEVEL = 5
# The longest response to a batch, with a thousand refusals, is a tenth of this.
_MAX_RESPONSE = 1024 * 1024
# The service closes a connection after 75 idle seconds. One that is about to be closed is not used again.
_MAX_IDLE = 60.0

# After a fork, what belonged to the parent's threads. It is never looked at again, and closing a stream that such a thread was reading
# would wait for that thread.
_abandoned: list[object] = []


class Poster:
    """One connection, kept alive. Used by one thread at a time; `abort` may be called by any."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._context = ssl.create_default_context() if settings.tls else None
        self._connection: http.client.HTTPConnection | None = None
        self._host = 0
        self._used = 0.0
        self._busy = False
        self.aborted = False
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if settings.api_key is not None:
            self._headers["X-API-Key"] = settings.api_key

    def post(self, text: str, compress: bool, timeout: float) -> Response | Failure:
        """Sends a body. Never raises; takes at most `timeout` seconds, and those that resolving the name takes."""
        headers = self._headers
        body = text.encode("ascii")
        if compress and len(body) >= _SMALL:
            body = gzip.compress(body, _GZIP_LEVEL)
            headers = {**headers, "Content-Encoding": "gzip"}
        deadline = time.monotonic() + timeout
        self._busy = True
        try:
            response = self._exchange(body, headers, deadline)
            self._used = time.monotonic()
            return response
        except Exception as error:
            self.close()
            return Failure(f"Cannot reach {self._settings.origin}: {self._why(error, timeout)}")
        finally:
            self._busy = False
            if self.aborted:
                self.close()

    def _why(self, error: Exception, timeout: float) -> str:
        if self.aborted:
            return "the client was closed"
        if isinstance(error, (TimeoutError, socket.timeout)):
            return f"no response within {timeout:g} s"
        if isinstance(error, http.client.HTTPException):
            # What such an exception says is a part of the response, which may be anything.
            return f"no valid response ({type(error).__name__})"
        return reason_of(error)

    def _exchange(self, body: bytes, headers: dict[str, str], deadline: float) -> Response:
        if self._connection is not None and time.monotonic() - self._used < _MAX_IDLE:
            try:
                return self._request(self._connection, body, headers, deadline)
            except (ConnectionError, ssl.SSLError, http.client.BadStatusLine):
                # The service closed the connection while it was idle, or was restarted. The ids make it safe to send again.
                if time.monotonic() >= deadline:
                    raise
        self.close()
        self._connection = self._connect(deadline)
        return self._request(self._connection, body, headers, deadline)

    def _request(
        self, connection: http.client.HTTPConnection, body: bytes, headers: dict[str, str], deadline: float
    ) -> Response:
        if isinstance(connection.sock, DeadlineSocket):
            connection.sock.deadline = deadline
        connection.request("POST", self._settings.path, body, headers)
        # A redirect is not followed: it would take the key to another address.
        response = connection.getresponse()
        content = response.read(_MAX_RESPONSE)
        if not response.isclosed() and response.read(1):
            content = b""
        if response.will_close or not response.isclosed():
            self.close()
        return Response(response.status, {name.lower(): value for name, value in response.getheaders()}, content)

    def _connect(self, deadline: float) -> http.client.HTTPConnection:
        settings = self._settings
        first: Exception | None = None
        for tries in range(len(settings.hosts)):
            at = (self._host + tries) % len(settings.hosts)
            left = deadline - time.monotonic()
            if self.aborted or left <= 0:
                break
            try:
                # Tries all addresses of the name, in turn.
                sock = socket.create_connection((settings.hosts[at], settings.port), left)
            except OSError as error:
                first = first or error
                continue
            self._host = at
            return self._open(sock, deadline)
        raise first or TimeoutError("timed out")

    def _open(self, sock: socket.socket, deadline: float) -> http.client.HTTPConnection:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                sock.settimeout(max(deadline - time.monotonic(), 0.001))
                sock = self._context.wrap_socket(sock, server_hostname=self._settings.hosts[0])
        except BaseException:
            sock.close()
            raise
        # The connection makes the header `Host`, which has no port if it is the usual one. The socket is ours.
        name, port = self._settings.hosts[0], self._settings.port
        connection = http.client.HTTPConnection(name, port)
        if self._context is not None:
            connection = http.client.HTTPSConnection(name, port, context=self._context)
        connection.sock = DeadlineSocket(sock, deadline)
        # `abort` may have missed the socket that was just being opened.
        if self.aborted:
            connection.close()
            raise ConnectionError("aborted")
        return connection

    def abort(self) -> None:
        """Breaks off what is being sent, and lets nothing be sent any more."""
        self.aborted = True
        connection = self._connection
        sock = connection.sock if connection is not None else None
        if isinstance(sock, DeadlineSocket):
            try:
                # Unlike closing, this wakes the thread that reads.
                socket.socket.shutdown(sock.sock, socket.SHUT_RDWR)
            except OSError:
                pass
        if not self._busy:
            self.close()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except OSError:
                pass

    def abandon(self) -> None:
        """After a fork, in the child: lets go of the parent's connection, which stays open there."""
        _abandoned.append(self)
        sock = self._connection.sock if self._connection is not None else None
        if isinstance(sock, DeadlineSocket):
            try:
                os.close(sock.sock.detach())
            except OSError:
                pass
