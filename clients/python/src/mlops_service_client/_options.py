"""Checks what a client is given, so that mistakes show at once and not when the first event is sent."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

DEFAULT_URL = "http://localhost:5001"
MAX_EVENTS = 10_000
MAX_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Settings:
    tls: bool
    # The names and addresses of the host; the first that can be reached is used.
    hosts: tuple[str, ...]
    port: int
    path: str
    # What errors call the service.
    origin: str
    api_key: str | None
    max_events: int
    max_bytes: int

    def __repr__(self) -> str:
        # Without the key: it must not get into logs.
        return f"Settings({self.origin}{self.path})"


def read_options(url: str | None, api_key: str | None, max_events: int, max_bytes: int) -> Settings:
    given = url or os.environ.get("MLOPS_SERVICE_URL", "").strip() or DEFAULT_URL
    parts = urlsplit(given)
    if parts.scheme not in ("http", "https"):
        raise ValueError("url must begin with http:// or https://")
    if not parts.hostname:
        raise ValueError(f"url must be the service's address, such as {DEFAULT_URL}")
    if parts.username is not None or parts.password is not None:
        raise ValueError("url must have no user name or password; the key is api_key")
    if parts.query or parts.fragment:
        raise ValueError("url must have no query and no fragment")
    path = parts.path.rstrip("/") + "/track/batch"
    if not re.fullmatch(r"[\x21-\x7e]+", path):
        raise ValueError("url must have a path of printable ASCII without spaces")
    try:
        port = parts.port
    except ValueError:
        raise ValueError("url must have a port of 0 to 65535") from None
    tls = parts.scheme == "https"
    hosts = [parts.hostname]
    # Where `localhost` resolves to ::1 alone, the service may still listen on 127.0.0.1 alone. A certificate is for the name, so it
    # stays with https.
    if not tls and parts.hostname == "localhost":
        hosts += ["127.0.0.1", "::1"]
    return Settings(
        tls=tls,
        hosts=tuple(hosts),
        port=port if port is not None else 443 if tls else 80,
        path=path,
        origin=f"{parts.scheme}://{parts.netloc}",
        api_key=_key(api_key if api_key is not None else os.environ.get("MLOPS_API_KEY")),
        max_events=_bound("max_events", max_events),
        max_bytes=_bound("max_bytes", max_bytes),
    )


def _key(value: str | None) -> str | None:
    trimmed = (value or "").strip()
    if not trimmed:
        return None
    # A header takes nothing else, and the error of whoever finds out later would have the key in it.
    if not re.fullmatch(r"[\x21-\x7e]+", trimmed):
        raise ValueError("api_key must be printable ASCII without spaces")
    return trimmed


def _bound(name: str, value: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1")
    return value
