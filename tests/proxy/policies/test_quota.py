"""`quota` on the real engine and over restarts: calendar periods, counted exactly."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stoa_proxy.core.quotas import PERIODS, QuotaCounters, QuotaKey, period_of
from stoa_proxy.policies import POLICIES
from stoa_proxy.quota_file import FILE_NAME

from tests.laws import examples
from tests.proxy.conftest import Api, FakeClock, Upstream, running

SECONDS = {"hour": (3600, 3600), "day": (86_400, 86_400), "week": (604_800, 604_800)}


async def statuses(api: Api, count: int, headers: Any = None) -> list[int]:
    return [(await api.get("/a/x", headers)).status for _ in range(count)]


def key(subject: str = "s", period: str = "day", policy: str = "p") -> QuotaKey:
    return QuotaKey("acme", policy, "r1", period, "ip", subject)


async def test_requests_over_the_quota_are_refused_until_the_next_period(
    api: Api, clock: FakeClock, upstream: Upstream
) -> None:
    await api.route(upstream.url)
    await api.policy("quota", {"requests": 2, "period": "day"})
    assert await statuses(api, 2) == [200, 200]
    clock.advance(86_399)
    answer = await api.get("/a/x")
    assert answer.status == 429
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["RateLimit-Policy"] == '"quota";q=2;w=86400'
    assert answer.headers["RateLimit"] == '"quota";r=0;t=1'
    found = await answer.json()
    assert found["type"] == "urn:stoa:problem:quota-exceeded"
    assert "2 requests in a day" in found["detail"]
    clock.advance(1)
    assert await statuses(api, 3) == [200, 200, 429]
    assert len(upstream.seen) == 4


@pytest.mark.parametrize(
    ("by", "first", "second"),
    [
        ("header:X-Team", {"X-Team": "a"}, {"X-Team": "b"}),
        ("consumer", {"X-API-Key": "k1"}, {"X-API-Key": "k2"}),
    ],
)
async def test_each_caller_has_a_count_of_its_own(
    api: Api, upstream: Upstream, by: str, first: dict[str, str], second: dict[str, str]
) -> None:
    await api.route(upstream.url)
    await api.policy("quota", {"requests": 1, "period": "month", "by": by})
    if by == "consumer":
        await api.policy("api_key", {})
        await api.consumer("k1")
        await api.consumer("k2", consumer_id="c2")
    assert await statuses(api, 2, first) == [200, 429]
    assert await statuses(api, 2, second) == [200, 429]


async def test_all_callers_of_a_tenant_share_one_count(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url)
    await api.policy("api_key", {})
    await api.policy("quota", {"requests": 3, "period": "hour", "by": "tenant"})
    for number in (1, 2):
        await api.consumer(f"k{number}", consumer_id=f"c{number}")
    keys = ({"X-API-Key": "k1"}, {"X-API-Key": "k2"})
    found = [(await api.get("/a/x", keys[number % 2])).status for number in range(4)]
    assert found == [200, 200, 200, 429]


async def test_new_numbers_go_on_with_the_count(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url)
    await api.policy("quota", {"requests": 2, "period": "day"})
    assert await statuses(api, 3) == [200, 200, 429]
    await api.policy("quota", {"requests": 3, "period": "day"})
    assert await statuses(api, 2) == [200, 429]
    await api.policy("quota", {"requests": 1, "period": "day"})
    answer = await api.get("/a/x")
    assert (answer.status, answer.headers["RateLimit-Remaining"]) == (429, "0")


async def test_concurrent_requests_never_pass_the_quota(api: Api, upstream: Upstream) -> None:
    await api.route(upstream.url)
    await api.policy("quota", {"requests": 7, "period": "day"})
    answers = await asyncio.gather(*(api.get("/a/x") for _ in range(30)))
    assert sorted(answer.status for answer in answers) == [200] * 7 + [429] * 23


async def run_with(folder: Path, clock: FakeClock, url: str, count: int, limit: int) -> list[int]:
    async with running(clock=clock, quota_dir=str(folder)) as api:
        await api.route(url)
        await api.policy("quota", {"requests": limit, "period": "month"})
        return await statuses(api, count)


async def test_a_restart_goes_on_with_the_count(
    tmp_path: Path, clock: FakeClock, upstream: Upstream
) -> None:
    assert await run_with(tmp_path, clock, upstream.url, 2, 3) == [200, 200]
    assert await run_with(tmp_path, clock, upstream.url, 2, 3) == [200, 429]
    path = tmp_path / FILE_NAME
    assert path.stat().st_mode & 0o777 == 0o600
    # After a crash: half a line, lines of something else, a later count of the same key.
    lines = path.read_bytes().splitlines()
    entry = json.loads(lines[-1])
    path.write_bytes(
        b"\n".join([*lines, b"null", b"[1,2]", b'{"a":1}', json.dumps([*entry[:-1], 1]).encode()])
        + b'\n["acme","'
    )
    assert await run_with(tmp_path, clock, upstream.url, 1, 3) == [429]
    clock.advance(31 * 86_400)
    assert await run_with(tmp_path, clock, upstream.url, 1, 3) == [200]


async def test_counts_are_written_while_the_gateway_runs(
    tmp_path: Path, clock: FakeClock, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stoa_proxy.quota_file._PAUSE_SECONDS", 0.01)
    async with running(clock=clock, quota_dir=str(tmp_path)) as api:
        await api.route(upstream.url)
        await api.policy("quota", {"requests": 3, "period": "month"})
        assert await statuses(api, 2) == [200, 200]
        async with asyncio.timeout(30):
            # The first request may be written before the second one comes.
            while not (written := written_lines(tmp_path)) or json.loads(written[-1])[-1] != 2:
                await asyncio.sleep(0.005)


def written_lines(folder: Path) -> list[bytes]:
    path = folder / FILE_NAME
    return path.read_bytes().splitlines() if path.exists() else []


async def test_a_file_of_somebody_else_is_left_alone(
    tmp_path: Path, clock: FakeClock, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    other = tmp_path / "other"
    other.write_text("theirs")
    (tmp_path / FILE_NAME).symlink_to(other)
    assert await run_with(tmp_path, clock, upstream.url, 2, 1) == [200, 429]
    assert other.read_text() == "theirs"
    assert "counts of quotas are not used" in caplog.text


@examples(300)
@given(st.sampled_from(PERIODS), st.integers(0, 4_000_000_000))
def test_periods_hold_their_moments_and_follow_each_other(name: str, now: int) -> None:
    start, end = period_of(name, now)
    assert start <= now < end
    assert period_of(name, start) == period_of(name, end - 0.5) == (start, end)
    assert period_of(name, end)[0] == end
    began = datetime.fromtimestamp(start, UTC)
    assert (began.minute, began.second) == (0, 0)
    shortest, longest = SECONDS.get(name, (28 * 86_400, 31 * 86_400))
    assert shortest <= end - start <= longest
    if name == "week":
        assert began.isoweekday() == 1
    if name == "month":
        assert began.day == 1


@examples(200)
@given(st.integers(1, 5), st.lists(st.integers(-90_000, 90_000), max_size=30))
def test_no_period_lets_more_pass_than_its_quota_whatever_the_clock_does(
    requests: int, steps: list[int]
) -> None:
    clock = FakeClock()
    counters = QuotaCounters(clock)
    passed: dict[int, int] = {}
    for step in steps:
        clock.seconds = max(1000.0, clock.seconds + step)
        result = counters.hit(key(), requests)
        if result.allowed:
            # A clock that went back counts on in the later period.
            end = round(clock.now().timestamp() + result.reset)
            passed[end] = passed.get(end, 0) + 1
        assert 0 <= result.remaining <= requests
        assert result.reset >= 0
    assert all(count <= requests for count in passed.values())


@examples(100)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 40_000)), max_size=25))
def test_what_is_kept_and_restored_counts_as_before(hits: list[tuple[str, int]]) -> None:
    clock = FakeClock()
    counters, other = QuotaCounters(clock), QuotaCounters(clock)
    counters.watch()
    kept = []
    for subject, step in hits:
        clock.advance(step)
        counters.hit(key(subject), 3)
        kept += counters.take_changed()
    other.restore(kept)
    for subject in "abc":
        assert other.hit(key(subject), 4)[:4] == counters.hit(key(subject), 4)[:4]


def test_counters_are_bounded_and_nobody_is_forgotten_for_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stoa_proxy.core.quotas.PER_POLICY", 10)
    monkeypatch.setattr("stoa_proxy.core.quotas._SHARED", 4)
    clock = FakeClock()
    counters = QuotaCounters(clock)
    for number in range(200):
        counters.hit(key(str(number)), 1)
    assert len(counters) == 14
    assert not any(counters.hit(key(str(number)), 1).allowed for number in range(200))
    # Another policy has counters of its own.
    assert counters.hit(key("1", policy="q"), 1).allowed
    clock.advance(86_400)
    for number in range(20):
        assert counters.hit(key(str(number % 2)), 100).allowed
    assert len(counters) <= 4


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"requests": 1}, "config.period"),
        ({"requests": 1, "period": "year"}, "config.period"),
        ({"requests": 0, "period": "day"}, "config.requests"),
        ({"requests": 1, "period": "day", "by": "user"}, "config.by"),
        ({"requests": 1, "period": "day", "burst": 1}, "'burst'"),
    ],
    ids=str,
)
def test_a_config_that_cannot_work_is_refused_with_its_key(config: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        POLICIES.parse("quota", "p", config)
