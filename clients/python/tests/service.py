"""The real service, on a port and a database of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
import urllib.request
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any, Callable

ROOT = Path(__file__).resolve().parents[3]
KEY = "a-key-that-is-only-used-in-these-tests"
REPORT: dict[str, Any] = {"business_id": "acme", "response_time_ms": 120, "tokens_used": 42}


def _binary() -> str:
    for path in (os.environ.get("MLOPS_SERVICE_BIN"), ROOT / "target/release/mlops-service", ROOT / "target/debug/mlops-service"):
        if path and os.path.exists(path):
            return str(path)
    raise RuntimeError("no mlops-service: build it, or set MLOPS_SERVICE_BIN")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def until(condition: Callable[[], object], what: str, seconds: float = 20) -> None:
    """Waits until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)


class Service:
    def __init__(self, **settings: str) -> None:
        self._binary = _binary()
        self.directory = tempfile.mkdtemp(prefix="mlops-client-")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {
            "PATH": os.environ["PATH"],
            "MLOPS_API_KEY": KEY,
            "SERVICE_PORT": str(self.port),
            "SERVICE_HOST": "127.0.0.1",
            "DATABASE_URL": f"sqlite:{self.directory}/mlops.db",
            "RATE_LIMIT_TRACK": "off",
            "FLOOD_LIMIT_PER_SECOND": "off",
            **settings,
        }
        try:
            self.start()
        except BaseException:
            self.end()
            raise

    def start(self) -> None:
        with open(f"{self.directory}/log", "ab") as log:
            self.process = subprocess.Popen(
                [self._binary], env=self._environment, cwd=self.directory, stdout=log, stderr=log
            )
        until(self._is_ready, "the service is ready", 60)

    def _is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError("the service ended:\n" + Path(self.directory, "log").read_text())
        try:
            return bool(self._get("/health/ready"))
        except OSError:
            return False

    def _get(self, path: str, headers: dict[str, str] = {}) -> str:
        with urllib.request.urlopen(urllib.request.Request(self.url + path, headers=headers), timeout=5) as response:
            text: str = response.read().decode()
            return text

    def kill(self, how: int = signal.SIGKILL) -> None:
        self.process.send_signal(how)
        self.process.wait()

    def end(self) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def counted(self, business: str = "acme") -> int:
        """Returns how many events of a business `/metrics` counts."""
        page = self._get("/metrics")
        found = re.findall(r'^ai_requests_total\{business_id="([^"]*)"[^}]*\} (\d+)$', page, re.MULTILINE)
        return sum(int(value) for name, value in found if name == business)

    def expect(self, count: int, business: str = "acme") -> None:
        """Waits until so many events are counted, and checks that there are not more.

        When an attempt timed out, its repeat may be answered as a duplicate just before the first one is counted.
        """
        until(lambda: self.counted(business) >= count, f"{count} events of {business} are counted")
        assert self.counted(business) == count

    def analytics(self, business: str = "acme") -> Any:
        return json.loads(self._get(f"/analytics/{business}", {"X-API-Key": KEY}))

    def ids(self) -> list[str]:
        """Returns the ids of the stored events, in the order in which they were stored."""
        with closing(sqlite3.connect(f"file:{self.directory}/mlops.db?mode=ro", uri=True)) as database:
            return [str(uuid.UUID(bytes=row[0])) for row in database.execute("select event_id from ai_metrics order by rowid")]
