"""Values of the services' cache: until their time is over, and only so many."""

from __future__ import annotations

from stoa_proxy.core.expiring_cache import ExpiringCache

from tests.proxy.conftest import FakeClock


def test_a_value_is_there_until_its_time_is_over(clock: FakeClock) -> None:
    cache = ExpiringCache(clock)
    cache.put("a", 1, 10.0)
    clock.advance(9.9)
    assert cache.get("a") == 1
    clock.advance(0.1)
    assert cache.get("a") is None
    assert len(cache) == 0


def test_a_value_that_is_put_again_counts_as_new(clock: FakeClock) -> None:
    cache = ExpiringCache(clock, maximum=2)
    for key in ("a", "b", "a", "c"):
        cache.put(key, key.upper(), 60.0)
    assert [cache.get(key) for key in ("a", "b", "c")] == ["A", None, "C"]
    assert len(cache) == 2


def test_nothing_is_there_that_was_not_put(clock: FakeClock) -> None:
    assert ExpiringCache(clock).get("a") is None
