"""What happens when the service or the way to it fails."""

from __future__ import annotations

import email.utils
import os
import random
import socket
import ssl
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from conftest import QUICK, Make, QuickClient, Told
from fake import Answer, Fake, Request, response, success
from service import KEY, REPORT, Service, free_port, until

from mlops_service_client import SendError

EVENTS, RESTARTS = (100_000, 20) if os.environ.get("CLIENTS_TEST_FULL") else (25_000, 5)


def test_no_event_is_lost_or_doubled_through_restarts(make: Make, start: Any, told: Told) -> None:
    service = start()
    client = make(service.url)
    ids: list[str] = []

    def work() -> None:
        while len(ids) < EVENTS:
            # The buffer is bounded, and an event that does not fit is dropped: whoever must not lose any waits.
            if client.stats().waiting < 9000:
                ids.extend([client.track(REPORT) for _ in range(100)])
            else:
                time.sleep(0.005)

    worker = threading.Thread(target=work)
    worker.start()
    for restart in range(RESTARTS):
        # Spread over the events, and in the middle of a batch as often as not.
        until(lambda: len(ids) >= EVENTS * restart // RESTARTS, "more events are tracked", 60)
        time.sleep(random.uniform(0, 0.05))
        service.kill()
        time.sleep(random.uniform(0, 0.2))
        service.start()
    worker.join()
    until(lambda: client.flush(), "everything is sent", 30)
    stats = client.stats()
    print(stats)
    assert len(set(ids)) == EVENTS
    stored = service.ids()
    assert len(stored) == len(set(stored)) == EVENTS and set(stored) == set(ids)
    service.expect(EVENTS)
    assert service.analytics()["metrics"]["total_conversations"] == EVENTS
    # A batch may be stored and its response lost; it is sent again, and counted once.
    assert stats.sent + stats.duplicates == stats.tracked == EVENTS
    assert (stats.dropped, stats.refused, stats.waiting) == (0, 0, 0)
    assert stats.failures >= RESTARTS / 2
    assert told.drops == [] and told.rejected == []


def test_order_is_kept_through_a_restart(make: Make, start: Any) -> None:
    service = start()
    client = make(service.url)
    ids = [client.track(REPORT) for _ in range(500)]
    assert client.flush()
    service.kill()
    ids += [client.track(REPORT) for _ in range(2500)]
    until(lambda: client.stats().failures, "an attempt failed")
    service.start()
    until(lambda: client.flush(), "everything is sent")
    assert service.ids() == ids


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: None,
        lambda _: b"garbage\r\n\r\n",
        lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{",
        lambda _: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        lambda _: response(200, b"<html>a proxy's page</html>"),
        lambda _: response(200, b"[" * 100_000),
        lambda _: response(200, b"x" * 3_000_000),
        lambda _: response(200, {"status": "success", "accepted": 5, "duplicates": 0, "rejected": []}),
        lambda _: response(200, {"status": "success", "accepted": 0, "duplicates": "?", "rejected": [7, {"index": "a"}]}),
        lambda _: response(400, {"error": "Bad Request", "message": "the body ended early"}),
        lambda _: response(500, {"error": "Internal Server Error", "message": ""}),
        lambda _: response(502, b""),
        lambda _: response(503, {"error": "Service Unavailable", "message": "busy"}, Retry_After="garbage"),
        lambda _: response(429, {"error": "429 Too Many Requests", "message": "100 per 1 hour"}),
        lambda _: response(401, {"error": "Unauthorized", "message": "API key required"}),
        lambda _: response(403, {"error": "Forbidden", "message": "Invalid API key"}),
        lambda _: response(307, b"", Location="http://127.0.0.1:9/elsewhere"),
        lambda _: b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    ],
)
def test_bad_answers_are_tried_again_with_the_same_ids(answer: Answer, make: Make, told: Told) -> None:
    with Fake(answer, answer) as fake:
        client = make(fake.url)
        ids = [client.track(REPORT) for _ in range(3)]
        assert client.flush()
        assert [[event["event_id"] for event in request.events] for request in fake.requests] == [ids] * 3
    assert len(told.errors) == 2 and all(isinstance(error, SendError) for error in told.errors)
    assert told.rejected == [] and client.stats().sent == 3
    assert KEY not in str(told.errors) and "acme" not in str(told.errors)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_honoured(status: int, as_date: bool, make: Make, told: Told) -> None:
    when: list[float] = []

    def refuse(_: Request) -> bytes:
        when.append(time.time())
        # A date has whole seconds.
        asked = email.utils.formatdate(when[0] + 2, usegmt=True) if as_date else "1"
        return response(status, {"error": "x", "message": "y"}, Retry_After=asked)

    with Fake(refuse) as fake:
        client = make(fake.url)
        client.track(REPORT)
        until(lambda: len(fake.requests) == 2, "it is sent again")
        assert time.time() - when[0] >= 1
    assert isinstance(told.errors[0], SendError) and told.errors[0].status == status


