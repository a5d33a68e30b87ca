"""Bounds of what is kept, by tenant and in all, and work that several wait for."""

from __future__ import annotations

import asyncio
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.core.response_cache import CacheUrl, ResponseCache, StoredResponse
from stoa_proxy.foundation.flights import Flights

from tests.laws import examples
from tests.proxy.conftest import FakeClock


def url(tenant: str, path: str) -> CacheUrl:
    return CacheUrl(tenant, "p", "a", "http://h", path, "")


def response(size: int, consumer: str = "", variant: str = "") -> StoredResponse:
    return StoredResponse(
        consumer, (("accept", variant),), 200, (("A", "b"),), b"x" * size, 0.0, 0.0, 60.0, 0.0,
        needs_validation=False, is_for_all=False,
    )  # fmt: skip


steps = st.lists(
    st.tuples(
        st.sampled_from("abc"), st.sampled_from("1234567"), st.integers(0, 3000),
        st.sampled_from(["", "c"]), st.sampled_from("xyz"), st.booleans(),
    ),
    max_size=80,
)  # fmt: skip


@examples(200)
@given(steps)
def test_bytes_are_counted_exactly_and_bounded(
    todo: list[tuple[str, str, int, str, str, bool]],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stoa_proxy.core.response_cache._PER_TENANT", 12_000)
        patch.setattr("stoa_proxy.core.response_cache._IN_ALL", 20_000)
        patch.setattr("stoa_proxy.core.response_cache._MAX_VARIANTS", 3)
        cache = ResponseCache(FakeClock())
        for tenant, path, size, consumer, variant, is_removal in todo:
            if is_removal:
                cache.remove(url(tenant, path))
                continue
            stored = response(size, consumer, variant)
            cache.store(url(tenant, path), stored)
            found = cache.find(url(tenant, path), consumer, lambda one: one is stored)  # noqa: B023
            assert found in (stored, None)
            held = [
                one
                for part in cache._tenants.values()
                for variants in part.urls.values()
                for one in variants
            ]
            assert cache.size == sum(one.size for one in held) <= 20_000
            assert len(cache) == len(held)
            for part in cache._tenants.values():
                assert part.size <= 12_000
                assert all(len(variants) <= 3 for variants in part.urls.values())


def test_long_urls_of_short_responses_are_bounded_too() -> None:
    cache = ResponseCache(FakeClock())
    for number in range(600):
        cache.store(url("t", f"{number}/".ljust(60_000, "x")), response(1))
    assert sum(len(one.path) for part in cache._tenants.values() for one in part.urls) < 17 * 2**20
    for number in range(600):
        cache.note_not_kept(url("t", f"{number}/".ljust(60_000, "y")))
    assert not cache.is_worth_waiting(url("t", "7/".ljust(60_000, "y")))
    assert sys.getsizeof(next(iter(cache._not_kept))) < 100


def test_one_tenant_displaces_nothing_of_another_within_its_share() -> None:
    cache = ResponseCache(FakeClock())
    cache.store(url("small", "/"), response(100))
    for number in range(40):
        cache.store(url("large", str(number)), response(1_000_000))
    assert cache.find(url("small", "/"), "", lambda _: True) is not None
    assert cache.size <= 17 * 1024 * 1024


def test_a_response_of_one_consumer_is_not_found_by_another() -> None:
    cache = ResponseCache(FakeClock())
    cache.store(url("t", "/"), response(1, "mine"))
    assert cache.find(url("t", "/"), "yours", lambda _: True) is None
    assert cache.find(url("t", "/"), "", lambda _: True) is None
    assert cache.find(url("t", "/"), "mine", lambda _: True) is not None


async def test_work_that_is_lost_keeps_nobody_waiting() -> None:
    clock = FakeClock()
    flights: Flights[str] = Flights(clock)
    flight = flights.begin("a", 10.0)
    assert flight is not None
    assert flights.begin("a", 10.0) is None
    waiting = asyncio.create_task(flight.wait(60.0))
    await asyncio.sleep(0)
    clock.advance(10)
    assert flights.find("a") is None
    await asyncio.wait_for(waiting, 30)
    assert flights.begin("a", 10.0) is not None
    flights.end("a", flight)
    assert len(flights) == 1  # the end of the one before is not that of this one
    await flight.wait(60.0)


async def test_waiting_has_an_end_and_can_be_left() -> None:
    flights: Flights[str] = Flights(FakeClock())
    flight = flights.begin("a", 10.0)
    assert flight is not None
    await flight.wait(0.001)
    waiting = asyncio.create_task(flight.wait(60.0))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    flights.end("a", flight)
    assert len(flights) == 0
