"""A service that answers as it is told."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import threading
from contextlib import suppress
from typing import Any, Callable, Optional

Answer = Callable[["Request"], Optional[bytes]]


class Request:
    def __init__(self, headers: dict[str, str], body: bytes) -> None:
        self.headers = headers
        self.compressed = headers.get("content-encoding") == "gzip"
        self.body = gzip.decompress(body) if self.compressed else body

    @property
    def events(self) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = json.loads(self.body)["events"]
        return events


def response(status: int, body: object, **headers: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def success(request: Request, status: int = 200) -> bytes:
    word = "success" if status == 200 else "accepted"
    return response(status, {"status": word, "accepted": len(request.events), "duplicates": 0, "rejected": []})


class Fake:
    """Answers the requests one after another with `answers`, and then with success. None closes the connection."""

    def __init__(self, *answers: Answer, host: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.hanging = threading.Event()
        self._answers = list(answers)
        self._context = context
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.port: int = self._listener.getsockname()[1]
        scheme = "https" if context else "http"
        self.url = f"{scheme}://{'localhost' if context else host}:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Fake:
        return self

    def __exit__(self, *_: object) -> None:
        self.hanging.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def hang(self, _request: Request) -> None:
        self.hanging.wait()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for request in self.requests for event in request.events]

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock = self._listener.accept()[0]
                self.connections += 1
                self._sockets.append(sock)
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError, ssl.SSLError), sock:
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
            with sock, sock.makefile("rb") as stream:
                while True:
                    headers: dict[str, str] = {}
                    if not stream.readline():
                        return
                    while (line := stream.readline().decode().strip()) != "":
                        name, _, value = line.partition(": ")
                        headers[name.lower()] = value
                    request = Request(headers, stream.read(int(headers["content-length"])))
                    self.requests.append(request)
                    answer = self._answers.pop(0)(request) if self._answers else success(request)
                    if answer is None:
                        return
                    sock.sendall(answer)
