from __future__ import annotations

from typing import Any, Callable, Iterator

import pytest
from service import KEY, Service

from mlops_service_client import Client, Drop, Refusal
from mlops_service_client._pace import Timings

# So that a test need not wait as long as a caller.
QUICK = Timings(linger=0.05, timeout=1.0, wait=8.0, first_retry=0.05, last_retry=0.5, setup_retry=0.3)


class Told:
    """What a client told its caller."""

    def __init__(self) -> None:
        self.rejected: list[tuple[dict[str, Any], Refusal]] = []
        self.drops: list[Drop] = []
        self.errors: list[Exception] = []
        self.callbacks: dict[str, Any] = {
            "on_reject": lambda event, refusal: self.rejected.append((event, refusal)),
            "on_drop": self.drops.append,
            "on_error": self.errors.append,
        }

    @property
    def dropped(self) -> int:
        return sum(drop.events for drop in self.drops)


class QuickClient(Client):
    _timings = QUICK


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLOPS_API_KEY", "MLOPS_SERVICE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def told() -> Told:
    return Told()


Make = Callable[..., QuickClient]


@pytest.fixture
def make(told: Told) -> Iterator[Make]:
    """Makes clients, and ends them with the test."""
    made: list[QuickClient] = []

    def make(url: str, **options: Any) -> QuickClient:
        made.append(QuickClient(url, **{"api_key": KEY, **told.callbacks, **options}))
        return made[-1]

    yield make
    for client in made:
        client._end()


@pytest.fixture(scope="session")
def shared_service() -> Iterator[Service]:
    """For tests that leave it running; each uses a business of its own."""
    service = Service()
    yield service
    service.end()


@pytest.fixture
def start() -> Iterator[Callable[..., Service]]:
    started: list[Service] = []

    def start(**settings: str) -> Service:
        started.append(Service(**settings))
        return started[-1]

    yield start
    for service in started:
        service.end()
