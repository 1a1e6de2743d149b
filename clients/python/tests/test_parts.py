"""Parts that are tested without a service."""

from __future__ import annotations

import random
import uuid

import pytest

from mlops_service_client._notices import Notices
from mlops_service_client._pace import Timings, backoff, linger, obey
from mlops_service_client._uuid7 import uuid7_maker
from mlops_service_client._verdict import retry_after


def test_ids_are_uuids_of_version_7_in_order() -> None:
    make = uuid7_maker()
    ids = [make() for _ in range(20_000)]
    assert ids == sorted(ids) and len(set(ids)) == len(ids)
    assert {(uuid.UUID(text).version, uuid.UUID(text).variant) for text in ids} == {(7, uuid.RFC_4122)}
    assert {text[19] for text in ids} == set("89ab")


def test_ids_go_on_when_the_clock_is_set_back() -> None:
    times = [5_000_000_000, *[1_000_000_000] * 10_000, 6_000_000_000]
    make = uuid7_maker(lambda: times.pop(0))
    ids = [make() for _ in range(10_002)]
    assert ids == sorted(ids)
    assert ids[-1].startswith("00000000-1770-7000")


def test_backoff_doubles_and_is_half_random() -> None:
    timings = Timings()
    assert [backoff(timings, n, lambda: 0) for n in (1, 2, 3, 20, 10_000)] == [0.25, 0.5, 1, 15, 15]
    assert [backoff(timings, n, lambda: 1) for n in (1, 2, 3, 20, 10_000)] == [0.5, 1, 2, 30, 30]
    assert obey(10, random.random) >= 10 and obey(3600, lambda: 1) == 3605


def test_the_rest_of_a_quota_is_spread() -> None:
    def of(limit: str, remaining: str, reset: str) -> float:
        headers = {"x-ratelimit-limit": limit, "x-ratelimit-remaining": remaining, "x-ratelimit-reset": reset}
        return linger(Timings(), headers, 1000.0)

    assert of("100", "80", "4600") == 1
    assert of("100", "40", "1400") == 10
    assert of("100", "1", "4600") == 60
    assert of("100", "0", "4600") == of("x", "1", "2") == of("100", "40", "900") == linger(Timings(), {}, 0) == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7), (" 7 ", 7), ("0", 0), ("-5", 0), ("1.5", 0), ("soon", 0), ("", 0), ("9" * 400, 0), ("999999", 86400), ("²", 0),
        ("Thu, 01 Jan 1970 00:20:00 GMT", 200), ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("Thu, 99 Foo 1970", 0),
    ],
)  # fmt: skip
def test_retry_after(value: str, seconds: float) -> None:
    assert retry_after({"retry-after": value}, 1000.0) == seconds


def test_drops_are_told_together() -> None:
    drops: list[object] = []
    notices = Notices(None, drops.append, None)
    assert notices.drop("full", 1, 10) and not notices.drop("full", 1, 10)
    for call in notices.take(100.0, False):
        call()
    notices.drop("full", 1, 10)
    # Not so soon after the last ones.
    assert notices.take(100.05, False) == [] and notices.wait(100.05) == pytest.approx(0.05)
    assert len(notices.take(100.05, True)) == 1
