"""What `track` and `stats` promise, against the real service."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import UserDict
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from conftest import Make, Told
from fake import Fake, Request, response, success
from service import KEY, REPORT, Service, until

from mlops_service_client import Client, Refusal, Report


def test_events_are_stored_in_order_with_their_ids(make: Make, start: Any) -> None:
    service = start()
    client = make(service.url)
    ids = [client.track(REPORT, session_id=str(n)) for n in range(3000)]
    assert client.flush()
    assert service.ids() == ids
    service.expect(3000)
    assert service.analytics()["metrics"]["total_conversations"] == 3000
    assert all(uuid.UUID(event_id).version == 7 for event_id in ids)
    stats = client.stats()
    assert (stats.tracked, stats.sent, stats.waiting, stats.waiting_bytes) == (3000, 3000, 0, 0)


def test_mapping_keywords_or_both(make: Make) -> None:
    with Fake() as fake:
        client = make(fake.url)
        report: Report = {"business_id": "acme", "response_time_ms": 1, "tokens_used": 2}
        given = str(uuid.uuid4())
        client.track(report)
        client.track(business_id="acme", response_time_ms=1, tokens_used=3)
        client.track(report, tokens_used=4)
        client.track(report=report, tokens_used=5)
        assert client.track(report, event_id=given) == given
        assert client.track(report, event_id=uuid.UUID(given)) == given
        assert client.track(report, event_id=None) != given
        client.flush()
        assert [event["tokens_used"] for event in fake.events] == [2, 3, 4, 5, 2, 2, 2]
        assert [event["event_id"] for event in fake.events][4:6] == [given, given]
        assert "event_id" not in report


def test_the_caller_may_change_a_report_afterwards(make: Make) -> None:
    with Fake() as fake:
        client = make(fake.url)
        report = dict(REPORT)
        client.track(report)
        report["tokens_used"] = 0
        client.flush()
        assert fake.events[0]["tokens_used"] == 42


def test_values_that_are_not_json(make: Make, told: Told) -> None:
    class Intent(str, Enum):
        APPOINTMENT = "appointment"

    business = uuid.uuid4()
    with Fake() as fake:
        client = make(fake.url)
        client.track(REPORT, api_cost_usd=Decimal("0.002"), business_id=business, intent_detected=Intent.APPOINTMENT)
        client.track(REPORT, user_satisfaction=float("nan"), session_id="Zoë \U0001f600")
        client.flush()
        first, second = fake.events
        assert (first["api_cost_usd"], first["business_id"], first["intent_detected"]) == (0.002, str(business), "appointment")
        assert (second["user_satisfaction"], second["session_id"]) == (None, "Zoë \U0001f600")
    assert told.rejected == []


def test_track_never_raises(make: Make, told: Told) -> None:
    class Broken(UserDict):  # type: ignore[type-arg]
        def __iter__(self) -> Any:
            raise RuntimeError("broken")

    circular: dict[str, Any] = {}
    circular["self"] = circular
    anything: Any
    with Fake() as fake:
        client = make(fake.url)
        for anything in (1, "text", [1], REPORT.items(), {**REPORT, "tokens_used": object()}, circular, {(1, 2): 3}, Broken(REPORT)):
            client.track(anything)
        client.track({**REPORT, "session_id": "x" * 2**20})
        client.track(REPORT)
        client.flush()
        assert [event["tokens_used"] for event in fake.events] == [42]
    assert all(refusal.status == 0 for _, refusal in told.rejected)
    stats = client.stats()
    assert (stats.sent, stats.refused) == (1, len(told.rejected))
    assert (stats.refused, len(told.errors)) == (8, 1)


def test_each_refused_event_is_told_once(make: Make, told: Told, shared_service: Service) -> None:
    client = make(shared_service.url)
    for _ in range(3):
        client.track(REPORT, business_id="refusals")
    refused = [client.track(REPORT, business_id="refusals", tokens_used=-n) for n in (1, 2)]
    client.track(REPORT, business_id="refusals")
    client.flush()
    assert [event["event_id"] for event, _ in told.rejected] == refused
    assert {refusal for _, refusal in told.rejected} == {Refusal(200, "Invalid value for field: tokens_used")}
    # A batch in which all are refused.
    refused += [client.track(business_id="refusals"), client.track(business_id="")]
    client.flush()
    assert [event["event_id"] for event, _ in told.rejected] == refused
    assert told.rejected[2][1] == Refusal(400, "Missing required field: response_time_ms")
    shared_service.expect(4, "refusals")


def test_an_event_that_spoils_a_batch_keeps_no_other_from_being_stored(make: Make, told: Told) -> None:
    def judge(request: Request) -> bytes:
        if any(event["tokens_used"] == 13 for event in request.events):
            return response(400, {"error": "Invalid JSON", "message": "line 1, column 7"})
        return success(request)

    with Fake(*[judge] * 50) as fake:
        client = make(fake.url)
        ids = [client.track(REPORT, tokens_used=n) for n in range(100)]
        assert client.flush()
    assert [(event["event_id"], refusal) for event, refusal in told.rejected] == [(ids[13], Refusal(400, "Invalid JSON"))]
    assert client.stats().sent == 99


def test_what_does_not_fit_is_dropped_and_told(make: Make, told: Told) -> None:
    with Fake(lambda _: response(503, {}, Retry_After="1")) as fake:
        client = make(fake.url, max_events=10)
        ids = [client.track(REPORT) for _ in range(25)]
        until(lambda: told.dropped == 15, "drops are told")
        assert {drop.reason for drop in told.drops} == {"full"}
        assert client.flush()
        assert [event["event_id"] for event in fake.requests[-1].events] == ids[:10]
    stats = client.stats()
    assert (stats.dropped, stats.sent) == (15, 10)


def test_bytes_are_bounded(make: Make, told: Told) -> None:
    client = make("http://127.0.0.1:9", max_bytes=10_000)
    for _ in range(100):
        client.track(REPORT, session_id="x" * 200)
    stats = client.stats()
    assert 9_000 < stats.waiting_bytes <= 10_000
    assert stats.waiting + stats.dropped == 100
    until(lambda: told.dropped == stats.dropped, "drops are told")


def test_track_returns_at_once_whatever_the_service_does(make: Make) -> None:
    with Fake() as fake:
        fake._answers = [fake.hang] * 50
        client = make(fake.url)
        began = time.monotonic()
        for _ in range(5000):
            client.track(REPORT)
        assert time.monotonic() - began < 2
        assert client.stats().waiting == 5000


def test_threads_may_share_a_client(make: Make, shared_service: Service) -> None:
    client = make(shared_service.url)
    ids: list[str] = []

    def work() -> None:
        ids.extend([client.track(REPORT, business_id="threads") for _ in range(1000)])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.flush()
    assert len(set(ids)) == 8000
    shared_service.expect(8000, "threads")


def test_broken_callbacks_do_no_harm(make: Make, shared_service: Service) -> None:
    def broken(*_: object) -> None:
        raise SystemExit

    client = make(shared_service.url, on_reject=broken, on_error=broken, on_drop=broken, max_events=2)
    for tokens in (-1, 1, 2):
        client.track(REPORT, business_id="broken", tokens_used=tokens)
    client.flush()
    client.track(REPORT, business_id="broken")
    assert client.flush()
    shared_service.expect(2, "broken")


def test_a_callback_may_use_the_client(make: Make, shared_service: Service) -> None:
    def again(_event: object, _refusal: object) -> None:
        client.track(REPORT, business_id="callback")
        client.flush()

    client = make(shared_service.url, on_reject=again)
    client.track(REPORT, business_id="callback", tokens_used=-1)
    until(lambda: shared_service.counted("callback") == 1, "the callback's event is sent")


def test_after_close_events_are_dropped(make: Make, told: Told, shared_service: Service) -> None:
    with make(shared_service.url) as client:
        client.track(REPORT, business_id="closed")
    client.track(REPORT, business_id="closed")
    until(lambda: told.dropped == 1, "the drop is told")
    assert told.drops[0].reason == "closed"
    client.close()
    shared_service.expect(1, "closed")
    until(lambda: not [t for t in threading.enumerate() if t.name == "mlops-service-client" and t is client._sender], "no thread is left")


def test_close_tells_what_could_not_be_sent(make: Make, told: Told) -> None:
    with Fake(lambda _: response(503, {}, Retry_After="3600")) as fake:
        client = make(fake.url)
        client.track(REPORT)
        until(lambda: told.errors, "an attempt failed")
        began = time.monotonic()
        client.close()
        # Waiting would not help: the service asked for an hour.
        assert time.monotonic() - began < 1
    assert [(drop.reason, drop.events) for drop in told.drops] == [("exit", 1)]


def test_without_callbacks_it_is_logged(caplog: pytest.LogCaptureFixture, shared_service: Service) -> None:
    with caplog.at_level(logging.WARNING), Client(shared_service.url, KEY) as client:
        for _ in range(5):
            client.track(business_id="acme")
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["an event was refused: Missing required field: response_time_ms"]


@pytest.mark.parametrize(
    "options",
    [
        {"url": "localhost:5001"},
        {"url": "ftp://localhost"},
        {"url": "http://"},
        {"url": "http://user:secret@localhost"},
        {"url": "http://localhost?a=b"},
        {"url": "http://localhost:99999"},
        {"api_key": "not a key"},
        {"max_events": 0},
        {"max_bytes": -1},
    ],
)
def test_mistakes_show_at_once_and_without_secrets(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as caught:
        Client(**options)
    assert "secret" not in str(caught.value) and "not a key" not in str(caught.value)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, shared_service: Service) -> None:
    assert Client()._settings.origin == "http://localhost:5001"
    monkeypatch.setenv("MLOPS_SERVICE_URL", shared_service.url + "/")
    monkeypatch.setenv("MLOPS_API_KEY", KEY)
    with Client() as client:
        client.track(REPORT, business_id="environment")
    shared_service.expect(1, "environment")
    assert KEY not in repr(client._settings)