def test_the_real_quota_is_obeyed(make: Make, start: Any, told: Told) -> None:
    service = start(RATE_LIMIT_TRACK="3 per 2 seconds")
    client = make(service.url)
    for _ in range(8):
        client.track(REPORT)
        until(lambda: client.flush(), "it is sent")
    service.expect(8)
    assert all(isinstance(error, SendError) and error.status == 429 for error in told.errors)
    assert client.stats().failures <= 4


def test_a_service_that_hangs(make: Make, told: Told) -> None:
    with Fake() as fake:
        fake._answers = [fake.hang]
        client = make(fake.url)
        client.track(REPORT)
        assert client.flush()
        assert "no response within 1 s" in str(told.errors[0])


def test_a_service_that_drips(make: Make, told: Told) -> None:
    def serve() -> None:
        sock = listener.accept()[0]
        with sock:
            sock.recv(65536)
            try:
                for _ in range(100):
                    sock.sendall(b"H")
                    time.sleep(0.1)
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        client = make(f"http://127.0.0.1:{listener.getsockname()[1]}")
        client.track(REPORT)
        began = time.monotonic()
        until(lambda: told.errors, "the attempt ends")
        # Each byte came in time, all of them did not.
        assert time.monotonic() - began < 2
        client._end()


def test_a_full_service(make: Make, start: Any, told: Told) -> None:
    # It takes one request at a time: most attempts are refused with 503.
    service = start(INGEST_QUEUE_SIZE="1", MAX_REQUESTS_IN_FLIGHT="1")
    clients = [make(service.url) for _ in range(4)]
    for client in clients:
        for _ in range(20):
            client.track(REPORT)
    for client in clients:
        until(lambda: client.flush(), "everything is sent", 40)
    assert told.rejected == [] and told.drops == []
    service.expect(80)
    assert len(service.ids()) == 80


def test_events_that_could_not_be_stored_are_sent_again(make: Make, told: Told) -> None:
    def in_part(request: Request) -> bytes:
        rejected = [{"index": 0, "error": "Failed to store metrics in database"}, {"index": 2, "error": "Invalid value for field: x"}]
        return response(200, {"status": "success", "accepted": 1, "duplicates": 1, "rejected": rejected})

    with Fake(in_part) as fake:
        client = make(fake.url)
        ids = [client.track(REPORT) for _ in range(4)]
        assert client.flush()
        assert [event["event_id"] for event in fake.requests[1].events] == ids[:1]
    stats = client.stats()
    assert (stats.sent, stats.duplicates, stats.refused, stats.waiting, stats.waiting_bytes) == (2, 1, 1, 0, 0)
    assert [event["event_id"] for event, _ in told.rejected] == [ids[2]]
    assert "could not store 1 of 4 events" in str(told.errors[0])


def not_stored(*indexes: int) -> Answer:
    """The response to a batch of which these events could not be stored."""
    rejected = [{"index": index, "error": "Failed to store metrics in database"} for index in indexes]
    return lambda request: response(
        200, {"status": "success", "accepted": len(request.events) - len(indexes), "duplicates": 0, "rejected": rejected}
    )


