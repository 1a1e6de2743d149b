"""`AsyncClient`, against the real service where it matters."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

from conftest import QUICK, Told
from fake import Fake, response
from service import KEY, REPORT, Service

from mlops_service_client import AsyncClient, Drop, Refusal


class QuickAsyncClient(AsyncClient):
    _timings = QUICK


def test_events_are_stored_in_order(start: Any) -> None:
    service = start()

    async def main() -> list[str]:
        async with QuickAsyncClient(service.url, KEY) as client:
            ids = [client.track(REPORT) for _ in range(2000)]
            assert await client.flush()
            assert service.ids() == ids
            ids.append(client.track(business_id="acme", response_time_ms=1, tokens_used=2))
        assert client.stats().sent == 2001
        return ids

    ids = asyncio.run(main())
    assert service.ids() == ids


def test_the_service_is_killed_and_restarted(start: Any) -> None:
    service = start()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with QuickAsyncClient(service.url, KEY, on_error=lambda _: None) as client:
            for _ in range(3):
                for _ in range(2000):
                    client.track(REPORT)
                await asyncio.sleep(0.02)
                await loop.run_in_executor(None, service.kill)
                await asyncio.sleep(0.2)
                await loop.run_in_executor(None, service.start)
            for _ in range(10):
                if await client.flush():
                    break
            stats = client.stats()
            assert stats.sent + stats.duplicates == stats.tracked == 6000

    asyncio.run(main())
    service.expect(6000)
    assert len(set(service.ids())) == len(service.ids()) == 6000


def test_the_loop_never_waits() -> None:
    async def main() -> float:
        worst = 0.0
        with Fake() as fake:
            fake._answers = [fake.hang] * 20
            client = QuickAsyncClient(fake.url, KEY, on_error=lambda _: None)
            for _ in range(3000):
                client.track(REPORT)
            for _ in range(40):
                before = time.monotonic()
                await asyncio.sleep(0.02)
                worst = max(worst, time.monotonic() - before)
            assert not await client.flush(0.1)
            client._end()
        return worst

    assert asyncio.run(main()) < 0.5


def test_callbacks_may_be_coroutine_functions(shared_service: Service) -> None:
    seen: list[object] = []

    async def on_reject(event: dict[str, Any], refusal: Refusal) -> None:
        await asyncio.sleep(0.01)
        seen.append(refusal.error)
        raise RuntimeError("a broken callback")

    async def on_drop(drop: Drop) -> None:
        seen.append(drop.events)

    async def main() -> None:
        async with QuickAsyncClient(shared_service.url, KEY, max_events=2, on_reject=on_reject, on_drop=on_drop) as client:
            for tokens in (-1, 1, 2, 3):
                client.track(REPORT, business_id="coroutines", tokens_used=tokens)

    asyncio.run(main())
    assert sorted(map(str, seen)) == ["2", "Invalid value for field: tokens_used"]


def test_track_in_other_threads(shared_service: Service) -> None:
    async def main() -> None:
        async with QuickAsyncClient(shared_service.url, KEY) as client:
            work = [asyncio.to_thread(lambda: [client.track(REPORT, business_id="to-thread") for _ in range(100)]) for _ in range(4)]
            await asyncio.gather(*work)
            await asyncio.sleep(0.5)
            assert client.stats().sent == 400

    asyncio.run(main())
    shared_service.expect(400, "to-thread")


def test_one_client_in_several_loops(shared_service: Service) -> None:
    client = QuickAsyncClient(shared_service.url, KEY)
    client.track(REPORT, business_id="loops")

    async def main() -> None:
        client.track(REPORT, business_id="loops")
        await asyncio.sleep(0.3)
        assert client.stats().waiting == 0

    for _ in range(3):
        asyncio.run(main())
        # Nobody runs a loop: it waits for the next one.
        client.track(REPORT, business_id="loops")
    asyncio.run(client.close())
    shared_service.expect(7, "loops")


def test_flush_in_another_loop_than_the_tasks(shared_service: Service) -> None:
    client = QuickAsyncClient(shared_service.url, KEY)
    flushed: list[bool] = []

    async def main() -> None:
        client.track(REPORT, business_id="other-loop")
        thread = threading.Thread(target=lambda: flushed.append(asyncio.run(client.flush())))
        thread.start()
        while thread.is_alive():
            await asyncio.sleep(0.01)
        await client.close()

    asyncio.run(main())
    assert flushed == [True]
    shared_service.expect(1, "other-loop")


def test_a_cancelled_task_is_replaced(shared_service: Service) -> None:
    async def main() -> None:
        cancelled = 0
        async with QuickAsyncClient(shared_service.url, KEY) as client:
            for _ in range(5):
                client.track(REPORT, business_id="cancelled")
                await asyncio.sleep(0.01)
                # It is there unless all was sent already.
                if client._task is not None:
                    cancelled += client._task.cancel()
                await asyncio.sleep(0.01)
            client.track(REPORT, business_id="cancelled")
            assert await client.flush()
        assert cancelled >= 1

    asyncio.run(main())
    shared_service.expect(6, "cancelled")


def test_nothing_is_left_behind(shared_service: Service) -> None:
    async def main() -> None:
        async with QuickAsyncClient(shared_service.url, KEY) as client:
            client.track(REPORT, business_id="left")
        await asyncio.sleep(0.05)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        client.track(REPORT)
        await client.close()
        assert client.stats().dropped == 1

    asyncio.run(main())


def test_close_tells_what_could_not_be_sent(told: Told) -> None:
    async def main() -> None:
        with Fake(lambda _: response(429, {}, Retry_After="3600")) as fake:
            async with QuickAsyncClient(fake.url, KEY, **told.callbacks) as client:
                client.track(REPORT)
                await asyncio.sleep(0.3)

    asyncio.run(main())
    assert [(drop.reason, drop.events) for drop in told.drops] == [("exit", 1)]
    assert "Status 429" in str(told.errors[0])