def test_events_that_can_never_be_stored_keep_no_others_from_being_stored(make: Make, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(request: Request) -> bytes | None:
        never = [index for index, event in enumerate(request.events) if event["tokens_used"] == 5]
        if len(never) == len(request.events):
            return response(503, {"error": "Failed to store metrics in database", "message": ""})
        return not_stored(*never)(request)

    # If the wait grew with each round, it would be a minute in the end.
    monkeypatch.setattr(QuickClient, "_timings", replace(QUICK, first_retry=0.01, last_retry=60.0))
    with Fake(*[judge] * 1000) as fake:
        client = make(fake.url)
        for round_ in range(1, 15):
            for tokens in range(8):
                client.track(REPORT, tokens_used=tokens)
            until(lambda: client.stats().waiting == round_, "the others are sent", 5)
        assert not client.flush(0.2)
    stats = client.stats()
    assert (stats.sent, stats.waiting) == (98, 14)
    assert told.rejected == [] and told.drops == []


def test_flush_waits_for_its_own_events_not_for_as_many_others(make: Make) -> None:
    def more_come(request: Request) -> bytes | None:
        for _ in range(50):
            client.track(REPORT)
        return not_stored(0)(request)

    with Fake(more_come, more_come) as fake:
        client = make(fake.url)
        first = client.track(REPORT)
        client.track(REPORT)
        assert client.flush()
        assert [request.events[0]["event_id"] for request in fake.requests] == [first] * 3


def test_accepted_into_the_services_spool_is_a_success(make: Make) -> None:
    with Fake(lambda request: success(request, 202)) as fake:
        client = make(fake.url)
        client.track(REPORT)
        assert client.flush()
        assert client.stats().sent == 1 and len(fake.requests) == 1


def test_too_large_batches_are_split(make: Make) -> None:
    def judge(request: Request) -> bytes:
        if len(request.events) > 30:
            return response(413, {"error": "Payload Too Large", "message": ""})
        return success(request)

    with Fake(*[judge] * 50) as fake:
        client = make(fake.url)
        ids = [client.track(REPORT) for _ in range(100)]
        assert client.flush()
        taken = [event["event_id"] for request in fake.requests if len(request.events) <= 30 for event in request.events]
        assert taken == ids
        # What was learned is kept.
        assert len(fake.requests) == 2 + 4


def test_batches_are_within_the_services_bounds(make: Make, start: Any) -> None:
    service = start()
    client = make(service.url)
    for _ in range(200):
        client.track(REPORT, more="x" * 20_000)
    assert client.flush()
    service.expect(200)
    assert client.stats().failures == 0
    assert client.stats().requests == 4


def test_small_bodies_are_not_compressed_and_compression_can_be_refused(make: Make) -> None:
    with Fake(success, success, lambda _: response(415, {"error": "Unsupported Media Type", "message": ""})) as fake:
        client = make(fake.url)
        client.track(REPORT)
        client.flush()
        for count in (100, 100, 100):
            for _ in range(count):
                client.track(REPORT)
            assert client.flush()
        assert [request.compressed for request in fake.requests] == [False, True, True, False, False]
        assert fake.requests[0].headers["x-api-key"] == KEY


def test_one_connection_is_kept_and_a_closed_one_is_no_failure(make: Make, told: Told) -> None:
    with Fake() as fake:
        client = make(fake.url)
        for _ in range(3):
            client.track(REPORT)
            client.flush()
        assert fake.connections == 1
        fake._sockets[0].shutdown(socket.SHUT_RDWR)
        client.track(REPORT)
        client.flush()
        assert fake.connections == 2
    assert told.errors == []


def _resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Has `localhost` resolve to these addresses alone."""
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        names = addresses if host == "localhost" else [host]
        return [info for name in names for info in real(name, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize("addresses", [("::1", "127.0.0.1"), ("::1",), ("127.0.0.1",)])
def test_localhost_whatever_it_resolves_to(
    addresses: tuple[str, ...], make: Make, told: Told, shared_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    _resolve_to(monkeypatch, *addresses)
    client = make(f"http://localhost:{shared_service.port}")
    before = shared_service.counted("localhost")
    client.track(REPORT, business_id="localhost")
    assert client.flush() and told.errors == []
    shared_service.expect(before + 1, "localhost")


@pytest.mark.parametrize("host", ["localhost", "[::1]"])
def test_a_service_on_ipv6_alone(host: str, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    _resolve_to(monkeypatch, "127.0.0.1")
    try:
        fake = Fake(host="::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    with fake:
        client = make(f"http://{host}:{fake.port}")
        client.track(REPORT)
        assert client.flush()
        assert fake.requests[0].headers["host"] == f"{host}:{fake.port}"


def test_tls_with_an_own_authority(make: Make, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with Fake(context=context) as fake:
        stranger = make(fake.url)
        stranger.track(REPORT)
        until(lambda: told.errors, "the certificate is refused")
        assert "certificate verify failed" in str(told.errors[0]) and fake.requests == []
        stranger._end()

        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        client = make(fake.url)
        for _ in range(2):
            client.track(REPORT)
            assert client.flush()
        assert len(fake.requests) == 2 and fake.connections == 2

        # A name that the certificate is not for.
        other = make(fake.url.replace("localhost", "127.0.0.1"))
        other.track(REPORT)
        until(lambda: len(told.errors) > 1, "the name is refused")
        assert len(fake.requests) == 2


def test_tls_in_front_of_the_real_service(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_service: Service) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    def forward(request: Request) -> bytes:
        """A proxy that terminates TLS, as far as one request needs it."""
        head = {"Host": "localhost", "Content-Type": "application/json", "X-API-Key": request.headers["x-api-key"]}
        lines = ["POST /track/batch HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
        lines += [f"Content-Length: {len(request.body)}", "Connection: close", "", ""]
        with socket.create_connection(("127.0.0.1", shared_service.port)) as sock, sock.makefile("rb") as stream:
            sock.sendall("\r\n".join(lines).encode() + request.body)
            return stream.read()

    with Fake(forward, context=context) as fake:
        client = make(fake.url)
        for _ in range(500):
            client.track(REPORT, business_id="tls")
        assert client.flush()
    shared_service.expect(500, "tls")


def test_nothing_listens(make: Make, told: Told) -> None:
    client = make(f"http://127.0.0.1:{free_port()}")
    client.track(REPORT)
    until(lambda: len(told.errors) >= 3, "it is tried again")
    assert "Connection refused" in str(told.errors[0])
    waits = [error.retry_in for error in told.errors if isinstance(error, SendError)]
    # Doubled each time, half of it random.
    for n, wait in enumerate(waits[:3]):
        assert QUICK.first_retry * 2**n / 2 <= wait <= QUICK.first_retry * 2**n


def test_a_client_that_is_closed_while_an_attempt_hangs(make: Make) -> None:
    with Fake() as fake:
        fake._answers = [fake.hang]
        client = make(fake.url)
        client.track(REPORT)
        until(lambda: fake.requests, "it is being sent")
        began = time.monotonic()
        assert not client.flush(0.1)
        client._end()
        assert time.monotonic() - began < 0.6
        assert client.stats().dropped == 1
